# SPDX-License-Identifier: Apache-2.0
"""The firmware against a purse that was written apart from it, and against a model (issue 3).

Each seed is one purse's life of random steps: payments, loads, syncs, PINs, policies, garbage, and
power that fails at any write. After every step the answers are equal byte by byte, the word is the
one that the model foretold, and the money is the same; at the end everything is settled (I1 to
I3, I6, I10). All of it together is a hundred thousand steps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stateful import town
from tests.stateful.play import Disagreement, play, report, said
from tests.stateful.steps import BEST_MATCH, Drawing, Step

STEPS = 2_600
SEEDS = 40
# What no run may leave out: a step that never comes to these says nothing about them.
MUST_COME = {"9000", "61xx", "6A88", "6985", "6A80", "6982", "9402", "6700"}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_three_purses_agree(seed: int) -> None:
    steps = Drawing(seed).draw(STEPS)
    try:
        machine = play(seed, steps)
    except Disagreement:
        pytest.fail(report(seed, STEPS), pytrace=False)
    print(
        f"seed {seed}:",
        *(said(name, counts) for name, counts in machine.counts.items()),
        sep="\n  ",
    )
    assert set(machine.counts["words"]) >= MUST_COME


def test_nothing_but_pins() -> None:
    """Balances looked up for a year, and no sync: the ring of the state comes around."""
    steps = [Step("tap", {"select": True})]
    for number in range(2_400):
        steps.append(Step("verify", {"pin": "wrong" if number % 3 == 1 else "right"}))
        if number % 400 == 399:
            steps.append(Step("boot", {"select": True}))
    play(1, steps)


@pytest.mark.parametrize("boot", [False, True], ids=["found by PAY", "found at boot"])
def test_a_counter_that_strays_ends_the_paying(boot: bool) -> None:
    """I11: one payment goes through, and none after the counter has moved by itself."""
    pay = Step(
        "pay",
        {
            "amount": ("tiyn", 1), "payee": "shop", "purpose": BEST_MATCH, "id": "new", "back": 0,
            "time": ("clock", 0), "currency": town.TENGE,
        },
    )  # fmt: skip
    note = {"value": 100, "purpose": 0, "max_payment": 100, "max_transfers": 9, "days": 60}
    steps = [
        Step("tap", {"select": True}),
        Step("verify", {"pin": "right"}),
        Step("generate", {}),
        Step("present", {"who": "issuer"}),
        Step("load", {"kind": "good", **note}),
        pay,
        Step("stray", {"boot": boot}),
        pay,
        pay,
    ]
    words = play(1, steps).counts["words"]
    assert (words["61xx"], words["6985"]) == (1, 2)


def test_seeds_are_enough() -> None:
    """A hundred thousand steps, and a seed draws the same ones each time."""
    drawn = Drawing(3).draw(STEPS)
    assert len(drawn) * SEEDS >= 100_000
    assert [str(step) for step in drawn] == [str(step) for step in Drawing(3).draw(STEPS)]


def test_plain_purse_stands_apart(root: Path) -> None:
    """It is no second opinion if it takes over what the firmware believes."""
    for path in (root / "tests" / "doubles").glob("plain_*.py"):
        imports = [line for line in path.read_text().splitlines() if "import " in line]
        assert not [line for line in imports if "firmware" in line or "host_bridge" in line], path
