# SPDX-License-Identifier: Apache-2.0
"""One card in the field of a PN532, spoken to in APDUs."""

from firmware.reader.pn532 import AUTOMATIC_ATR_RES, AUTOMATIC_RATS
from firmware.reader.pn532_errors import TooLate
from firmware.reader.pn532_initiator import MAX_DATA, Initiator
from firmware.reader.ports import CardGone, Contactless, ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.bus import Clock
    from firmware.reader.pn532 import Pn532
    from firmware.reader.pn532_initiator import Card

_TRIES = 1  # to activate a card again; the slot looks again anyway
_POWER_UP_MS = 6  # ISO 14443-3: a card is there 5 ms after the field, and gone 5 ms after it
_STATUS_WORD = 2
_MAX_ANSWER = 65_538  # 65,536 bytes and a status word: the most that an APDU answers
_EXCHANGE_MS = 10_000  # a card that asks for time again and again is given no more than this
_PRESENCE_MS = 6_000  # above the longest waiting time of ISO 14443-4, 4.95 s


class Pn532Contactless(Contactless):
    """The antenna of one chip. Nothing is asked of it before the first `look`.

    max_answer: the bytes that one APDU may answer, for a board with little memory; exchange_ms:
    how long one APDU may take, with all that the card asks for to do its work.
    """

    def __init__(
        self,
        chip: "Pn532",
        clock: "Clock",
        max_answer: int = _MAX_ANSWER,
        exchange_ms: int = _EXCHANGE_MS,
    ) -> None:
        self._chip = chip
        self._clock = clock
        self._initiator = Initiator(chip.link)
        self._max_answer = max_answer
        self._exchange_ms = exchange_ms
        self._card: "Card | None" = None
        self._is_ready = False  # the chip is set up, as far as is known
        self._field_is_on = False
        self.historical = b""
        self.crowded = False

    def look(self) -> bool:
        """Looks for a card and activates it; whether one is active. Raises ReaderError.

        A card that was active is let go first. A chip that failed is set up anew.
        """
        try:
            self._forget()
            return self._look()
        except ReaderError:
            self._is_ready = False
            raise

    def is_there(self) -> bool:
        """Whether the active card is still in the field. Raises ReaderError."""
        if self._card is None:
            return False
        try:
            is_there = self._initiator.is_present(_PRESENCE_MS)
        except ReaderError:
            self._forget()
            self._is_ready = False
            raise
        if not is_there:
            self._forget()
        return is_there

    def transmit(self, command: bytes) -> bytes:
        """One command APDU, its response with the status word; never sent twice.

        Raises CardGone, or ReaderError; after either no card is active. Raises ValueError,
        before anything is sent, for a command of no bytes.
        """
        if not command:
            raise ValueError("a command has at least one byte")
        if self._card is None:
            raise CardGone("no card is active")
        try:
            return self._exchange(self._card.number, command)
        except TooLate:
            self._forget()
            self._is_ready = False
            raise CardGone("the card takes longer than it may") from None
        except CardGone:
            self._forget()
            raise
        except ReaderError:
            self._forget()
            self._is_ready = False
            raise

    def release(self) -> None:
        """Lets the card go and takes the field away: it begins anew. Raises ReaderError."""
        self._forget()
        try:
            self._field_off()
        except ReaderError:
            self._is_ready = False
            raise

    def _look(self) -> bool:
        self.crowded = False
        if not self._is_ready:
            self._chip.begin()
            self._chip.set_parameters(AUTOMATIC_ATR_RES | AUTOMATIC_RATS)
            self._initiator.retries(_TRIES)
            self._is_ready = True
            self._field_is_on = True  # as far as is known
        self._field_off()
        self._field_is_on = True
        self._initiator.field(True)
        self._clock.sleep_ms(_POWER_UP_MS)
        count, cards = self._initiator.list_cards()
        self.crowded = count > 1
        if not cards or not cards[0].is_iso_dep or not self._is_selected(cards[0]):
            self._field_off()
            return False
        self._card = cards[0]
        self.historical = cards[0].historical
        return True

    def _is_selected(self, card: "Card") -> bool:
        try:
            self._initiator.select(card.number)
        except CardGone:
            return False
        return True

    def _forget(self) -> None:
        self._card = None
        self.historical = b""

    def _field_off(self) -> None:
        """Takes their power from all cards, for as long as it takes them to notice."""
        if self._field_is_on:
            self._initiator.field(False)
            self._field_is_on = False
            self._clock.sleep_ms(_POWER_UP_MS)

    def _exchange(self, number: int, command: bytes) -> bytes:
        began_ms = self._clock.ticks_ms()
        answer, more = b"", False
        for start in range(0, len(command), MAX_DATA):
            if more or answer:
                raise ReaderError("the reader chip answers in the middle of a command")
            part = command[start : start + MAX_DATA]
            is_last = start + MAX_DATA >= len(command)
            answer, more = self._initiator.exchange(
                number, part, not is_last, self._left_ms(began_ms)
            )
        parts = [answer]
        size = len(answer)
        while more:  # ends: each part brings a byte at least, and all of them are bounded
            if not parts[-1] or size > self._max_answer:
                raise CardGone("the card's answer does not end")
            answer, more = self._initiator.exchange(number, b"", False, self._left_ms(began_ms))
            parts.append(answer)
            size += len(answer)
        if not _STATUS_WORD <= size <= self._max_answer:
            raise CardGone("the card's answer has %d bytes" % size)
        return b"".join(parts)

    def _left_ms(self, began_ms: int) -> int:
        left_ms = self._exchange_ms - self._clock.ticks_diff(self._clock.ticks_ms(), began_ms)
        if left_ms <= 0:
            raise CardGone("the card takes longer than it may")
        return left_ms
