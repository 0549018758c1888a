# SPDX-License-Identifier: Apache-2.0
"""What one payment costs, counted on the virtual board and on the firmware in this process."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import pytest

from host_bridge.bench.card import CountingBench, Step
from host_bridge.bench.chip import NAMES
from host_bridge.bench.model import GOAL_MS, Model
from host_bridge.bench.report import BUDGET, first_hop
from host_bridge.bench.table import BenchError, read_table
from host_bridge.bench.tap import SCENARIO, Observed, Taps, Wish, must_agree, observe
from host_bridge.demo import scenario as plan
from host_bridge.demo.world import World
from host_bridge.session.purse import PurseSession
from pos_terminal.cheque import Cheque
from pos_terminal.states import PaymentState
from provisioning.image import build_image
from tests.hal.bench import ChipBench, ChipCard, TierDesk

PAYMENTS = 50
KINDS = ["software", "chip"]


def chip_times() -> tuple[dict[str, float], dict[str, float]]:
    """The table's, usually and at the worst."""
    times = read_table().times("chip", "atecc608")
    return (
        {name: time.typical_ms for name, time in times.items()},
        {name: time.longest_ms for name, time in times.items()},
    )


def seen(folder: Path, wish: Wish) -> Observed:
    """A sale on the board and on both kinds of card."""
    return observe(folder, wish, KINDS, chip_times(), print)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, micropython: Path) -> Observed:
    """A first hop to a till of the card's own bank."""
    return seen(tmp_path_factory.mktemp("known"), Wish())


def names(steps: list[Step]) -> list[str]:
    """The commands, in order."""
    return [step.name for step in steps]


def test_a_first_hop_keeps_within_its_budget(known: Observed) -> None:
    for one in first_hop(known):
        assert one.is_kept, f"{one.what}: {one.counted}, at most {BUDGET[one.what]}"


def test_the_budget_is_the_one_that_was_asked_for() -> None:
    assert list(BUDGET.values()) == [5, 700, 1, 1, 0]


def test_the_board_is_asked_for_nothing_else(known: Observed) -> None:
    assert names(known.board.tap) == ["SELECT", "PAY", "GET RESPONSE"]
    answer = b"".join(step.response[:-2] for step in known.board.tap[1:])
    assert len(answer) == 360, "one token of a first hop"


@pytest.mark.parametrize("kind", KINDS)
def test_a_payment_signs_once_and_verifies_once(known: Observed, kind: str) -> None:
    usual, slowest = known.counted[kind]
    for taps in (usual, slowest):
        assert (taps.counts["sign"], taps.counts["verify"], taps.counts["erase"]) == (1, 1, 0)
        assert taps.counts["program"], "a payment writes"
        assert taps.counts["hash"] >= 2, "of the payee's certificate, and of what is signed"


@pytest.mark.parametrize("kind", KINDS)
def test_only_pay_works(known: Observed, kind: str) -> None:
    for step in known.counted[kind][0].tap:
        if step.name != "PAY":
            assert not step.counts["sign"] + step.counts["verify"] + step.counts["program"]
            assert not step.chip_ms


def test_the_chip_is_asked_what_the_double_is_asked(tmp_path: Path, known: Observed) -> None:
    desk = TierDesk()
    card = ChipCard(tmp_path / "card", ChipBench().configured())
    desk.personalise(card, tier=2)
    desk.load(_selected(card), 1_000_000)
    card.boot()
    double = card.bench.double
    for taps in (known.counted["chip"][0].after_power, known.counted["chip"][0].tap):
        session = _selected(card)
        double.executed.clear()
        session.pay(desk.request(50_000))
        executed = Counter(NAMES[opcode] for opcode in double.executed)
        counted = Counter(
            {
                name.removeprefix("chip."): many
                for step in taps
                for name, many in step.counts.items()
                if name.startswith("chip.") and name != "chip.wake"
            }
        )
        assert counted == executed


def test_the_chip_is_asked_for_no_more_than_a_payment_needs(known: Observed) -> None:
    counts = known.counted["chip"][0].counts
    asked = {name: many for name, many in counts.items() if name.startswith("chip.")}
    assert asked == {
        "chip.wake": 1,
        "chip.NONCE": 2,  # the digest of the payee's certificate, and that of the transfer
        "chip.VERIFY": 1,
        "chip.COUNTER": 2,  # one read and the increment
        "chip.RANDOM": 1,
        "chip.SIGN": 1,
    }
    first = sum((step.counts for step in known.counted["chip"][0].after_power), Counter())
    assert first["chip.INFO"] == 1, "whether there is a key is asked once while power is on"


