# SPDX-License-Identifier: Apache-2.0
"""Writes what was run into docs/reliability.md: the cases' tests, the power cuts, the mutations.

    python -m tests.power_cut 100000 --json CUTS
    python -m tests.power_cut.mutations --json MUTATIONS
    python -m tests.bench.reliability [--cuts CUTS] [--mutations MUTATIONS]

The list of cases is made anew each time, from the names and docstrings of the tests.
`test_reliability` compares the page with what the harness runs and with the tests that there are.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.power_cut.harness import _SECOND, _TIMES
from tests.power_cut.table import LETTERS
from tests.power_cut.trials import BACK, CLEAN, FLIP, OTHER, ROT, TORN, TWICE, WEAK

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BLOCKS = ("cases", "cuts", "mutations")
_SHOWN = 4  # tests of one case

CASES = {
    "T01": "torn before the card has PAY: nothing happened, the same id is tried again",
    "T02": "torn after the commit: RECOVER, the same bytes, no second debit",
    "T03": "a cut at every write within every operation",
    "T04": "two cuts in a row",
    "T05": "torn within a chained command or answer",
    "T06": "the card never comes back: unknown, until the other side's sync",
    "T07": "another card at recovery: refused, the record kept",
    "T08": "no room for a torn payment: refused before anything moves, never dropped",
    "T10": "the till loses power after the card's commit",
    "T11": "the till cannot write: PAY is not sent",
    "T12": "RECOVER with another terminal's id",
    "T13": "a refund is torn",
    "T14": "a load is torn, on either side",
    "T15": "the PIN is torn after the try was taken",
    "T17": "the counter at its end: no payment, but redeemable",
    "T18": "the journal is full",
    "S01": "a cut at every write of the storage",
    "S02": "cuts while the card recovers from a cut",
    "S03": "torn programs and erases",
    "S04": "each bit of what is stored, flipped",
    "S05": "both copies bad: refuses to pay, keeps all, formats nothing",
    "S07": "a file that was made and is empty",
    "S08": "flash that is full: refused before PAY",
    "S09": "flash that is worn",
    "S10": "an older flash put back: noticed",
    "S11": "a counter that jumped by more than one: accepted",
    "S13": "a file system that does not mount: it answers, and boots no loop",
    "S16": "a clock that goes back",
    "L01": "every kind of broken PN532 frame",
    "L03": "APDUs of 24, 255, 256, 261 bytes, and extended",
    "L04": "ISO-DEP waiting times, chaining, retransmission: nothing is carried out twice",
    "L05": "two cards in the field: neither is taken",
    "L06": "an unplugged reader, half frames, garbage",
    "L08": "every status word, short answers, endless 61xx",
    "L09": "TLV and length bombs",
    "L10": "one byte a waiting-time extension, for ever: bounded",
    "R02": "an answer replayed after a reset",
}
# Where the case has another name in the test, or why there is none.
ALSO = {
    "test_s08_a_full_journal_partition_refuses_before_pay": "T08",
    "test_journal_capacity": "T08",
    "test_a_file_system_that_is_gone": "S13",
}
NONE = {"T13": "none: there are no refunds yet"}

# What a cut may end as: the state before or after, or `same` where they are one.
_RIGHT = {"before", "after", "same"}
# A bit that rots may cost littlefs both copies of a file; then the purse must say so.
_NOTICED = {"locked", "damaged", "refused"}
MODES = (
    CLEAN,
    TORN,
    f"{TORN} erase",
    WEAK,
    f"{WEAK} erase",
    FLIP,
    ROT,
    *(TWICE + mode for mode in _SECOND),
    BACK,
    OTHER,
)
ALLOWED = {mode: set(_RIGHT) for mode in MODES}
for _mode in (FLIP, ROT, TWICE + FLIP):
    ALLOWED[_mode] |= _NOTICED
for _mode in (BACK, OTHER):
    ALLOWED[_mode] = {"same", "locked"}


def modes_of_the_harness() -> set[str]:
    """Every mode that a sweep can count, by the harness's own plan."""
    single = {mode for mode, _ in _TIMES}
    erases = {f"{mode} erase" for mode in (TORN, WEAK)}
    return single | erases | {TWICE + mode for mode in _SECOND} | {BACK, OTHER}


