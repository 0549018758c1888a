# SPDX-License-Identifier: Apache-2.0
"""Multiples of points: k * G for signing, u1 * G + u2 * Q for verifying.

All are exact for every input: a sum that meets equal or opposite points on its way, or ends in
infinity, is added like any other.
"""

import struct

from firmware.crypto.p256_affine import encoded, odd_multiples, to_affine
from firmware.crypto.p256_comb import BASE, Comb
from firmware.crypto.p256_curve import IS_FAST

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

infinity, scaled = engine.infinity, engine.scaled
kept, take = engine.kept, engine.take
double, add, coordinates = engine.double, engine.add, engine.coordinates

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
    point = add_all(scaled(first.pop(), z), first)
    for entries in columns:
        point = add_all(double(point), entries)
    return to_affine([coordinates(point)])[0]


def multiply_sum(u1: int, u2: int, q: tuple[int, int]) -> tuple[int, int, int]:
    """u1 * G + u2 * Q in one ladder; the comb joins in at its few last steps."""
    columns = columns_of((BASE, BASE.recode(u1)))
    digits = wnaf(u2)
    window = window_of(q)
    point = infinity()
    doublings = 0
    for step in range(_WNAF_DIGITS - 1, -1, -1):
        doublings += 1
        digit = digits[step]
        if digit or step < BASE.steps:
            point = double(point, doublings)
            doublings = 0
        if digit:
            point = add(point, window[digit >> 1])
        if step < BASE.steps:
            point = add_all(point, next(columns))
    return coordinates(point)


def window_of(q: tuple[int, int]) -> "list[Any]":
    """What a digit of the window adds, at half its place: 1 to 15 times Q, -15 to -1 times Q."""
    table = encoded(odd_multiples(q[0], q[1], _MULTIPLES))
    size = len(table)
    return [take(table, start, 1) for start in range(0, size, 64)] + [
        take(table, start, -1) for start in range(size - 64, -1, -64)
    ]


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


def columns_of(*combs: "tuple[Comb, bytes]") -> "Iterator[list[Any]]":
    """What each step adds, in the ladder's order, for combs with their digits.

    The first comb has the most steps.
    """
    steps = combs[0][0].steps
    columns: "list[list[Any]]" = []
    for step in range(steps - 1, -1, -1):
        entries = []
        for comb, digits in combs:
            entries += comb.entries(digits, step, take)
        if merge is None:
            yield entries
        else:
            columns.append(entries)
    if merge is not None:
        yield from merge(columns)


def add_all(point: "Any", entries: "list[Any]") -> "Any":
    """A ladder's point and all the affine ones."""
    for entry in entries:
        point = add(point, entry)
    return point
