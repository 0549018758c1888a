# SPDX-License-Identifier: Apache-2.0
"""docs/reliability.md says what the harness runs and allows, and names tests that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.bench.reliability import (
    ALLOWED,
    CASES,
    MODES,
    NONE,
    PAGE,
    block,
    modes_of_the_harness,
    named_tests,
)
from tests.power_cut.fixture import write_fixture
from tests.power_cut.mutations import MUTATIONS
from tests.power_cut.table import LETTERS

OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}


@pytest.fixture(scope="module")
def page() -> str:
    """The page's text."""
    return PAGE.read_text(encoding="utf-8")


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table in a block, without the line below its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[:1] + rows[2:]


def test_the_table_has_every_operation_and_mode(page: str, tmp_path: Path) -> None:
    write_fixture(tmp_path / "fixture.json", tmp_path)
    fixture = json.loads((tmp_path / "fixture.json").read_text())
    head, *rows = rows_of(block(page, "cuts"))
    assert head == ["operation", *MODES]
    assert set(MODES) == modes_of_the_harness()
    assert sorted(row[0] for row in rows) == sorted(row["name"] for row in fixture["operations"])


def test_no_outcome_that_the_harness_does_not_allow(page: str) -> None:
    head, *rows = rows_of(block(page, "cuts"))
    for row in rows:
        assert row[1] != "–", f"{row[0]} was cut"
        for mode, cell in zip(head[1:], row[1:], strict=True):
            _, _, letters = cell.partition(" ")
            found = {OUTCOMES.get(letter, "violated") for letter in letters}
            assert found <= ALLOWED[mode], f"{row[0]}, {mode}: {cell}"


def test_the_sum_of_the_cuts(page: str) -> None:
    text = block(page, "cuts")
    _, *rows = rows_of(text)
    counts = [cell.split()[0].replace(",", "") for row in rows for cell in row[1:] if cell != "–"]
    told = re.search(r"([\d,]+) cuts\.", text)
    assert told is not None
    assert sum(map(int, counts)) == int(told[1].replace(",", ""))


def test_each_mutation_was_found(page: str) -> None:
    """All but those of which the harness says itself that its cuts cannot show them."""
    _, *rows = rows_of(block(page, "mutations"))
    assert [row[0] for row in rows] == [mutation.name for mutation in MUTATIONS]
    cannot = {MUTATIONS[0].name} | {mutation.name for mutation in MUTATIONS if not mutation.shows}
    for name, _, found, _ in rows:
        assert found != "0" or name in cannot, name


def test_each_case_names_its_tests(page: str) -> None:
    _, *rows = rows_of(block(page, "cases"))
    assert [(row[0], row[1]) for row in rows] == list(CASES.items())
    existing = named_tests()
    for case, _, cell in rows:
        named = re.findall(r"`([^`]+)`", cell)
        if not named:
            assert cell == NONE.get(case), f"{case} has no test"
        for test in named:
            assert test in existing[case], f"{case}: {test}: python -m tests.bench.reliability"


def test_what_watches_the_invariants_exists(page: str, root: Path) -> None:
    rows = [line for line in page.splitlines() if re.match(r"\| I\d+ ", line)]
    assert len(rows) == 12
    for row in rows:
        for path in re.findall(r"`(tests/[^`]+)`", row):
            assert (root / path).exists(), path