def test_a_tap_with_a_chip_is_modelled_within_its_goal(known: Observed) -> None:
    """The sum of the table's usual times, which is no measurement: docs/tap.md says of what."""
    table = read_table()
    for name, kind in (("esp32-atecc608", "chip"), ("j3r180", "software")):
        estimate = Model(table).estimate(table.profiles[name], *known.counted[kind])
        print(f"{name}: {estimate.typical_ms:.1f} ms, at the worst {estimate.longest_ms:.1f}")
        assert estimate.typical_ms <= GOAL_MS


@pytest.mark.parametrize("slow", [0, 1], ids=["usual", "slowest"])
def test_the_card_waits_for_its_chip_and_not_much_longer(known: Observed, slow: int) -> None:
    times = chip_times()[slow]
    [pay] = [step for step in known.counted["chip"][slow].tap if step.name == "PAY"]
    works_ms = sum(times[name] * pay.counts[f"chip.{name}"] for name in times)
    commands = sum(pay.counts[f"chip.{name}"] for name in times)
    longest_bus_ms, poll_ms, wake_ms = 3.5, 1, 3
    assert works_ms < pay.chip_ms < works_ms + commands * (longest_bus_ms + poll_ms) + wake_ms


def _selected(card: ChipCard) -> PurseSession:
    card.reset()
    session = PurseSession(card)
    session.select()
    return session


def test_a_pin_that_is_shown_costs_one_command(tmp_path: Path, micropython: Path) -> None:
    taps = seen(tmp_path, Wish(pin="shown"))
    assert names(taps.board.tap) == ["SELECT", "VERIFY", "PAY", "GET RESPONSE"]
    assert taps.board.apdus <= 5
    counts = taps.counted["software"][0].counts
    assert (counts["sign"], counts["verify"], counts["erase"]) == (1, 1, 0)


def test_an_unknown_bank_is_presented_once(tmp_path: Path, micropython: Path) -> None:
    taps = seen(tmp_path, Wish(first_time=True))
    assert names(taps.board.tap) == [
        "SELECT",
        "PAY",
        "PRESENT CERTIFICATE",
        "PAY",
        "GET RESPONSE",
    ]
    for kind in KINDS:
        steps = taps.counted[kind][0].tap
        assert [step.counts["verify"] for step in steps] == [0, 0, 1, 1, 0]
        assert [step.counts["sign"] for step in steps] == [0, 0, 0, 1, 0]
        assert steps[3].counts["erase"] == 0, "PAY itself erases nothing"


def test_a_card_that_paid_often_works_no_harder(tmp_path: Path) -> None:
    image = tmp_path / "blank.img"
    build_image(image)
    bench = CountingBench("software", image.read_bytes(), chip_times()[0])
    world = World(plan.read(SCENARIO), tmp_path / "world", bench)
    costs: list[Counter[str]] = []
    try:
        world.set_up(print)
        world.clock.now = world.scenario.at(datetime.time(10))
        for _ in range(PAYMENTS):
            bench.card.steps.clear()
            payment = world.tills["home"].sell(Cheque.of_amount(10_000), bench.card.open)
            assert payment.state is PaymentState.PAID, payment.reason
            costs.append(sum((step.counts for step in bench.card.steps), Counter()))
    finally:
        world.close()
    assert [cost["erase"] for cost in costs] == [0] * PAYMENTS
    assert {cost["sign"] for cost in costs} == {1}
    assert {cost["verify"] for cost in costs} == {1}
    first, last = costs[1], costs[-1]
    print(
        f"bytecodes {first['bytecode']} to {last['bytecode']}, reads {first['read']} to ", end=""
    )
    print(last["read"])
    assert last["bytecode"] < 2 * first["bytecode"]
    assert last["read"] < 2 * first["read"]


def test_counts_off_the_board_are_refused_for_another_payment() -> None:
    select = Step(bytes((0, 0xA4, 4, 0)), b"\x90\x00", Counter())
    longer = Step(bytes((0, 0xA4, 4, 0, 0)), b"\x90\x00", Counter())
    must_agree(Taps([], [select]), Taps([longer], [select]))
    for other in ([longer], [select, select], []):
        with pytest.raises(BenchError, match="not the virtual board's"):
            must_agree(Taps([], [select]), Taps([], other))
