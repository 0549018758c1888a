# SPDX-License-Identifier: Apache-2.0
"""The slot: what lies in the field, what left it, and a chip that does not answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.reader import signals
from firmware.reader.ports import CardGone, ReaderError
from firmware.reader.signals import Signals
from firmware.reader.slot import ABSENT, ACTIVE, INACTIVE, Slot
from tests.doubles.handed_antenna import PlainAntenna, PlainClock

OK = b"\x90\x00"


def card(command: bytes) -> bytes:
    return command + OK


def another_card(command: bytes) -> bytes:
    return OK


class Desk:
    """An antenna, its slot, and time."""

    def __init__(self, *cards: Callable[[bytes], bytes]) -> None:
        self.clock = PlainClock()
        self.antenna = PlainAntenna()
        self.antenna.cards = list(cards)
        self.shown = Signals(None, None, self.clock)
        self.slot = Slot(self.antenna, self.shown, self.clock)

    def wait(self) -> int:
        """Checks when it is time to; how long that took, in ms."""
        began_ms = self.clock.now_ms
        while self.slot.late_ms < 0:
            self.clock.now_ms += 1
        self.slot.check()
        return self.clock.now_ms - began_ms

    def powered(self) -> Desk:
        """The card has power."""
        self.wait()
        assert self.slot.power_on() == b"plain"
        return self

    @property
    def seen(self) -> tuple[int, int]:
        """What the computer is told, and what people are."""
        return self.slot.state, self.shown.state


def test_an_empty_field() -> None:
    desk = Desk()
    assert desk.slot.state == ABSENT, "before the first look too"
    assert desk.wait() == 0, "the first look is at once"
    assert desk.seen == (ABSENT, signals.READY)
    assert desk.slot.moved() is None
    with pytest.raises(CardGone):
        desk.slot.power_on()
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x00\xa4\x04\x00")


def test_a_card_comes_and_leaves() -> None:
    desk = Desk(card)
    desk.wait()
    assert desk.seen == (INACTIVE, signals.CARD)
    assert desk.slot.moved() is True
    assert desk.slot.moved() is None, "each move is told once"
    desk.antenna.cards.clear()
    desk.wait()
    assert desk.seen == (ABSENT, signals.READY)
    assert desk.slot.moved() is False


@pytest.mark.parametrize("there", [True, False])
def test_a_move_is_seen_within_half_a_second(there: bool) -> None:
    desk = Desk() if there else Desk(card)
    desk.wait()
    desk.antenna.cards = [card] if there else []
    assert desk.wait() < 500
    assert (desk.slot.state != ABSENT) == there


def test_power_and_a_command() -> None:
    desk = Desk(card).powered()
    assert desk.seen == (ACTIVE, signals.CARD)
    assert desk.slot.transmit(b"\x00\xa4\x04\x00") == b"\x00\xa4\x04\x00" + OK
    assert desk.antenna.activations == 1, "the look was enough: nothing had been said to the card"


def test_a_card_without_power_is_told_nothing() -> None:
    desk = Desk(card)
    desk.wait()
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x00\xa4\x04\x00")
    assert desk.antenna.sent == []


def test_a_card_that_was_not_seen_yet_gets_power() -> None:
    desk = Desk(card)
    assert desk.slot.power_on() == b"plain"
    assert desk.slot.state == ACTIVE


def test_power_again_is_a_reset() -> None:
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.slot.power_on()
    assert desk.antenna.activations == 2
    assert desk.antenna.releases == 1, "its field was taken away"
    assert desk.slot.state == ACTIVE


def test_no_power_is_a_reset_too() -> None:
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.slot.power_off()
    desk.slot.power_off()  # libccid says it twice
    assert desk.antenna.releases == 1
    assert desk.seen == (INACTIVE, signals.CARD)
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.wait()
    assert desk.slot.state == INACTIVE
    desk.slot.power_on()
    assert desk.antenna.activations == 2


def test_a_card_without_power_is_missed_too() -> None:
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.slot.power_off()
    desk.antenna.cards.clear()
    desk.wait()
    assert desk.seen == (ABSENT, signals.READY)


def test_a_torn_card_is_gone() -> None:
    """L04: its command was sent once, and no other goes out."""
    desk = Desk(card).powered()
    desk.slot.moved()
    desk.antenna.torn = 1
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x80\x32\x00\x00")
    assert desk.seen == (ABSENT, signals.READY)
    assert desk.slot.moved() is False
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x80\x34\x00\x00")
    assert desk.antenna.sent == [b"\x80\x32\x00\x00"]


def test_a_card_that_failed_and_lies_there_begins_anew() -> None:
    """What it answered is lost, so its session is. The computer sees it gone, and then back."""
    answers = [b"", OK]

    def card_once_deaf(command: bytes) -> bytes:
        answer = answers.pop(0)
        if not answer:
            raise CardGone("wrong CRC")
        return answer

    desk = Desk(card_once_deaf).powered()
    desk.slot.moved()
    with pytest.raises(CardGone):
        desk.slot.transmit(b"\x80\x32\x00\x00")
    assert desk.slot.state == ABSENT
    desk.wait()
    assert desk.slot.state == INACTIVE
    assert desk.antenna.releases == 1, "or it would go on in the middle of what it did"
    assert desk.antenna.activations == 2


@pytest.mark.parametrize("event", ["lifted", "torn", "chip"])
def test_a_card_that_left_stays_away_until_it_is_noticed(event: str) -> None:
    """pcscd asks each 400 ms. Of a card that came back before it would see nothing, or nothing
    ever again, where a program let go of the card in between."""
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    if event == "torn":
        desk.antenna.torn = 1
        with pytest.raises(CardGone):
            desk.slot.transmit(b"\x80\x32\x00\x00")
    elif event == "chip":
        desk.antenna.fails = True
        desk.wait()
        desk.antenna.fails = False
    else:
        desk.antenna.cards.clear()
        desk.wait()
    desk.antenna.cards = [another_card]
    left_ms = desk.clock.now_ms
    desk.slot.power_off()
    with pytest.raises(CardGone):
        desk.slot.power_on()
    while desk.slot.state == ABSENT:
        desk.wait()
    assert 500 <= desk.clock.now_ms - left_ms <= 1500
    assert desk.seen == (INACTIVE, signals.CARD)


def wrapping(end_ms: int, start_ms: int) -> int:
    """MicroPython's ticks_diff, which turns negative after six days."""
    half = 1 << 29
    return (end_ms - start_ms + half) % (2 * half) - half


