# SPDX-License-Identifier: Apache-2.0
"""Lamp and beeper: each state has a code of its own, and a beep where something happened."""

from __future__ import annotations

import pytest

from firmware.reader import signals
from firmware.reader.signals import Signals
from tests.doubles.handed_antenna import PlainClock

STATES = [
    signals.READY,
    signals.CARD,
    signals.WORKING,
    signals.TWO_CARDS,
    signals.ERROR,
]
STEP_MS = 10


class Pin:
    """Remembers its level."""

    level = -1

    def value(self, level: int) -> None:
        self.level = level


class Panel:
    """A lamp and a beeper, and what they did."""

    def __init__(self) -> None:
        self.clock = PlainClock()
        self.lamp = Pin()
        self.beeper = Pin()
        self.signals = Signals(self.lamp, self.beeper, self.clock)

    def watch(self, duration_ms: int) -> tuple[list[int], list[int]]:
        """The levels of lamp and beeper, every STEP_MS."""
        lamp, beeper = [], []
        for _ in range(duration_ms // STEP_MS):
            self.signals.tick()
            lamp.append(self.lamp.level)
            beeper.append(self.beeper.level)
            self.clock.now_ms += STEP_MS
        return lamp, beeper


def beeps(levels: list[int]) -> list[int]:
    """How long each beep was, in ms."""
    text = "".join(map(str, levels))
    return [len(part) * STEP_MS for part in text.split("0") if part]


def shown(state: int) -> tuple[list[int], list[int]]:
    """A state after another one."""
    panel = Panel()
    if state == signals.READY:
        panel.signals.show(signals.CARD)
        panel.watch(1000)
    panel.signals.show(state)
    return panel.watch(4000)


def test_no_two_states_look_the_same() -> None:
    codes = [tuple(shown(state)[0]) for state in STATES]
    assert len(set(codes)) == len(STATES)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (signals.READY, []),
        (signals.CARD, [60]),
        (signals.WORKING, []),
        (signals.TWO_CARDS, [60, 60]),
        (signals.ERROR, [400]),
    ],
)
def test_beeps(state: int, expected: list[int]) -> None:
    assert beeps(shown(state)[1]) == expected


def test_the_lamp_is_steady_with_a_card() -> None:
    assert set(shown(signals.CARD)[0]) == {1}


def test_the_lamp_says_that_the_reader_lives() -> None:
    lamp, _ = shown(signals.READY)
    assert 1 <= sum(lamp) < len(lamp) // 20


def test_a_command_makes_the_lamp_blink_and_no_beep() -> None:
    """Each APDU would beep, and the end of the payment with it."""
    panel = Panel()
    panel.signals.show(signals.CARD)
    panel.watch(1000)
    panel.signals.show(signals.WORKING)
    assert panel.lamp.level == 0, "at once: most commands are short"
    lamp, beeper = panel.watch(500)
    assert {0, 1} == set(lamp)
    panel.signals.show(signals.CARD)
    assert panel.lamp.level == 1
    assert beeps(beeper + panel.watch(1000)[1]) == []


def test_a_card_that_comes_back_beeps_again() -> None:
    panel = Panel()
    heard = []
    for state in (signals.CARD, signals.READY, signals.CARD):
        panel.signals.show(state)
        heard += panel.watch(1000)[1]
    assert beeps(heard) == [60, 60]


def test_showing_a_state_again_begins_nothing_anew() -> None:
    panel = Panel()
    seen, heard = [], []
    for _ in range(10):
        panel.signals.show(signals.TWO_CARDS)
        lamp, beeper = panel.watch(100)
        seen += lamp
        heard += beeper
    assert beeps(heard) == [60, 60]
    assert beeps(seen) == [100, 100]


def test_a_beep_sounds_once_in_weeks() -> None:
    """MicroPython's ticks_diff turns negative after six days."""
    panel = Panel()
    panel.signals.show(signals.CARD)
    panel.watch(1000)
    began_ms = panel.clock.now_ms

    def wrapped(end_ms: int, start_ms: int) -> int:
        return began_ms - end_ms

    panel.clock.ticks_diff = wrapped  # type: ignore[method-assign]
    assert beeps(panel.watch(1000)[1]) == []


@pytest.mark.parametrize("state", STATES)
def test_a_board_without_lamp_or_beeper(state: int) -> None:
    clock = PlainClock()
    for lamp, beeper in ((None, None), (Pin(), None), (None, Pin())):
        quiet = Signals(lamp, beeper, clock)
        quiet.show(state)
        quiet.tick()
        assert quiet.state == state
