# SPDX-License-Identifier: Apache-2.0
"""The points of a ladder on the field machine: what `p256_curve` has, faster on 32-bit boards.

A point is Jacobian, with twice its Y: that saves the halves and most of the doubled terms. It is
changed in place. What is added is affine, of plain integers, and comes to Montgomery form by the
square of the radix in one of the factors that it is multiplied with.

Importing this raises ImportError where the machine does not run: see `p256_machine`.
"""

from array import array

from firmware.crypto.p256_curve import P
from firmware.crypto.p256_machine import build

_run, _load = build()

_LIMBS = 20
_BITS = 13
# Words from slot to slot.
_SLOT = 32

# The slots of the memory that are used from outside a program; the machine has the first two.
_X = 2
_Y = 3
_Z = 4
_R2 = 5
_H = 6
_R = 7
_SLOTS = 11

# 1 / 2^260 modulo P.
_FROM_MONTGOMERY = 0x0FFFFFFFE00000003FFFFFFFD0000000200000001FFFFFFFE000000030000000
# A multiple of P that is less than so many P away from 0 has a lowest limb that is less than so
# far from 0, for P is -1 modulo 2^96.
_NEAR = 32


def _programs() -> "tuple[bytes, bytes, bytes, bytes]":
    """Begin with a point; double it; the chord to another; add by the chord.

    The point that is added comes in H and R, which the chord fills with the denominator of its
    slope and twice the numerator.
    """
    multiply = 1
    square = 0
    a, b, d = range(8, 11)
    begin = (
        (multiply, _X, _X, _R2),
        (multiply, a, _Y, _R2),
        (_sum(1, 1), _Y, a, a),
        (multiply, _Z, _Z, _R2),
    )
    double = (
        (square, d, _Z, _Z),
        (square, b, _Y, _Y),
        (multiply, a, _X, b),
        (_sum(3, 3), _H, _X, d),
        (_sum(1, -1), d, _X, d),
        (multiply, _H, _H, d),
        (multiply, _Z, _Y, _Z),
        (square, _X, _H, _H),
        (_sum(1, -2), _X, _X, a),
        (_sum(1, -1), a, a, _X),
        (multiply, a, a, _H),
        (square, b, b, b),
        (_sum(2, -1), _Y, a, b),
    )
    chord = (
        (square, a, _Z, _Z),
        (multiply, b, a, _R2),
        (multiply, a, _H, b),
        (_sum(1, -1), _H, a, _X),
        (multiply, b, b, _Z),
        (multiply, a, _R, b),
        (_sum(2, -1), _R, a, _Y),
    )
    add = (
        (_sum(1, 1), d, _H, _H),
        (multiply, _Z, _Z, d),
        (square, a, d, d),
        (multiply, b, a, _H),
        (multiply, a, _X, a),
        (square, d, _R, _R),
        (_sum(1, -1), d, d, b),
        (_sum(1, -2), _X, d, a),
        (_sum(1, -1), a, a, _X),
        (multiply, a, a, _R),
        (multiply, b, b, _Y),
        (_sum(2, -2), _Y, a, b),
    )
    begun, doubled, chorded, added = [
        b"".join([bytes(instruction) for instruction in program])
        for program in (begin, double, chord, add)
    ]
    return begun, doubled, chorded, added


def _sum(first: int, second: int) -> int:
    """The operation that takes `first` times its first source and `second` times its second."""
    return first << 4 | second + 8


_BEGIN, _DOUBLE, _CHORD, _ADD = _programs()
# Taken once, when a board starts and its heap is still whole; a ladder begins by overwriting it.
_MEMORY = array("i", [0] * (_SLOTS * _SLOT))


class Point:
    """The one point that is in the machine's memory: a new one takes the place of the last."""

    def __init__(self) -> None:
        self.infinite = True
        self.memory = _MEMORY
        self.load(_R2, (1 << 2 * _LIMBS * _BITS) % P)

    def load(self, slot: int, value: int) -> None:
        """Puts an integer in [0, P) into a slot, as it is."""
        _load(self.memory, slot, value.to_bytes(33, "little"))

    def run(self, program: bytes) -> None:
        """Lets the machine run."""
        memory = self.memory
        _run(memory, memory, memory, program, len(program) >> 2)

    def value(self, slot: int) -> int:
        """The element in a slot, in [0, P), from Montgomery form."""
        value = 0
        for index in range(slot * _SLOT + _LIMBS - 1, slot * _SLOT - 1, -1):
            value = (value << _BITS) + self.memory[index]
        return value * _FROM_MONTGOMERY % P

    def is_zero(self, slot: int) -> bool:
        """Whether an element that the machine has made is a multiple of P."""
        limb = self.memory[slot * _SLOT]
        if _NEAR <= limb <= (1 << _BITS) - _NEAR:
            return False
        return self.value(slot) == 0


def jacobian(x: int, y: int, z: int) -> Point:
    """A point for a ladder to begin with, of Jacobian coordinates in [0, P)."""
    return _begin(Point(), x, y, z)


def coordinates(point: Point) -> tuple[int, int, int]:
    """The Jacobian coordinates of a ladder's point, in [0, P)."""
    if point.infinite:
        return 1, 1, 0
    return point.value(_X), point.value(_Y) * ((P + 1) // 2) % P, point.value(_Z)


def double(point: Point, times: int = 1) -> Point:
    """Doubles a point, so many times; returns it. No point of the curve is its own opposite."""
    if not point.infinite:
        for _ in range(times):
            point.run(_DOUBLE)
    return point


def add(point: Point, x: int, y: int) -> Point:
    """Adds an affine point, be it equal or opposite; returns the sum."""
    if point.infinite:
        return _begin(point, x, y, 1)
    point.load(_H, x)
    point.load(_R, y)
    point.run(_CHORD)
    if point.is_zero(_H):
        if point.is_zero(_R):
            return double(point)
        point.infinite = True
        return point
    point.run(_ADD)
    return point


def _begin(point: Point, x: int, y: int, z: int) -> Point:
    point.load(_X, x)
    point.load(_Y, y)
    point.load(_Z, z)
    point.run(_BEGIN)
    point.infinite = z == 0
    return point
