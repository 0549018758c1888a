# SPDX-License-Identifier: Apache-2.0
"""Plays a seed's steps, and where the purses disagree finds a short list of them that shows it.

A list is written as the numbers of the steps that are kept: `python -m tests.stateful.play 17
2600 0-3,9,41` plays those of the 2,600 steps that seed 17 draws.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from tests.stateful.machine import Machine
from tests.stateful.steps import Drawing, Step

_MAX_STEPS = 150_000  # that are played while a list is made shorter
_REAL_SEEDS = 10  # one of so many signs with the firmware's own code, which is slow


class Disagreement(Exception):
    """Step number `at` of those that were played; the length of the list for its end."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


def play(seed: int, steps: Sequence[Step]) -> Machine:
    """Takes the steps, then settles. Raises Disagreement."""
    machine = Machine(seed, is_real=seed % _REAL_SEEDS == 0)
    at = 0
    try:
        for step in steps:
            machine.take(step)
            at += 1
        machine.finish()
    except Exception as error:  # whatever a broken purse raises, and at whichever step
        raise Disagreement(at, f"{type(error).__name__}: {error}") from error
    return machine


def shrunk(seed: int, steps: Sequence[Step]) -> tuple[list[int], Disagreement]:
    """The numbers of few steps that still show a disagreement, and which: chunks are dropped.

    The chunks are halved until single steps are tried. It need not be the same disagreement.
    """
    kept = list(range(len(steps)))
    found = _tried(seed, steps, kept)
    assert found is not None, "these steps play well"
    kept = kept[: found.at + 1]
    played, size = 0, len(kept) // 2
    while size and played < _MAX_STEPS:
        at = 0
        while at < len(kept) and played < _MAX_STEPS:
            fewer = kept[:at] + kept[at + size :]
            played += len(fewer)
            other = _tried(seed, steps, fewer)
            if other is None:
                at += size
            else:
                kept, found = fewer[: other.at + 1], other
        size //= 2
    return kept, found


def _tried(seed: int, steps: Sequence[Step], kept: list[int]) -> Disagreement | None:
    try:
        play(seed, [steps[number] for number in kept])
    except Disagreement as disagreement:
        return disagreement
    return None


def report(seed: int, count: int) -> str:
    """What a failing seed says: why, the steps that show it, and how to play them again."""
    steps = Drawing(seed).draw(count)
    kept, found = shrunk(seed, steps)
    lines = [f"seed {seed}: {found}"]
    lines += [f"  {number}: {steps[number]}" for number in kept]
    lines.append(f"again: python -m tests.stateful.play {seed} {count} {_ranges(kept)}")
    return "\n".join(lines)


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in runs) or "none"


def _numbers(ranges: str) -> list[int]:
    numbers: list[int] = []
    for part in ranges.split(",") if ranges != "none" else []:
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def totals(seeds: Sequence[int], count: int) -> str:
    """Plays seeds and says what came: steps by kind, tears by outcome, words. Disagreement."""
    all_counts: dict[str, Counter[str]] = {}
    for seed in seeds:
        for name, counts in play(seed, Drawing(seed).draw(count)).counts.items():
            all_counts.setdefault(name, Counter()).update(counts)
    return "\n".join(said(name, counts) for name, counts in all_counts.items())


def said(name: str, counts: Counter[str]) -> str:
    """Counts in one line, the largest first."""
    parts = [f"{what} {number:,}" for what, number in counts.most_common() if number]
    return f"{name} {sum(counts.values()):,}: " + ", ".join(parts)


def main(seeds: str, count: str, ranges: str = "") -> None:
    """Plays again what a report says, or many seeds: `0-39 2600` prints what came in all."""
    numbers = _numbers(seeds)
    if not ranges:
        print(totals(numbers, int(count)))
        return
    steps = Drawing(numbers[0]).draw(int(count))
    play(numbers[0], [steps[number] for number in _numbers(ranges)])
    print("The purses agree.")


if __name__ == "__main__":
    main(*sys.argv[1:])
