# SPDX-License-Identifier: Apache-2.0
"""The points of a ladder on the field machine: what `p256_curve` has, faster on 32-bit boards.

A point is Jacobian, with twice its Y: that saves the halves and most of the doubled terms. It is
changed in place. What is added is affine, of plain integers, which the machine reads from a table
as they stand there; they come to Montgomery form by the square of the radix in one of the factors
that they are multiplied with.

Importing this raises ImportError where the machine does not run: see `p256_machine`.
"""

from array import array

from firmware.crypto.p256_curve import P
from firmware.crypto.p256_machine import build

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    # A table, the place of x || y in it, the point's sign, and whether it is in Montgomery form.
    Entry = tuple[bytes, int, int, bool]

run, load, store = build()

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

# 2^520 and 1 / 2^260 modulo P.
_R2_VALUE = (1 << 2 * _LIMBS * _BITS) % P
_FROM_MONTGOMERY = 0x0FFFFFFFE00000003FFFFFFFD0000000200000001FFFFFFFE000000030000000
# A multiple of P that is less than so many P away from 0 has a lowest limb that is less than so
# far from 0 modulo 2^13, for P is -1 modulo 2^96.
_NEAR = 32
_FAR = (1 << _BITS) - _NEAR
_LOWEST_OF_H = _H * _SLOT


def _programs() -> "tuple[bytes, bytes, bytes, bytes]":
    """Begin with a point; double it; the chord to another; add by the chord.

    The point that is added comes in H and R, which the chord fills with the denominator of its
    slope and twice the numerator.
    """
    multiply = 1
    square = 0
    a, b, d = range(8, 11)
    begin = (
        (multiply, _Z, _Z, _R2),
        (square, a, _Z, _Z),
        (multiply, a, a, _R2),
        (multiply, _X, a, _H),
        (multiply, a, a, _Z),
        (multiply, a, a, _R),
        (_sum(1, 1), _Y, a, a),
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
        (square, b, _Z, _Z),
        (multiply, b, b, _R2),
        (multiply, a, b, _H),
        (_sum(1, -1), _H, a, _X),
        (multiply, b, b, _Z),
        (multiply, a, b, _R),
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
    return _joined(begin), _joined(double), _joined(chord), _joined(add)


def _joined(instructions: "tuple[tuple[int, int, int, int], ...]") -> bytes:
    return b"".join([bytes(instruction) for instruction in instructions])


def _sum(first: int, second: int) -> int:
    """The operation that takes `first` times its first source and `second` times its second."""
    return first << 4 | second + 8


_BEGIN, _DOUBLE, _CHORD, _ADD = _programs()
# What is in Montgomery form already needs no factor for it.
_BEGIN_KEPT = _BEGIN[:8] + _BEGIN[12:]
_CHORD_KEPT = _CHORD[:4] + _CHORD[8:]
_DOUBLE_SIZE, _CHORD_SIZE, _ADD_SIZE = [len(each) >> 2 for each in (_DOUBLE, _CHORD, _ADD)]
# Taken once, when a board starts and its heap is still whole; a ladder begins by overwriting it.
_MEMORY = array("i", [0] * (_SLOTS * _SLOT))


class Point:
    """The one point that is in the machine's memory: a new one takes the place of the last."""

    def __init__(self) -> None:
        self.infinite = True
        self.memory = _MEMORY

    def load(self, slot: int, first: int, second: int) -> None:
        """Puts two integers in [0, P) into a slot and the next, as they are."""
        load(self.memory, 0, slot, first.to_bytes(32, "big") + second.to_bytes(32, "big"), 0, 1)

    def run(self, program: bytes) -> None:
        """Lets the machine run."""
        memory = self.memory
        run(memory, 0, memory, memory, program, len(program) >> 2)

    def value(self, slot: int) -> int:
        """The element in a slot, in [0, P), from Montgomery form."""
        data = bytearray(32)
        store(self.memory, slot, data)
        # The highest limb takes what is left of the element, with the sign.
        highest = self.memory[slot * _SLOT + _LIMBS - 1] << (_LIMBS - 1) * _BITS
        return (int.from_bytes(data, "big") + highest) * _FROM_MONTGOMERY % P


def infinity() -> Point:
    """What a ladder begins with: nothing has been added yet."""
    return Point()


def kept(coordinate: int) -> int:
    """A coordinate in the form that a table for many ladders has: Montgomery's."""
    return (coordinate << _LIMBS * _BITS) % P


def take(table: bytes, start: int, sign: int, kept: bool = False) -> "Entry":
    """The affine point x || y of a table, or for a sign of -1 its opposite, to be added."""
    return table, start, sign, kept


def scaled(entry: "Entry", z: int) -> Point:
    """A point for a ladder to begin with, of an affine one and a Z in [1, P)."""
    return _begin(Point(), entry, z)


def coordinates(point: Point) -> tuple[int, int, int]:
    """The Jacobian coordinates of a ladder's point, in [0, P)."""
    if point.infinite:
        return 1, 1, 0
    return point.value(_X), point.value(_Y) * ((P + 1) // 2) % P, point.value(_Z)


def double(point: Point, times: int = 1) -> Point:
    """Doubles a point, so many times; returns it. No point of the curve is its own opposite."""
    if not point.infinite:
        memory = point.memory
        for _ in range(times):
            run(memory, 0, memory, memory, _DOUBLE, _DOUBLE_SIZE)
    return point


def add(point: Point, entry: "Entry") -> Point:
    """Adds an affine point, be it equal or opposite; returns the sum."""
    if point.infinite:
        return _begin(point, entry, 1)
    memory = point.memory
    table, start, sign, kept = entry
    load(memory, 0, _H, table, start, sign)
    if kept:
        run(memory, 0, memory, memory, _CHORD_KEPT, _CHORD_SIZE - 1)
    else:
        run(memory, 0, memory, memory, _CHORD, _CHORD_SIZE)
    if not _NEAR <= memory[_LOWEST_OF_H] <= _FAR and point.value(_H) == 0:
        # They share their x: they are one point, or opposite.
        if point.value(_R) == 0:
            return double(point)
        point.infinite = True
        return point
    run(memory, 0, memory, memory, _ADD, _ADD_SIZE)
    return point


def _begin(point: Point, entry: "Entry", z: int) -> Point:
    table, start, sign, kept = entry
    point.load(_Z, z, _R2_VALUE)
    load(point.memory, 0, _H, table, start, sign)
    point.run(_BEGIN_KEPT if kept else _BEGIN)
    point.infinite = False
    return point