def cuts_table(row: Mapping[str, Any]) -> Iterator[str]:
    """An operation a row, a mode a column: how many cuts, and a letter for each outcome."""
    fields: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, count in row["counts"].items():
        operation, mode, outcome = key.split("/")
        if not outcome.startswith("programmed"):
            fields[operation, mode][outcome] += count
    operations = list(dict.fromkeys(operation for operation, _ in fields))
    said = ", ".join(f"{letter} {outcome}" for outcome, letter in LETTERS.items())
    yield f"{row['cuts']:,} cuts. After the count of each: {said}."
    yield ""
    yield "| operation | " + " | ".join(MODES) + " |"
    yield "|---|" + "---:|" * len(MODES)
    for operation in operations:
        cells = [_cell(fields[operation, mode]) for mode in MODES]
        yield f"| {operation} | " + " | ".join(cells) + " |"


def _cell(outcomes: Counter[str]) -> str:
    letters = "".join(LETTERS.get(outcome, "!") for outcome in sorted(outcomes))
    return f"{outcomes.total():,} {letters}" if outcomes else "–"


def mutations_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A change of the firmware a row: how many cuts found it."""
    yield "| the firmware, broken on purpose | cuts | found it | by |"
    yield "|---|---:|---:|---|"
    for row in rows:
        modes = ", ".join(row["found"]) or "–"
        total = sum(row["found"].values())
        if not row["cuts"]:
            modes = "it cannot even play without a cut"
        yield f"| {row['name']} | {row['cuts']:,} | {total:,} | {modes} |"


def named_tests() -> dict[str, list[str]]:
    """The tests that name a case, in their own names first; as path::name."""
    named: dict[str, list[str]] = defaultdict(list)
    told: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                test = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                if node.name in ALSO:
                    named[ALSO[node.name]].append(test)
                for case in re.findall(r"_([lrst]\d\d)(?=_)", node.name):
                    named[case.upper()].append(test)
                for case in re.findall(r"\b[LRST]\d\d\b", ast.get_docstring(node) or ""):
                    told[case].append(test)
    return {case: list(dict.fromkeys(named[case] + told[case])) for case in CASES}


def cases_table() -> Iterator[str]:
    """A case a row, with its tests."""
    yield "| case | what | test |"
    yield "|---|---|---|"
    found = named_tests()
    for case, what in CASES.items():
        tests = found[case]
        shown = ", ".join(f"`{test}`" for test in tests[:_SHOWN])
        more = f", and {len(tests) - _SHOWN} more" if len(tests) > _SHOWN else ""
        yield f"| {case} | {what} | {shown + more or NONE.get(case, 'none')} |"


def block(text: str, name: str) -> str:
    """What stands in the page between the marks of this name."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]


def _replaced(text: str, name: str, lines: Iterator[str]) -> str:
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise ValueError(f"{PAGE} has no marks for {name}")
    return before + begin + "\n".join(lines) + "\n" + end + after


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m tests.bench.reliability")
    parser.add_argument("--cuts", type=Path, default=None)
    parser.add_argument("--mutations", type=Path, default=None)
    options = parser.parse_args(arguments)
    text = _replaced(PAGE.read_text(encoding="utf-8"), "cases", cases_table())
    if options.cuts is not None:
        text = _replaced(text, "cuts", cuts_table(json.loads(options.cuts.read_text())))
    if options.mutations is not None:
        rows = json.loads(options.mutations.read_text())
        text = _replaced(text, "mutations", mutations_table(rows))
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
