# SPDX-License-Identifier: Apache-2.0
"""Many affine points at a time: one inversion serves them all.

Montgomery's trick inverts the product of many numbers and peels the factors off again, three
products a number.
"""

from firmware.crypto.p256_curve import P, inverse


def to_affine(points: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """The affine coordinates of Jacobian points, none of them infinity."""
    affine = []
    for (x, y, _), z_inverse in zip(points, inverses([point[2] for point in points])):
        zz_inverse = z_inverse * z_inverse % P
        affine.append((x * zz_inverse % P, y * (zz_inverse * z_inverse % P) % P))
    return affine


def encoded(points: list[tuple[int, int]]) -> bytes:
    """A table of affine points: 64 bytes x || y of each."""
    return b"".join([x.to_bytes(32, "big") + y.to_bytes(32, "big") for x, y in points])


def odd_multiples(x: int, y: int, count: int) -> list[tuple[int, int]]:
    """1, 3, 5 … times an affine point Q, so many of them, at least two.

    The additions of 2 * Q are co-Z (Meloni 2007): both points have one Z, and the point that is
    added again comes with the new Z for free. No small multiples of a point of prime order are
    equal or opposite.
    """
    # Twice Q, and Q with the same Z = 2y.
    yy = 4 * y * y % P
    x1 = x * yy % P
    y1 = yy * yy * ((P + 1) // 2) % P
    slope = 3 * (x - 1) * (x + 1) % P
    x2 = (slope * slope - 2 * x1) % P
    y2 = (slope * (x1 - x2) - y1) % P
    z = 2 * y % P
    points = []
    steps = []
    for _ in range(count - 1):
        # (x1, y1) becomes the next multiple; (x2, y2) stays 2 * Q.
        h = x1 - x2
        hh = h * h % P
        x1 = x1 * hh % P
        x2 = x2 * hh % P
        r = y1 - y2
        y2 = y2 * (x1 - x2) % P
        x1 = (r * r - x1 - x2) % P
        y1 = (r * (x2 - x1) - y2) % P
        z = z * h % P
        points.append((x1, y1))
        steps.append(h)
    z_inverse = inverse(z, P)
    multiples = []
    while points:
        x1, y1 = points.pop()
        zz_inverse = z_inverse * z_inverse % P
        multiples.append((x1 * zz_inverse % P, y1 * (zz_inverse * z_inverse % P) % P))
        z_inverse = z_inverse * steps.pop() % P
    multiples.append((x, y))
    multiples.reverse()
    return multiples


def inverses(values: list[int]) -> list[int]:
    """1/value modulo P of each, none of them 0 modulo P."""
    products = []
    product = 1
    for value in values:
        products.append(product)
        product = product * value % P
    rest = inverse(product, P)
    for index in range(len(values) - 1, -1, -1):
        products[index] = products[index] * rest % P
        rest = rest * values[index] % P
    return products
