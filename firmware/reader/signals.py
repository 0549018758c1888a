# SPDX-License-Identifier: Apache-2.0
"""What the reader shows to people: one lamp and one beeper, either of which may be missing.

The codes are data: milliseconds on, off, on, off … The lamp's are played again and again, the
beeper's once, when a state begins.
"""

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    class Pin(Protocol):
        """What is used of `machine.Pin`."""

        def value(self, level: int) -> object: ...

    class Clock(Protocol):
        """What is used of MicroPython's module `time`."""

        def ticks_ms(self) -> int: ...
        def ticks_diff(self, end_ms: int, start_ms: int) -> int: ...
        def ticks_add(self, start_ms: int, duration_ms: int) -> int: ...


READY = 0  # no card
CARD = 1
WORKING = 2  # the card has a command
TWO_CARDS = 3  # or more: none is taken
ERROR = 4  # the reader's chip does not answer

_LAMP = (
    (40, 1960),
    (1000,),
    (0, 60, 60),
    (100, 100, 100, 700),
    (250, 250),
)
_BEEPS = (
    (),
    (60,),
    (),
    (60, 60, 60),
    (400,),
)


class Signals:
    """Plays the code of a state on pins that are driven high. `tick` wants to be called often."""

    def __init__(self, lamp: "Pin | None", beeper: "Pin | None", clock: "Clock") -> None:
        self._lamp = lamp
        self._beeper = beeper
        self._clock = clock
        self._state = READY
        self._resting = READY  # the state but for WORKING, which begins and ends with each command
        self._since_ms = clock.ticks_ms()
        self._beep: "tuple[int, ...]" = ()
        self._beep_since_ms = self._since_ms

    @property
    def state(self) -> int:
        """What is shown."""
        return self._state

    def show(self, state: int) -> None:
        """Shows a state from now on; nothing begins anew where it is shown already."""
        if state == self._state:
            return
        self._state = state
        self._since_ms = self._clock.ticks_ms()
        if state not in (WORKING, self._resting):
            self._resting = state
            self._beep = _BEEPS[state]
            self._beep_since_ms = self._since_ms
        self.tick()

    def tick(self) -> None:
        """Drives the pins as this moment wants them."""
        now = self._clock.ticks_ms()
        if self._lamp is not None:
            code = _LAMP[self._state]
            age_ms = self._clock.ticks_diff(now, self._since_ms) % sum(code)
            self._lamp.value(_level(code, age_ms))
        if self._beeper is not None:
            age_ms = self._clock.ticks_diff(now, self._beep_since_ms)
            if age_ms >= sum(self._beep):
                self._beep = ()  # or it would sound again when the clock's difference wraps
            self._beeper.value(_level(self._beep, age_ms))


def _level(code: "tuple[int, ...]", age_ms: int) -> int:
    """Whether a code is on after this time; off when it is over."""
    level = 1
    for duration_ms in code:
        if age_ms < duration_ms:
            return level
        age_ms -= duration_ms
        level = 1 - level
    return 0