@pytest.mark.parametrize("days", [4, 7, 13, 30])
def test_a_reader_that_runs_for_weeks(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Nothing may wait for so long."""
    desk = Desk(card).powered()
    monkeypatch.setattr(desk.clock, "ticks_diff", wrapping)
    desk.antenna.cards.clear()
    desk.wait()
    for _ in range(days * 24):
        desk.clock.now_ms += 3_600_000
        desk.slot.check()
    desk.antenna.cards = [card]
    desk.wait()
    assert desk.slot.state == INACTIVE


@pytest.mark.parametrize("days", [4, 7, 13, 30])
def test_a_card_that_lies_there_for_weeks(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """It serves, and serves again, as on the first day."""
    desk = Desk(card).powered()
    monkeypatch.setattr(desk.clock, "ticks_diff", wrapping)
    for _ in range(days * 24):
        desk.clock.now_ms += 3_600_000
        desk.slot.check()
    for _ in range(2):
        assert desk.slot.power_on() == b"plain"
        assert desk.slot.transmit(b"\x00\xa4\x04\x00") == b"\x00\xa4\x04\x00" + OK


def test_two_cards_are_none() -> None:
    """L05."""
    desk = Desk(card, another_card)
    desk.wait()
    assert desk.seen == (ABSENT, signals.TWO_CARDS)
    assert desk.slot.moved() is None
    with pytest.raises(CardGone):
        desk.slot.power_on()
    desk.antenna.cards.pop()
    desk.wait()
    assert desk.seen == (INACTIVE, signals.CARD)


def test_a_second_card_does_not_disturb_the_first() -> None:
    """L05: the first goes on while the antenna hears it."""
    desk = Desk(card).powered()
    desk.antenna.cards.append(another_card)
    desk.wait()
    assert desk.slot.state == ACTIVE
    assert desk.slot.transmit(b"\x80\x32\x00\x00") == b"\x80\x32\x00\x00" + OK


# -- a chip that does not answer ---------------------------------------------------------------

STEPS: list[Callable[[Desk], object]] = [
    lambda desk: desk.slot.power_on(),
    lambda desk: desk.slot.transmit(b"\x80\x32\x00\x00"),
]


def test_a_dead_chip_is_no_card() -> None:
    desk = Desk(card)
    desk.antenna.fails = True
    desk.wait()
    assert desk.seen == (ABSENT, signals.ERROR)
    with pytest.raises(ReaderError):
        desk.slot.power_on()
    desk.slot.power_off()
    assert desk.seen == (ABSENT, signals.ERROR)


@pytest.mark.parametrize("step", STEPS)
def test_a_chip_that_dies_at_work(step: Callable[[Desk], object]) -> None:
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.slot.moved()
    desk.antenna.fails = True
    with pytest.raises(ReaderError):
        step(desk)
    assert desk.seen == (ABSENT, signals.ERROR)
    assert desk.slot.moved() is False
    for _ in range(3):
        desk.wait()
        assert desk.seen == (ABSENT, signals.ERROR)


@pytest.mark.parametrize("used", [True, False])
def test_a_chip_that_comes_back_is_used(used: bool) -> None:
    desk = Desk(card).powered()
    if used:
        desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.antenna.fails = True
    desk.wait()
    assert desk.shown.state == signals.ERROR
    desk.antenna.fails = False
    desk.wait()
    assert desk.seen == (INACTIVE, signals.CARD)
    desk.slot.power_on()
    assert desk.slot.transmit(b"\x80\x32\x00\x00") == b"\x80\x32\x00\x00" + OK


def test_a_bus_that_fails_is_a_chip_that_fails() -> None:
    desk = Desk(card).powered()

    def broken_bus() -> bool:
        raise OSError(5)

    desk.antenna.is_there = broken_bus  # type: ignore[method-assign]
    desk.wait()
    assert desk.seen == (ABSENT, signals.ERROR)


def test_a_chip_that_dies_without_power() -> None:
    desk = Desk(card).powered()
    desk.slot.transmit(b"\x00\xa4\x04\x00")
    desk.antenna.fails = True
    desk.slot.power_off()
    assert desk.seen == (ABSENT, signals.ERROR)


def test_what_a_failure_left_is_not_trusted() -> None:
    desk = Desk(card).powered()
    desk.slot.drop()
    assert desk.seen == (ABSENT, signals.READY)
    desk.wait()
    assert (desk.slot.state, desk.antenna.releases) == (INACTIVE, 1)
