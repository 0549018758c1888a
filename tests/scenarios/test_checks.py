# SPDX-License-Identifier: Apache-2.0
"""The checks at the end of a scenario can fail: each invariant is broken once, and named."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware.purse.purse import Purse
from host_bridge.demo import checks
from host_bridge.demo.player import Player
from host_bridge.demo.scenario import Scenario
from host_bridge.demo.world import World
from pos_terminal.till import Till
from tests.doubles.in_process import InProcessMaker
from tests.scenarios.worlds import a_world

_SALE = {"do": "sale", "at": datetime.time(9), "card": "asel", "amount": "12.50"}
_STEPS: list[dict[str, Any]] = [
    _SALE | {"till": "bread"},
    {"do": "sync", "at": datetime.time(10), "tills": ["bread"]},
    _SALE | {"till": "fruit", "at": datetime.time(11)},
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One sale that the bank has, one that it does not have yet."""
    (tmp_path / "cards").mkdir()
    scenario = Scenario.model_validate(a_world() | {"step": _STEPS})
    made = World(scenario, tmp_path, InProcessMaker(tmp_path / "cards"))
    made.set_up(lambda _: None)
    player = Player(made)
    for step in scenario.steps:
        player.play(step)
    yield made
    made.close()


def purse_of(world: World, card_id: str) -> Purse:
    with world.holders[card_id].card.open() as card:
        purse: Purse = card.purse  # type: ignore[attr-defined]
        return purse


def in_books(till: Till, statement: str) -> None:
    with till._database.transaction() as connection:
        assert connection.exec_driver_sql(statement).rowcount == 1


def test_a_day_that_is_sound(world: World) -> None:
    assert checks.check(world).in_flight == 1_250


def test_i2_money_that_vanishes_from_a_card(world: World) -> None:
    purse_of(world, "timur").held[0].start += 7
    with pytest.raises(checks.Broken, match="I2: timur lost 7 tiyn"):
        checks.check(world)


def test_i1_money_that_appears_on_a_card(world: World) -> None:
    purse_of(world, "asel").held[1].start -= 7
    with pytest.raises(checks.Broken, match="I1: asel holds 7 tiyn too much"):
        checks.check(world)


def test_i3_a_debit_of_another_amount(world: World) -> None:
    in_books(world.tills["fruit"], "UPDATE payments SET amount_tiyn = 1249")
    with pytest.raises(checks.Broken, match="I3: payment"):
        checks.check(world)


def test_i3_a_debit_that_no_till_asked_for(world: World) -> None:
    forgetful = world.tills.pop("fruit")
    with pytest.raises(checks.Broken, match="I3: asel paid 1250"):
        checks.check(world)
    world.tills["fruit"] = forgetful


def test_i5_a_settled_payment_that_the_bank_does_not_have(world: World) -> None:
    in_books(world.tills["fruit"], "UPDATE payments SET state = 'synchronised'")
    with pytest.raises(checks.Broken, match="I5: the bank does not know"):
        checks.check(world)


def test_i5_a_sale_that_two_cards_paid(world: World) -> None:
    """The bank has twice the amount, and its merchant has it too: only the till's books tell."""
    till = world.tills["fruit"]
    payment = till.payments()[0]
    in_books(till, "UPDATE payments SET state = 'torn'")
    till.recover(payment.payment_id, world.holders["timur"].card.open, pay_again=True)
    for card_id in ("asel", "timur"):
        holder = world.holders[card_id]
        till.sync_card(holder.card.open, holder.pin, world.bank)
    with pytest.raises(checks.Broken, match="I5: the bank posted 2500 tiyn, not 1250"):
        checks.check(world)
