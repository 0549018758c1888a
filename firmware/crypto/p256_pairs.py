# SPDX-License-Identifier: Apache-2.0
"""Additions of affine points, many at a time.

With an inversion that many additions share, one costs six products in all: half of what a
ladder's addition costs. So on MicroPython's long integers whatever can be added before a ladder
begins is added here; where a ladder runs on machine words, or on CPython, this would save nothing.
"""

from firmware.crypto.p256_affine import inverses
from firmware.crypto.p256_curve import P


def add_pairs(
    pairs: "list[tuple[tuple[int, int], tuple[int, int]]]",
) -> "list[tuple[int, int] | None]":
    """The sum of each pair of affine points; None where they are equal or opposite."""
    differences = [second[0] - first[0] for first, second in pairs]
    # The product must not become 0; what stands at such a place is not used.
    inverted = inverses([difference or 1 for difference in differences])
    sums: list[tuple[int, int] | None] = []
    for ((x1, y1), (x2, y2)), difference, one in zip(pairs, differences, inverted):
        if difference == 0:
            sums.append(None)
            continue
        slope = (y2 - y1) * one % P
        x3 = (slope * slope - x1 - x2) % P
        sums.append((x3, (slope * (x1 - x3) - y1) % P))
    return sums


def merge(groups: "list[list[tuple[int, int]]]") -> "list[list[tuple[int, int]]]":
    """Groups of affine points with the same sums, each of one point where there was any.

    Equal or opposite points that meet stay side by side: they are for the ladder to add.
    """
    longest = max([len(group) for group in groups])
    while longest > 1:
        sums = add_pairs(
            [
                (group[index], group[index + 1])
                for group in groups
                for index in range(0, len(group) - 1, 2)
            ]
        )
        sums.reverse()
        groups = [_halved(group, sums) for group in groups]
        longest = (longest + 1) // 2
    return groups


def _halved(
    group: "list[tuple[int, int]]", sums: "list[tuple[int, int] | None]"
) -> "list[tuple[int, int]]":
    """The group after its share of the sums, which stand last first, has been taken."""
    halved = []
    for index in range(0, len(group) - 1, 2):
        point = sums.pop()
        if point is None:
            halved += group[index : index + 2]
        else:
            halved.append(point)
    if len(group) & 1:
        halved.append(group[-1])
    return halved
