# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of runs of units, [start, end)."""

from collections.abc import Iterable

Run = tuple[int, int]


def without(run: Run, taken: Iterable[Run]) -> list[Run]:
    """What is left of `run` after `taken` (which may overlap one another), in order."""
    left = []
    at, end = run
    for start, stop in sorted(taken):
        if stop <= at or start >= end:
            continue
        if start > at:
            left.append((at, start))
        at = max(at, stop)
    if at < end:
        left.append((at, end))
    return left


def size(runs: Iterable[Run]) -> int:
    """How many units there are in disjoint runs."""
    return sum(end - start for start, end in runs)
