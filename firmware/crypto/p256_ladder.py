# SPDX-License-Identifier: Apache-2.0
"""Multiples of points: k * G for signing, u1 * G + u2 * Q for verifying.

Both are exact for every input: a sum that meets equal or opposite points on its way, or ends in
infinity, is added like any other.
"""

from firmware.crypto.p256_comb import COLUMNS, STEPS, base_multiple, recode
from firmware.crypto.p256_curve import INFINITY, P, add, double, to_affine

_WINDOW_BITS = 4
_WINDOW_MASK = 15
_WNAF_DIGITS = 257


def multiply_base(scalar: int) -> tuple[int, int]:
    """scalar * G in affine coordinates, for a scalar in [1, ORDER)."""
    digits = recode(scalar)
    point = INFINITY
    for step in range(STEPS - 1, -1, -1):
        point = _add_comb(double(point), digits, step)
    return to_affine([point])[0]


def multiply_sum(u1: int, u2: int, q: tuple[int, int]) -> tuple[int, int, int]:
    """u1 * G + u2 * Q in one ladder; the comb joins in at its few last steps."""
    digits = recode(u1)
    window = wnaf(u2)
    multiples = _odd_multiples(q)
    point = INFINITY
    for step in range(_WNAF_DIGITS - 1, -1, -1):
        point = double(point)
        digit = window[step]
        if digit:
            point = add(point, *multiples[digit >> 1])
        if step < STEPS:
            point = _add_comb(point, digits, step)
    return point


def _add_comb(point: tuple[int, int, int], digits: bytes, step: int) -> tuple[int, int, int]:
    for column in range(step, COLUMNS, STEPS):
        point = add(point, *base_multiple(digits, column))
    return point


def wnaf(scalar: int) -> bytes:
    """The non-adjacent form of a scalar below 2^256: one byte a bit, the lowest first.

    A digit is 0, or odd and stands for -7 to 7 modulo 16. Of four in a row one at most is not 0.
    """
    bits = scalar.to_bytes(34, "little")
    digits = bytearray(_WNAF_DIGITS)
    carry = 0
    step = 0
    while step < _WNAF_DIGITS:
        pair = bits[step >> 3] | bits[(step >> 3) + 1] << 8
        digit = (pair >> (step & 7) & _WINDOW_MASK) + carry
        if digit & 1:
            digits[step] = digit
            carry = digit >> 3
            step += _WINDOW_BITS
        else:
            step += 1
    return bytes(digits)


def _odd_multiples(q: tuple[int, int]) -> list[tuple[int, int]]:
    """1, 3, 5, 7, -7, -5, -3, -1 times Q: entry d >> 1 is for digit d of `wnaf`."""
    twice = double((q[0], q[1], 1))
    thrice = add(twice, *q)
    multiples = [q] + to_affine([thrice, add(double(twice), *q), add(double(thrice), *q)])
    return multiples + [(x, P - y) for x, y in reversed(multiples)]
