# SPDX-License-Identifier: Apache-2.0
"""A PN532 that is a card: what a reader sends, an application answers."""

from firmware.reader.pn532 import AUTOMATIC_ATR_RES, AUTOMATIC_RATS, PICC
from firmware.reader.pn532_errors import TooLate
from firmware.reader.pn532_target import MAX_DATA, Target
from firmware.reader.ports import CardGone, ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    from firmware.reader.pn532 import Pn532

    class Application(Protocol):
        """What answers APDUs, as `firmware.card.application.Application` does."""

        def process(self, raw: bytes) -> bytes: ...
        def reset(self) -> None: ...


_MAX_COMMAND = 65_544  # bytes of the longest APDU
_MAX_PARTS = 4_096  # of one command; the chip gives up to 262 bytes at once
_PART_MS = 1_000  # until the next part of a command that has begun
_SILENCES = 20  # waits without a command in a row, until the chip is asked who is there
_WRONG_LENGTH = b"\x67\x00"


class CardTarget:
    """One application behind one chip's antenna.

    The main program waits for a reader with `wait`, a while at a time, and then calls `answer`
    until it says that the reader has gone. The application begins anew with each reader, and
    forgets what that one had shown as soon as it goes.

    max_command: the bytes that one APDU may have, for a board with little memory; a longer one is
    answered with 6700. uid: 3 bytes, after the 08 of a number that is random.
    """

    def __init__(
        self,
        chip: "Pn532",
        application: "Application",
        uid: bytes,
        historical: bytes = b"",
        max_command: int = _MAX_COMMAND,
    ) -> None:
        self._chip = chip
        self._target = Target(chip.link)
        self._application = application
        self._uid = uid
        self._historical = historical
        self._max_command = max_command
        self._is_ready = False  # the chip is set up, as far as is known
        self._silences = 0

    def wait(self, wait_ms: int) -> bool:
        """Whether a reader has activated the card within this time. Raises ReaderError."""
        if not self._is_ready:
            self._chip.begin()
            self._chip.set_parameters(AUTOMATIC_ATR_RES | AUTOMATIC_RATS | PICC)
            self._is_ready = True
        try:
            is_activated = self._target.init(self._uid, self._historical, wait_ms)
        except TooLate:
            self._silences += 1
            if self._silences >= _SILENCES:
                self._silences = 0
                self._is_ready = False  # set up anew: a chip that died in between shows it then
            return False
        except ReaderError:
            self._is_ready = False
            raise
        self._silences = 0
        if is_activated:
            self._application.reset()
        return is_activated

    def answer(self, wait_ms: int) -> bool:
        """Answers one command, if one comes in time; whether the reader is still there.

        Raises ReaderError; the reader has gone then, as far as the application knows.
        """
        try:
            return self._answer(wait_ms)
        except CardGone:
            self._application.reset()
            return False
        except ReaderError:
            self._is_ready = False
            self._application.reset()
            raise

    def _answer(self, wait_ms: int) -> bool:
        try:
            command, more = self._target.get_data(wait_ms)
        except TooLate:
            # The chip says by itself when the reader goes; but a chip that died says nothing.
            self._silences += 1
            if self._silences < _SILENCES:
                return True
            self._silences = 0
            if self._target.is_activated():
                return True
            raise CardGone("the reader has gone") from None
        self._silences = 0
        command = self._whole(command, more)
        if len(command) > self._max_command:
            answer = _WRONG_LENGTH
        else:
            answer = self._application.process(command)
        for start in range(0, len(answer), MAX_DATA):
            part = answer[start : start + MAX_DATA]
            self._target.set_data(part, start + MAX_DATA < len(answer))
        return True

    def _whole(self, command: bytes, more: bool) -> bytes:
        """The rest of a chained command. Of one that is too long only the end is heard out."""
        part = command
        for _ in range(_MAX_PARTS):
            if not more:
                return command
            if not part:
                break
            try:
                part, more = self._target.get_data(_PART_MS)
            except TooLate:
                break
            if len(command) <= self._max_command:
                command += part
        raise CardGone("the reader's command does not end")
