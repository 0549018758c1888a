# SPDX-License-Identifier: Apache-2.0
"""What a payment costs the flash, in counts: a short run of what docs/storage.md has figures of.

The counts are the same at each run, whatever else the machine does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.storage import BEGIN, END, GOAL, OLD_RUNS, PAGE, RUNS, Bench, Run, erases

ONCE_ROUND = 23 * 24  # payments from one note that the journal's ring has room for


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, micropython: Path) -> Bench:
    """A world, and the 64-bit interpreter."""
    return Bench(tmp_path_factory.mktemp("bench"))


def _check_nobody_waits(found: dict[str, Any]) -> None:
    assert found["spent"]["tap"] == 0, "no erase between a command of a tap and its answer"
    assert found["spent"]["sync"] == 0, "and none within a sync"
    assert found["taps_with_erase"] == 0
    assert found["most_at_rest"] <= 1, "one sector at a time, behind an answer"


def test_a_payment_from_one_note_costs_a_twentieth_of_an_erase(bench: Bench) -> None:
    """The goal, with the software element; more than once round the journal's ring."""
    found = bench.card(replace(RUNS[0], warm_up=40, payments=920))
    assert erases(found, "journal") >= 920 // 23 > ONCE_ROUND // 24, "the ring went round"
    assert erases(found) <= GOAL * 920
    assert erases(found, "vfs", "copies") == 0, "a payment writes no file"
    _check_nobody_waits(found)


@pytest.mark.parametrize("run", [RUNS[2], RUNS[4], RUNS[7]], ids=lambda run: run.name)
def test_what_misses_the_goal_still_keeps_no_tap_waiting(bench: Bench, run: Run) -> None:
    """A PIN each, four notes, a chip: more is stored, and nothing is erased in a tap."""
    found = bench.card(replace(run, warm_up=20, payments=120))
    assert 0 < erases(found) <= 0.15 * 120
    _check_nobody_waits(found)


def test_the_page_has_a_row_for_each_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    figures = text.partition(BEGIN)[2].partition(END)[0]
    missing = [run.name for run in (*RUNS, *OLD_RUNS) if f"| {run.name} |" not in figures]
    missing = [name for name in missing if f"version 2: {name}" not in figures]
    assert not missing, "python -m tests.bench.storage --write"
