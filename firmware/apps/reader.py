# SPDX-License-Identifier: Apache-2.0
"""The reader: a card in a PN532's field, shown to a computer as GemPC Twin's serial reader."""

from firmware.reader import gempc
from firmware.reader.ccid import Ccid
from firmware.reader.contactless import Pn532Contactless
from firmware.reader.gempc import Decoder
from firmware.reader.line import Line
from firmware.reader.pn532 import Pn532
from firmware.reader.signals import Signals
from firmware.reader.slot import Slot

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

    from firmware.reader.bus import Bus
    from firmware.reader.ports import Contactless
    from firmware.reader.signals import Clock

_TICK_MS = 20  # how often the lamp wants to be seen to while the line is silent
# libccid sends the rest of a command at once, and opens a reader with commands of which two must
# be answered within 100 ms. So a silence this long ends a broken frame, and only behind it the
# card is looked after.
_SILENCE_MS = 60
_STARVED_MS = 1000  # without that silence: the card is looked after all the same
_PATIENCE_MS = 1000  # libccid waits 3 s where it waits least while a card works


class Reader:
    """Serves one computer on a line with one antenna."""

    def __init__(self, line: Line, antenna: "Contactless", shown: Signals, clock: "Clock") -> None:
        self._line = line
        self._signals = shown
        self._clock = clock
        self._slot = Slot(antenna, shown, clock)
        self._ccid = Ccid(self._slot)
        self._decoder = Decoder()
        self._is_asked = False  # the computer waits for an answer
        self._silent = False
        self._heard_ms = self._sent_ms = clock.ticks_ms()

    def serve(self) -> None:
        """Answers commands and looks after the card until the line ends."""
        while True:
            try:
                if not self._listen(_TICK_MS):
                    return
                self._work()
            except MemoryError:
                # It must not end in a reset: what an ESP32's boot loader says on the line, libccid
                # would take for answers from then on.
                self._decoder = Decoder()
                self._is_asked = False
                self._ccid.drop()

    def _work(self) -> None:
        message = self._decoder.next()
        while message is not None:
            message = self._answer(message)
        self._signals.tick()
        self._rest()

    def ask_for_time(self) -> None:
        """For the antenna to call while it waits: the computer shall wait too."""
        self._signals.tick()
        self._listen(0)
        waited_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._sent_ms)
        if waited_ms >= _PATIENCE_MS and (self._is_asked or self._decoder.is_waiting):
            self._send(gempc.MORE_TIME)

    def _listen(self, wait_ms: int) -> bool:
        """Takes what comes on the line; False at its end."""
        data = self._line.read(wait_ms)
        if data is None:
            return False
        if data:
            self._decoder.feed(data)
            self._hear()
        return True

    def _answer(self, message: bytes) -> "bytes | None":
        """Echoes, acts, answers; or returns the command that came instead of patience."""
        self._send(gempc.encode(message))
        self._is_asked = True
        answer = gempc.encode(self._ccid.process(message))
        self._is_asked = False
        newer = self._newer()
        if newer is None:
            self._send(self._notice() + answer)
            self._hear()
        return newer

    def _newer(self) -> "bytes | None":
        """A command that came while another was carried out: nobody waits for that one's answer.

        Sent all the same, it would be taken for the answer to the newer one.
        """
        while self._listen(_TICK_MS if self._decoder.is_waiting else 0):
            message = self._decoder.next()
            if message is not None:
                return message
            if not self._decoder.is_waiting or self._is_silent():
                return None
        return None

    def _notice(self) -> bytes:
        moved = self._slot.moved() if self._ccid.wants_notices else None
        if moved is None:
            return b""
        return gempc.CARD_CAME if moved else gempc.CARD_LEFT

    def _hear(self) -> None:
        self._silent = False
        self._heard_ms = self._clock.ticks_ms()

    def _is_silent(self) -> bool:
        """Whether nothing has passed for a while; once it is so it stays so, however long."""
        heard_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._heard_ms)
        self._silent = self._silent or heard_ms >= _SILENCE_MS
        return self._silent

    def _rest(self) -> None:
        """In a silence: what is broken is given up, and the card looked after.

        A computer that is never silent does not keep the card out of sight for ever.
        """
        is_silent = self._is_silent()
        if not self._decoder.is_waiting:
            if self._slot.late_ms >= (0 if is_silent else _STARVED_MS):
                self._slot.check()
        elif is_silent and self._decoder.give_up():
            self._send(gempc.NAK)

    def _send(self, data: bytes) -> None:
        self._line.write(data)
        self._sent_ms = self._clock.ticks_ms()


def main(board: "Any", bus: "Bus") -> None:
    """Builds the reader on a board and serves until the line ends.

    board: has the line's `source` and `sink`, and whether it has `whole_reads`; the pins `lamp`
    and `beeper`, or None; and the `clock`. bus: the way to its PN532.
    """
    clock = board.clock
    chip = Pn532(bus, clock)
    shown = Signals(board.lamp, board.beeper, clock)
    line = Line(board.source, board.sink, board.whole_reads)
    reader = Reader(line, Pn532Contactless(chip, clock), shown, clock)
    chip.link.on_wait = reader.ask_for_time
    reader.serve()
