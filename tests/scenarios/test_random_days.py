# SPDX-License-Identifier: Apache-2.0
"""Invariants I1 to I5 over random days (docs/testing.md)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from host_bridge.demo import checks
from host_bridge.demo.player import Player, TapEvent, Unexpected
from host_bridge.demo.scenario import Sale, Scenario
from host_bridge.demo.world import World
from pos_terminal.states import PaymentState
from tests.doubles.in_process import InProcessMaker
from tests.scenarios.worlds import scenarios

_HONEST_DAYS = 140
_DAYS_WITH_A_CLONE = 80
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def _play(scenario: Scenario) -> tuple[World, list[TapEvent]]:
    """Plays a day whose sales may end in any lawful way; the caller closes the world."""
    folder = Path(tempfile.mkdtemp(prefix="qalta-day-"))
    (folder / "cards").mkdir()
    world = World(scenario, folder, InProcessMaker(folder / "cards"))
    world.set_up(lambda _: None)
    player = Player(world)
    for step in scenario.steps:
        try:
            player.play(step)
        except Unexpected:
            assert isinstance(step, Sale)
    return world, player.taps


@settings(max_examples=_HONEST_DAYS, suppress_health_check=_SLOW)
@given(scenarios(clones=False))
def test_honest_days(scenario: Scenario) -> None:
    """Whatever is torn and whoever syncs when: all money is somewhere, nobody is accused."""
    world, _ = _play(scenario)
    try:
        money = checks.check(world)
        assert money.issued == money.reserves + money.cards + money.wallets + money.in_flight
        assert world.bank.fraud_cases() == []
        assert money.in_flight == 0, "both sides have synced"
        assert world.bank.audit() == []
    finally:
        world.close()


@settings(max_examples=_DAYS_WITH_A_CLONE, suppress_health_check=_SLOW)
@given(scenarios(clones=True))
def test_days_with_a_clone(scenario: Scenario) -> None:
    """A copied card: no money is created, only its holder is accused, payees are paid."""
    world, _ = _play(scenario)
    try:
        checks.check(world)
        for case in world.bank.fraud_cases(viewer="bank-a"):
            assert case.name == "Asel"
        for till in world.tills.values():
            for payment in till.payments():
                assert payment.state is not PaymentState.PAID, "the last sync left it behind"
        assert world.bank.audit() == []
    finally:
        world.close()
