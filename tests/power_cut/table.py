# SPDX-License-Identifier: Apache-2.0
"""Counts of cuts as a table: an operation a row, a mode a column, outcomes in each field."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

# One letter each, so that a row fits on a line.
LETTERS = {
    "before": "b",
    "after": "a",
    "same": "s",
    "locked": "L",
    "damaged": "D",
    "refused": "R",
    "unnoticed": "U",
}
_OTHER = "!"
_NOT_CUTS = "programmed"  # how a count begins that is no cut's


def table(counts: Mapping[str, int]) -> Iterator[str]:
    """The lines of it. counts: by "operation/mode/outcome"."""
    fields: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    modes: dict[str, int] = {}
    operations: dict[str, int] = {}
    for key, count in counts.items():
        operation, mode, outcome = key.split("/")
        if outcome.startswith(_NOT_CUTS):
            continue
        fields[operation, mode][LETTERS.get(outcome, _OTHER)] += count
        modes[mode] = modes.get(mode, 0) + count
        operations[operation] = operations.get(operation, 0) + count
    names = ", ".join(f"{letter} {outcome}" for outcome, letter in LETTERS.items())
    yield f"({names}, {_OTHER} a broken rule)"
    ordered = sorted(modes)
    rows = [["operation", *ordered, "all"]]
    for operation, total in operations.items():
        row = [operation]
        for mode in ordered:
            found = fields[operation, mode]
            row.append(" ".join(f"{count}{letter}" for letter, count in sorted(found.items())))
        rows.append([*row, f"{total:,}"])
    rows.append(["all", *(f"{modes[mode]:,}" for mode in ordered), f"{sum(modes.values()):,}"])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()
