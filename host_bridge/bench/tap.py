# SPDX-License-Identifier: Apache-2.0
"""Makes one real sale on a virtual board and on cards that count, through the till's own code."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boards.VIRTUAL.runtime import RuntimeMissing
from host_bridge.bench.card import BoardBench, BoardUnderTest, CountingBench, CountingCard, Step
from host_bridge.bench.table import BenchError
from host_bridge.demo import scenario as plan
from host_bridge.demo.cards import CardMaker
from host_bridge.demo.world import World
from pos_terminal.cheque import Cheque
from pos_terminal.states import PaymentState
from provisioning.image import build_image

SCENARIO = Path(__file__).with_name("tap.toml")
_CHIP_TIER = 2
_FIRST, _SECOND = datetime.time(10), datetime.time(11)
_UNDER_PINLESS, _OVER_PINLESS = 50_000, 350_000  # tiyn; tap.toml has 300,000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """Which sale: with a PIN (shown first, or asked for by the card), to an unknown bank."""

    pin: Literal["", "shown", "asked"] = ""
    first_time: bool = False


@dataclass(frozen=True)
class Taps:
    """Two sales: the first after power came, and the one that is measured."""

    after_power: list[Step]
    tap: list[Step]

    @property
    def apdus(self) -> int:
        """Of the measured one."""
        return len(self.tap)

    @property
    def bytes_out(self) -> int:
        """In its commands."""
        return sum(len(step.command) for step in self.tap)

    @property
    def bytes_in(self) -> int:
        """In its answers, status words included."""
        return sum(len(step.response) for step in self.tap)

    @property
    def counts(self) -> Counter[str]:
        """What the card did in it."""
        return _sum(self.tap)


@dataclass(frozen=True)
class Observed:
    """The board's taps, and each counting card's, with its chip as usual and at its slowest."""

    board: Taps
    counted: dict[str, tuple[Taps, Taps]]


def observe(
    folder: Path,
    wish: Wish,
    kinds: list[str],
    times_ms: tuple[Mapping[str, float], Mapping[str, float]],
    progress: Progress,
) -> Observed:
    """Sells on a virtual board, then on a counting card of each kind.

    times_ms: of the chip's commands, usually and at the worst. Raises BenchError where there is
    no MicroPython, or where the counting card's traffic is not the board's.
    """
    image = folder / "blank.img"
    build_image(image)
    board = _on_board(folder, wish, progress)
    counted: dict[str, tuple[Taps, Taps]] = {}
    for kind in kinds:
        pair = []
        for name, times in zip(("usual", "slowest"), times_ms, strict=True):
            progress(f"counting: {kind}, {name}")
            bench = CountingBench(kind, image.read_bytes(), times)
            pair.append(_sell(folder / f"{kind}-{name}", wish, bench, kind, progress))
            must_agree(board, pair[-1])
        counted[kind] = (pair[0], pair[1])
    return Observed(board, counted)


def _on_board(folder: Path, wish: Wish, progress: Progress) -> Taps:
    progress("a sale on the virtual board")
    try:
        return _sell(folder / "board", wish, BoardBench(folder), "software", progress)
    except RuntimeMissing as error:
        raise BenchError(f"{error}.") from None


def _sell(
    folder: Path,
    wish: Wish,
    bench: BoardBench | CountingBench,
    kind: str,
    progress: Progress,
) -> Taps:
    """Personalises and loads a card as the demo does, and pays twice."""
    folder.mkdir()
    scenario = plan.read(SCENARIO)
    if kind != "software":
        scenario = scenario.model_copy(update={"policy": {**scenario.policy, "tier": _CHIP_TIER}})
    maker: CardMaker = bench
    world = World(scenario, folder, maker)
    try:
        world.set_up(progress)
        card = bench.card
        card.cut_power()
        after_power = _sale(world, card, _FIRST, Wish())
        tap = _sale(world, card, _SECOND, wish)
    finally:
        world.close()
    return Taps(after_power, tap)


def _sale(
    world: World, card: BoardUnderTest | CountingCard, hour: datetime.time, wish: Wish
) -> list[Step]:
    """A sale that one note pays, over the PIN-less limit where a PIN is wanted."""
    world.clock.now = world.scenario.at(hour)
    amount_tiyn = _OVER_PINLESS if wish.pin else _UNDER_PINLESS
    cheque = Cheque.of_amount(amount_tiyn)
    till = world.tills["away" if wish.first_time else "home"]
    pin = next(iter(world.holders.values())).pin
    card.steps.clear()
    payment = till.sell(
        cheque,
        card.open,
        pin=pin if wish.pin == "shown" else None,
        ask_pin=(lambda prompt: pin) if wish.pin == "asked" else None,
    )
    if payment.state is not PaymentState.PAID:
        raise BenchError(f"The sale was not paid: {payment.reason}")
    return list(card.steps)


def must_agree(board: Taps, counted: Taps) -> None:
    """What is counted off the board has to be the payment that the board made."""
    if _sizes(board.tap) != _sizes(counted.tap):
        raise BenchError("The counting card's APDUs are not the virtual board's.")


def _sizes(steps: list[Step]) -> list[tuple[str, int, int]]:
    return [(step.name, len(step.command), len(step.response)) for step in steps]


def _sum(steps: list[Step]) -> Counter[str]:
    total: Counter[str] = Counter()
    for step in steps:
        total += step.counts
    return total
