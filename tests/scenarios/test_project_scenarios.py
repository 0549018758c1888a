# SPDX-License-Identifier: Apache-2.0
"""The three scenarios of the project, each card on a real MicroPython, and what they must show."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from rich.console import Console
from typer.testing import CliRunner

from host_bridge.cli.main import app
from host_bridge.demo import checks, report
from host_bridge.demo import scenario as plan
from host_bridge.demo.cards import BoardMaker
from host_bridge.demo.player import Player, Unexpected
from host_bridge.demo.run import run
from host_bridge.demo.world import World
from pos_terminal.states import PaymentState
from tests.scenarios.worlds import scenarios

_RANDOM_DAYS_ON_BOARDS = 6


def _played(name: str, folder: Path) -> World:
    """A world whose day is over; the caller closes it."""
    (folder / "cards").mkdir()
    scenario = plan.read(plan.find(name))
    world = World(scenario, folder, BoardMaker(folder / "cards"))
    world.set_up(lambda _: None)
    player = Player(world)
    for step in scenario.steps:
        player.play(step)
    return world


@pytest.fixture
def market(tmp_path: Path, micropython: Path, micropython32: Path) -> Iterator[World]:
    """The market day, over."""
    world = _played("market_day", tmp_path)
    yield world
    world.close()


def test_market_day(market: World, tmp_path: Path) -> None:
    """312 sales and more: three torn taps, one clone, everybody honest paid, all money there."""
    money = checks.check(market)
    assert money.total == money.issued == 240_000_000
    assert money.in_flight == 0
    payments = [payment for till in market.tills.values() for payment in till.payments()]
    assert len(payments) >= 300
    assert {payment.state for payment in payments} == {
        PaymentState.SYNCHRONISED,
        PaymentState.DISPUTED,
    }
    assert len(market.scenario.card) == 12
    assert len(market.tills) == 3

    # The double spender is named, to his own bank and to nobody else.
    cases = market.bank.fraud_cases(viewer="bank-b")
    assert cases
    assert {case.name for case in cases} == {"Ruslan"}
    assert {case.name for case in market.bank.fraud_cases(viewer="bank-a")} == {None}
    purse = {line.client_id: line.state for line in market.bank.purses()}
    assert purse.pop("ruslan") == "quarantined"
    assert set(purse.values()) == {"active"}

    # Both honest tills are paid in full for what the clone bought, the loss is claimed.
    disputed = {payment.amount_tiyn: payment for payment in payments if payment.reason}
    for till_id, amount in (("meat", 295_000), ("fruit", 187_550)):
        payment = disputed[amount]
        assert payment in market.tills[till_id].payments()
        word = market.bank.payment_state(payment.payment_id, payment.payee.record_id)
        assert word is not None
        assert word.credited_tiyn == amount
    assert money.claimed == 295_000 + 187_550

    # The proofs are files that `qalta verify` checks with the root's key alone.
    proofs = report.write_proofs(market, tmp_path / "proofs")
    root = str(tmp_path / "proofs" / report.ROOT_KEY)
    for proof in proofs:
        result = CliRunner().invoke(app, ["verify", str(proof), "--root", root])
        assert result.exit_code == 0, result.output
        assert "signed two transfers of the same units" in result.output
    assert market.bank.audit() == []


def test_the_stall_itself_refuses_units_that_it_took_before(market: World) -> None:
    [payment] = [one for one in market.tills["bread"].payments() if one.reason]
    assert payment.amount_tiyn == 30_000
    word = market.bank.payment_state(payment.payment_id, payment.payee.record_id)
    assert word is not None
    assert word.credited_tiyn == 0


@pytest.mark.parametrize("name", ["chain", "special"])
def test_small_scenarios(
    name: str, tmp_path: Path, micropython: Path, micropython32: Path
) -> None:
    """As `qalta demo` plays them, with everything that it shows."""
    (tmp_path / "cards").mkdir()
    screen = io.StringIO()
    console = Console(file=screen, width=140)
    run(plan.read(plan.find(name)), tmp_path, BoardMaker(tmp_path / "cards"), console)
    shown = screen.getvalue()
    assert "Checked: I1" in shown
    if name == "special":
        assert "This money may not be spent here" in shown
    else:
        assert "purse to purse is not built yet" in shown


def test_the_chain_of_two_banks(tmp_path: Path, micropython: Path, micropython32: Path) -> None:
    """Seed checklist SR-23: three steps over two banks, to the tiyn."""
    world = _played("chain", tmp_path)
    try:
        checks.check(world)
        balances = checks.card_balances(world)
        assert balances == {"alibek-card": 14_950, "bakh-card": 50_000}
        wallets = {line.client_id: line.wallet_tiyn for line in world.bank.balances()}
        assert wallets["cafe"] == 115_050
        assert wallets["bookshop"] == 120_000
        assert wallets["counter-b"] == 0
    finally:
        world.close()


def test_special_money(tmp_path: Path, micropython: Path, micropython32: Path) -> None:
    """The cafe is refused by the card, the clinic is paid out of the medical money first."""
    world = _played("special", tmp_path)
    try:
        checks.check(world)
        states = [payment.state for payment in world.tills["cafe-till"].payments()]
        assert states == [PaymentState.REFUSED, PaymentState.SYNCHRONISED]
        assert checks.card_balances(world) == {"aigerim-card": 5_000}
    finally:
        world.close()


@settings(
    max_examples=_RANDOM_DAYS_ON_BOARDS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(scenario=scenarios(clones=False))
def test_random_days_on_boards(
    scenario: plan.Scenario, tmp_path_factory: pytest.TempPathFactory, micropython: Path
) -> None:
    """What the 200 random days of `test_random_days` show holds on the real MicroPython."""
    folder = tmp_path_factory.mktemp("day")
    (folder / "cards").mkdir()
    world = World(scenario, folder, BoardMaker(folder / "cards"))
    try:
        world.set_up(lambda _: None)
        player = Player(world)
        for step in scenario.steps:
            try:
                player.play(step)
            except Unexpected:
                assert isinstance(step, plan.Sale)
        assert checks.check(world).in_flight == 0
    finally:
        world.close()
