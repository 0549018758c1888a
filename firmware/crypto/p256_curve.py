# SPDX-License-Identifier: Apache-2.0
"""The curve P-256 (secp256r1): its constants, its points, and inversion.

A point of a ladder is Jacobian, a tuple (X, Y, Z) that stands for x = X/Z^2, y = Y/Z^3; Z = 0 is
the point at infinity. A point that is only ever added is affine, (x, y). Coordinates are integers
in [0, P). Every operation is complete: there is no pair of points for which it is wrong.

Constants: FIPS 186-4, D.1.2.3. Formulas: Jacobian with a = -3, dbl-2001-b and madd of the
Explicit-Formulas Database, with the reductions that a product does not need left out.
"""

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
BASE_X = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
BASE_Y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5

INFINITY = (1, 1, 0)


def is_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) are two coordinates in [0, P) of a point other than infinity."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x - 3) * x - B) % P == 0


def double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    """Twice a Jacobian point. Infinity stays infinity by the formula itself."""
    x, y, z = point
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, 2 * y * z % P


def add(point: tuple[int, int, int], x2: int, y2: int) -> tuple[int, int, int]:
    """The sum of a Jacobian point and an affine one, equal and opposite points included."""
    x1, y1, z1 = point
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % P
    h = x2 * zz % P - x1
    r = y2 * (zz * z1 % P) % P - y1
    if h == 0:
        # The two points share their x. They are one point, which the chord formula cannot
        # add to itself, or they are opposite.
        return double(point) if r == 0 else INFINITY
    hh = h * h % P
    hhh = hh * h % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def inverse(value: int, modulus: int) -> int:
    """1/value in [0, modulus) for a prime modulus and value in [1, modulus).

    Extended Euclid: several times cheaper than Fermat's power, and `pow(a, -1, m)` silently gives
    0 on MicroPython. The remainders shrink at every step, at most 1.44 * 256 times (Lame).
    """
    r0, r1 = modulus, value
    t0, t1 = 0, 1
    while r1:
        quotient = r0 // r1
        r0, r1 = r1, r0 - quotient * r1
        t0, t1 = t1, t0 - quotient * t1
    return t0 % modulus


def to_affine(points: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """The affine coordinates of Jacobian points, none of them infinity, for one inversion in all.

    Montgomery's trick: invert the product of all Z and peel the factors off again.
    """
    products = [1]
    for point in points:
        products.append(products[-1] * point[2] % P)
    rest = inverse(products[-1], P)
    affine = []
    for index in range(len(points) - 1, -1, -1):
        x, y, z = points[index]
        z_inverse = rest * products[index] % P
        rest = rest * z % P
        zz_inverse = z_inverse * z_inverse % P
        affine.append((x * zz_inverse % P, y * (zz_inverse * z_inverse % P) % P))
    affine.reverse()
    return affine
