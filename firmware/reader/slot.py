# SPDX-License-Identifier: Apache-2.0
"""The one slot that the computer sees: whether a card is there, has power, and answers.

Between commands the antenna is asked now and then, and what it said last is what the computer is
told: to look takes longer than libccid waits for some answers.
"""

from firmware.reader import signals
from firmware.reader.ports import CardGone, Contactless, ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.signals import Clock, Signals

# bmICCStatus (CCID, section 6.2.6).
ACTIVE = 0
INACTIVE = 1  # a card without power
ABSENT = 2

_FAILURES = (ReaderError, OSError)  # of the chip, and of the bus to it

_LOOK_MS = 100  # from one look for a card to the next
_WATCH_MS = 250  # the same while a card is there; pcscd asks each 400 ms
_RETRY_MS = 500  # the same while the chip does not answer
# How long a slot stays empty when a card has left. pcscd asks each 400 ms, and a card that left
# and came back in between has, to it, never left: then it may not see it again at all.
_EMPTY_MS = 600


class Slot:
    """A slot over one antenna."""

    def __init__(self, antenna: Contactless, shown: "Signals", clock: "Clock") -> None:
        self._antenna = antenna
        self._signals = shown
        self._clock = clock
        self.state = ABSENT
        self._is_held = False  # the antenna holds an active card
        self._is_used = False  # it has had commands since it was activated
        self._has_failed = False  # the chip does not answer
        self._told = False  # whether the last notice was that a card had come
        self._due_ms = self._empty_until_ms = clock.ticks_ms()

    @property
    def late_ms(self) -> int:
        """For how long the card should have been looked after; less than 0 before it is time."""
        return self._ms_since(self._due_ms)

    def check(self) -> None:
        """Sees whether the card is there. A chip that fails counts as none, and is asked again."""
        try:
            if not self._is_held:
                self._find()
            elif not self._antenna.is_there():
                self._lose()
        except _FAILURES:
            self._fail()
        self._settle()

    def power_on(self) -> bytes:
        """The historical bytes of a card that begins anew. Raises CardGone or ReaderError."""
        try:
            if (self._is_used or not self._is_held) and not self._find():
                raise CardGone("no card")
            self.state = ACTIVE
        except _FAILURES:
            self._fail()
            raise
        finally:
            self._settle()
        return self._antenna.historical

    def power_off(self) -> None:
        """The card forgets everything; it is still there until it is looked for again."""
        if self.state == ACTIVE:
            self.state = INACTIVE
        try:
            if self._is_used:
                self._let_go()
        except _FAILURES:
            self._fail()
        self._settle()

    def transmit(self, command: bytes) -> bytes:
        """The card's answer to an APDU, which is sent once. Raises CardGone or ReaderError."""
        if self.state != ACTIVE:
            raise CardGone("no card with power")
        self._is_used = True
        self._signals.show(signals.WORKING)
        try:
            return self._antenna.transmit(command)
        except CardGone:
            # It may lie there still. The computer shall see that it was gone: its session is.
            self.drop()
            raise
        except _FAILURES:
            self._fail()
            raise
        finally:
            self._settle()

    def drop(self) -> None:
        """Something failed that should not: what the card was told is not known."""
        self._is_used = True
        self._lose()
        self._settle()

    def moved(self) -> "bool | None":
        """Whether a card came (True) or left since this was asked last; None for neither."""
        is_there = self.state != ABSENT
        if is_there == self._told:
            return None
        self._told = is_there
        return is_there

    def _find(self) -> bool:
        """Looks for a card, which begins anew."""
        if self._ms_since(self._empty_until_ms) < 0:
            return False
        if self._is_used:
            self._let_go()
        self._is_held = self._antenna.look()
        self._has_failed = False
        if not self._is_held:
            self._lose()
        elif self.state == ABSENT:
            self.state = INACTIVE
        return self._is_held

    def _lose(self) -> None:
        self._is_held = False
        if self.state != ABSENT:
            self.state = ABSENT
            self._empty_until_ms = self._clock.ticks_add(self._clock.ticks_ms(), _EMPTY_MS)

    def _let_go(self) -> None:
        self._is_held = False
        self._antenna.release()
        self._is_used = False

    def _fail(self) -> None:
        self._has_failed = True
        self._lose()

    def _settle(self) -> None:
        """Shows how things are, and says when to look again."""
        wait_ms = _WATCH_MS
        if self._has_failed:
            self._signals.show(signals.ERROR)
            wait_ms = _RETRY_MS
        elif self.state != ABSENT:
            self._signals.show(signals.CARD)
        else:
            crowded = self._antenna.crowded
            self._signals.show(signals.TWO_CARDS if crowded else signals.READY)
            wait_ms = _LOOK_MS
        left_ms = -self._ms_since(self._empty_until_ms)
        if left_ms <= 0:
            self._empty_until_ms = self._clock.ticks_ms()  # never so old that its difference wraps
        elif self.state == ABSENT:
            wait_ms = max(wait_ms, left_ms)
        self._due_ms = self._clock.ticks_add(self._clock.ticks_ms(), wait_ms)

    def _ms_since(self, moment_ms: int) -> int:
        return self._clock.ticks_diff(self._clock.ticks_ms(), moment_ms)
