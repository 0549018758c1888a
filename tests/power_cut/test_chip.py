# SPDX-License-Identifier: Apache-2.0
"""The power of a card with a chip is cut, between the chip's commands and within them."""

from __future__ import annotations

import pytest

from firmware.wire.limits import COUNTER_JUMP
from tests.power_cut.board import LOCKED, UNNOTICED
from tests.power_cut.chip import ChipCuts
from tests.power_cut.harness import VIOLATED, Result
from tests.power_cut.table import table


@pytest.mark.parametrize("name", ["chip_pay", "chip_recover", "chip_acknowledge"])
def test_every_cut_with_a_chip(name: str) -> None:
    """I1, I2, I3, I9, I11, S11: whatever a torn increment has added, up to COUNTER_JUMP."""
    cuts, result = ChipCuts(), Result()
    for case in cuts.plan(name):
        cuts.run(name, case, result)
    for line in table(result.counts):
        print(line)
    assert not result.named.get(VIOLATED), "\n".join(result.named[VIOLATED])
    assert result.cuts


@pytest.mark.parametrize(
    ("payments", "outcome"),
    [(1, UNNOTICED), (COUNTER_JUMP + 1, UNNOTICED), (COUNTER_JUMP + 2, LOCKED)],
)
def test_an_intent_that_is_put_back(payments: int, outcome: str) -> None:
    """I11, and its limit with a chip: within COUNTER_JUMP it looks like a torn increment."""
    assert ChipCuts().put_back_after(payments) == outcome
