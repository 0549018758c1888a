# SPDX-License-Identifier: Apache-2.0
"""Multiples of points: k * G for signing, u1 * G + u2 * Q for verifying.

All are exact for every input: a sum that meets equal or opposite points on its way, or ends in
infinity, is added like any other.
"""

import struct

from firmware.crypto.p256_affine import odd_multiples, to_affine
from firmware.crypto.p256_comb import BASE, Comb
from firmware.crypto.p256_curve import IS_FAST, P

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# The points of a ladder: on machine words where the board has 32 bits and compiles them, and
# otherwise on Python's integers. Affine points are added beforehand where that saves time.
try:
    if struct.calcsize("P") != 4:
        raise ImportError
    from firmware.crypto import p256_limbs as engine

    merge = None
except ImportError:
    from firmware.crypto import p256_curve as engine  # type: ignore[no-redef]

    if IS_FAST:
        merge = None
    else:
        from firmware.crypto.p256_pairs import merge  # type: ignore[assignment]

jacobian, coordinates = engine.jacobian, engine.coordinates
double, add = engine.double, engine.add

_WINDOW_BITS = 5
_WINDOW_MASK = 31
_WNAF_DIGITS = 257
_MULTIPLES = 1 << (_WINDOW_BITS - 2)


def multiply_base(scalar: int, z: int = 1) -> tuple[int, int]:
    """scalar * G in affine coordinates; the scalar is no multiple of the order, below 2^320.

    With a random z in [1, P), the ladder's coordinates cannot be foretold from the scalar.
    """
    columns = columns_of((BASE, BASE.recode(scalar)))
    first = next(columns)
    x, y = first.pop()
    zz = z * z % P
    point = add_all(jacobian(x * zz % P, y * (zz * z % P) % P, z), first)
    for points in columns:
        point = add_all(double(point), points)
    return to_affine([coordinates(point)])[0]


def multiply_sum(u1: int, u2: int, q: tuple[int, int]) -> tuple[int, int, int]:
    """u1 * G + u2 * Q in one ladder; the comb joins in at its few last steps."""
    columns = columns_of((BASE, BASE.recode(u1)))
    window = wnaf(u2)
    multiples = odd_multiples(q[0], q[1], _MULTIPLES)
    point = jacobian(1, 1, 0)
    doublings = 0
    for step in range(_WNAF_DIGITS - 1, -1, -1):
        doublings += 1
        digit = window[step]
        if digit or step < BASE.steps:
            point = double(point, doublings)
            doublings = 0
        if digit:
            negative = digit > _WINDOW_MASK >> 1
            x, y = multiples[(_WINDOW_MASK + 1 - digit if negative else digit) >> 1]
            point = add(point, x, P - y if negative else y)
        if step < BASE.steps:
            point = add_all(point, next(columns))
    return coordinates(point)


def wnaf(scalar: int) -> bytes:
    """The non-adjacent form of a scalar below 2^256: one byte a bit, the lowest first.

    A digit is 0, or odd and stands for -15 to 15 modulo 32. Of five in a row one at most is not 0.
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
            carry = digit >> (_WINDOW_BITS - 1)
            step += _WINDOW_BITS
        else:
            step += 1
    return bytes(digits)


def columns_of(*combs: "tuple[Comb, bytes]") -> "Iterator[list[tuple[int, int]]]":
    """The affine points that each step adds, in the ladder's order, for combs with their digits.

    The first comb has the most steps.
    """
    steps = combs[0][0].steps
    columns: "list[list[tuple[int, int]]]" = []
    for step in range(steps - 1, -1, -1):
        points = []
        for comb, digits in combs:
            points += comb.points(digits, step)
        if merge is None:
            yield points
        else:
            columns.append(points)
    if merge is not None:
        yield from merge(columns)


def add_all(point: "Any", points: "list[tuple[int, int]]") -> "Any":
    """A ladder's point and all the affine ones."""
    for x, y in points:
        point = add(point, x, y)
    return point
