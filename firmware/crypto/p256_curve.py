# SPDX-License-Identifier: Apache-2.0
"""The curve P-256 (secp256r1): its constants, its points as Python's integers, and inversion.

A point of a ladder is Jacobian, a tuple (X, Y, Z) that stands for x = X/Z^2, y = Y/Z^3; Z = 0 is
the point at infinity. A point that is only ever added is affine, (x, y). Coordinates are integers
in [0, P). Every operation is complete: there is no pair of points for which it is wrong.

Constants: FIPS 186-4, D.1.2.3. Formulas: Jacobian with a = -3, dbl-2001-b and madd of the
Explicit-Formulas Database. A reduction costs more than two products here, so `double` leaves out
what need not be reduced, and `add` takes one product more to save one of them.
"""

import struct

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def _pow_inverts() -> bool:
    """Whether `pow` takes an exponent of -1: MicroPython 1.25 silently gives 0."""
    try:
        return pow(3, -1, 7) == 5
    except ValueError:
        return False


# On CPython, which inverts by itself, long integers cost little more than the code around them.
IS_FAST = _pow_inverts()


def is_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) are two coordinates in [0, P) of a point other than infinity."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x - 3) * x - B) % P == 0


def infinity() -> tuple[int, int, int]:
    """What a ladder begins with: nothing has been added yet."""
    return 1, 1, 0


def kept(coordinate: int) -> int:
    """A coordinate in the form that a table for many ladders has: here as it is."""
    return coordinate


def take(table: bytes, start: int, sign: int, kept: bool = False) -> tuple[int, int]:
    """The affine point x || y of a table, or for a sign of -1 its opposite, to be added."""
    x = int.from_bytes(table[start : start + 32], "big")
    y = int.from_bytes(table[start + 32 : start + 64], "big")
    return x, y if sign > 0 else P - y


def scaled(entry: tuple[int, int], z: int) -> tuple[int, int, int]:
    """The Jacobian coordinates of an affine point, with a Z in [1, P)."""
    x, y = entry
    zz = z * z % P
    return x * zz % P, y * (zz * z % P) % P, z


def coordinates(point: tuple[int, int, int]) -> tuple[int, int, int]:
    """The Jacobian coordinates of a ladder's point."""
    return point


def double(point: tuple[int, int, int], times: int = 1) -> tuple[int, int, int]:
    """A Jacobian point doubled, so many times. Infinity stays infinity by the formula itself."""
    x, y, z = point
    for _ in range(times):
        delta = z * z % P
        gamma = y * y % P
        beta = 4 * x * gamma % P
        alpha = 3 * (x - delta) * (x + delta) % P
        z = 2 * y * z % P
        x = (alpha * alpha - 2 * beta) % P
        y = (alpha * (beta - x) - 8 * gamma * gamma) % P
    return x, y, z


def add(point: tuple[int, int, int], entry: tuple[int, int]) -> tuple[int, int, int]:
    """The sum of a Jacobian point and an affine one, equal and opposite points included."""
    x1, y1, z1 = point
    x2, y2 = entry
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % P
    u2 = x2 * zz % P
    h = u2 - x1
    r = y2 * (zz * z1 % P) % P - y1
    if h == 0:
        # The two points share their x. They are one point, which the chord formula cannot
        # add to itself, or they are opposite.
        return double(point) if r == 0 else (1, 1, 0)
    hh = h * h % P
    x3 = (r * r - hh * (u2 + x1)) % P
    return x3, (hh * ((r * x1 - y1 * h) % P) - r * x3) % P, z1 * h % P


def inverse(value: int, modulus: int) -> int:
    """1/value in [0, modulus) for a prime modulus of 256 bits and value in [1, modulus)."""
    return pow(value, -1, modulus) if IS_FAST else euclid(value, modulus)


def euclid(value: int, modulus: int) -> int:
    """What `inverse` returns, in Python.

    Extended Euclid in Lehmer's form (Knuth, The Art of Computer Programming, 4.5.2): quotients are
    found from the leading bits alone, and applied to the long numbers a handful at a time. Where
    the leading bits do not decide the last of them, a number comes out negative; its sign is then
    turned, and no more is lost than a step.
    """
    # So many bits are a small integer of MicroPython, which needs no memory.
    leading = 29 if struct.calcsize("P") == 4 else 61
    a, b = modulus, value
    u, v = 0, 1
    shift = 256 - leading
    while b:
        x = a >> shift
        while shift and x >> leading - 4 == 0:
            # Twelve bits at a time while so many are missing.
            shift -= 4 if x >> leading - 12 else 12
            if shift < 0:
                shift = 0
            x = a >> shift
        y = b >> shift
        least = 1 << leading // 2 if shift else 1
        # The long numbers will be a1 * a + b1 * b and a2 * a + b2 * b.
        a1, b1, a2, b2 = 1, 0, 0, 1
        while y >= least:
            quotient = x // y
            x, y = y, x - quotient * y
            a1, a2 = a2, a1 - quotient * a2
            b1, b2 = b2, b1 - quotient * b2
        if b1:
            a, b = a1 * a + b1 * b, a2 * a + b2 * b
            u, v = a1 * u + b1 * v, a2 * u + b2 * v
            if a < 0:
                a, u = -a, -u
            if b < 0:
                b, v = -b, -v
            if a < b:
                a, b, u, v = b, a, v, u
        else:
            quotient = a // b
            a, b = b, a - quotient * b
            u, v = v, u - quotient * v
    return u % modulus
