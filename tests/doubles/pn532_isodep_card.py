# SPDX-License-Identifier: Apache-2.0
"""A card that speaks ISO/IEC 14443-4: blocks, chaining, waiting times, from the standard's rules.

What it answers comes from an object with `transmit` and `reset`, which may be a virtual board.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from host_bridge.transport.base import TransportError
from tests.doubles.pn532_cards import PROTOCOL, Picc, with_crc
from tests.doubles.pn532_time import CARRIER_MHZ
from tests.doubles.rf_field import Field, RfFrame, has_crc

# Where in an exchange a card is torn out.
BEFORE = "before"  # it has not heard the command
IN_COMMAND = "in command"  # it has heard a part (of a chained one), and carried out nothing
EXECUTED = "executed"  # it has acted, and none of its answer was heard
IN_ANSWER = "in answer"  # the first block of its answer was heard
AFTER = "after"  # all of its answer was heard
TEARS = (BEFORE, IN_COMMAND, EXECUTED, IN_ANSWER, AFTER)

FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)  # by FSDI or FSCI
CHAINING = 0x10
I_BLOCK, R_ACK, R_NAK, S_DESELECT, S_WTX = 0x02, 0xA2, 0xB2, 0xC2, 0xF2
WTXM_MAX = 59
_OVERHEAD = 3  # protocol byte and CRC


def waiting_us(fwi: int) -> float:
    """The frame waiting time: 4096 carrier periods, doubled `fwi` times."""
    return (4096 << fwi) / CARRIER_MHZ


class Application(Protocol):
    """What a card does: the shape of a transport to it."""

    def transmit(self, command: bytes) -> bytes:
        """One APDU."""

    def reset(self) -> object:
        """It begins anew."""


class IsoDepPicc(Picc):
    """The blocks of a card; `on_command` is for a subclass. Settings:

    fsci: the largest frame that it takes, as an index into FRAME_SIZES. fwi: its waiting time.
    historical: of its ATS. chunk: the most bytes of an answer that it sends in one block.
    extensions: how many waiting-time extensions it asks for before each of its next answers.
    waits_for_ever: it asks for them and never answers. trickles: it sends one byte, asks for
    more time, sends one byte, without end. wrong_numbers: how many of its next blocks with data
    have the wrong number.
    """

    def __init__(self, uid: bytes, sak: int = 0x20) -> None:
        super().__init__(uid, sak)
        self.fsci = 5
        self.fwi = 8
        self.historical = b"\x80"
        self.speeds = 0x80  # TA(1): the same both ways, no more than 106 kbit/s
        self.chunk = 256
        self.wtxm = 1
        self.extensions: list[int] = []
        self.waits_for_ever = False
        self.trickles = False
        self.wrong_numbers = 0
        self.extended = 0  # how often it was granted time
        self._forget()

    def _forget(self) -> None:
        self._fsd = 256
        self._number = 1
        self._heard = b""
        self._left: bytes | None = None  # of the answer
        self._last: RfFrame | None = None
        self._waits = 0
        self._delay_us = 0

    def ats(self) -> bytes:
        """TL, T0, TA, TB, TC and the historical bytes; neither NAD nor CID."""
        body = bytes([0x70 | self.fsci, self.speeds, self.fwi << 4, 0x00]) + self.historical
        return bytes([1 + len(body)]) + body

    # -- for subclasses ----------------------------------------------------------------------

    def on_command(self, command: bytes) -> tuple[bytes, int] | None:
        """A whole command; its answer and how long it took in microseconds, or None: not yet."""
        raise NotImplementedError

    def on_part(self) -> bool:
        """A block of a command begins or continues one; False: it is gone already."""
        return True

    def on_sent(self, first: bool, last: bool) -> None:
        """A block of an answer is on its way."""

    # -- frames ------------------------------------------------------------------------------

    def hear_active(self, data: bytes) -> RfFrame | None:
        """RATS; anything else sends it back to rest."""
        if len(data) != 2 or data[0] != 0xE0 or not self.sak & 0x20:
            return super().hear_active(data)
        self._forget()
        self._fsd = FRAME_SIZES[min(data[1] >> 4, 8)]
        self.state = PROTOCOL
        return RfFrame(with_crc(self.ats()))

    def hear_protocol(self, data: bytes) -> RfFrame | None:
        """A block; one whose CRC is wrong was not heard."""
        if not has_crc(data):
            return None
        code, body = data[0], data[1:-2]
        if code & 0xEE == I_BLOCK:
            return self._hear_data(bool(code & CHAINING), body)
        if code & 0xEE == R_ACK:
            return self._hear_ack(bool(code & 0x10), code & 1)
        if code == S_WTX:
            return self._hear_extension()
        if code == S_DESELECT:
            self.go_to_sleep()
            self.lose_power()
            return RfFrame(with_crc(bytes([S_DESELECT])))
        if code & 0xF0 == 0xD0 and self._last is None:
            return RfFrame(with_crc(bytes([code])))  # PPS, before the first block alone
        return None

    def _hear_data(self, chaining: bool, body: bytes) -> RfFrame | None:
        self._number ^= 1
        if not self.on_part():
            return None
        self._heard += body
        if chaining:
            return self._send(bytes([R_ACK | self._number]))
        command, self._heard = self._heard, b""
        answer = self.on_command(command)
        if self.state != PROTOCOL:
            return None  # it was torn out while it thought
        if self.waits_for_ever:
            self._left = b""
            return self._ask_for_time()
        if answer is None:
            self._last = None
            return None
        return self.begin_answer(*answer)

    def begin_answer(self, answer: bytes, delay_us: int = 0) -> RfFrame | None:
        """The answer is there: its first block, or first more time."""
        self._left = answer
        self._sent = 0
        self._delay_us = delay_us
        self._waits = self.extensions.pop(0) if self.extensions else 0
        if delay_us > waiting_us(self.fwi):
            self._waits = max(1, self._waits)
        return self._ask_for_time() if self._waits or self.trickles else self._send_part()

    def _ask_for_time(self) -> RfFrame:
        needed = int(self._delay_us // waiting_us(self.fwi)) + 1
        return self._send(bytes([S_WTX, min(max(self.wtxm, needed), WTXM_MAX)]))

    def _hear_extension(self) -> RfFrame | None:
        if self._left is None:
            return None
        self.extended += 1
        self._waits -= 1
        if self._waits > 0 or self.waits_for_ever:
            return self._ask_for_time()
        return self._send_part()

    def _send_part(self) -> RfFrame | None:
        assert self._left is not None
        size = 1 if self.trickles else min(self.chunk, self._fsd - _OVERHEAD)
        part, self._left = self._left[:size], self._left[size:]
        if self.trickles:
            part = part or b"\x00"
        code = I_BLOCK | self._number
        more = bool(self._left) or self.trickles
        if more:
            code |= CHAINING
        if self.wrong_numbers:
            self.wrong_numbers -= 1
            code ^= 1
        delay_us, self._delay_us = self._delay_us, 0
        first, self._sent = self._sent == 0, self._sent + 1
        block = self._send(bytes([code]) + part, delay_us)
        if not more:
            self._left = None
        self.on_sent(first, not more)
        return block

    def _hear_ack(self, negative: bool, number: int) -> RfFrame | None:
        if number == self._number:
            return self._last
        if negative:
            return RfFrame(with_crc(bytes([R_ACK | self._number])))
        if self._left is None:
            return None
        self._number ^= 1
        return self._ask_for_time() if self.trickles else self._send_part()

    def _send(self, block: bytes, delay_us: int = 0) -> RfFrame:
        self._last = RfFrame(with_crc(block))
        return RfFrame(self._last.data, delay_us=delay_us)


class IsoDepCard(IsoDepPicc):
    """A card that is any object with `transmit` and `reset`.

    executed: the commands that were carried out. thinks_ms: how long a command takes, modelled.
    The application is reset when the card loses the field or is deselected: while another
    thread waits for its answer, as soon as that is there.
    """

    def __init__(
        self, application: Application, uid: bytes = bytes.fromhex("04a1b2c3d4e5f6")
    ) -> None:
        super().__init__(uid)
        self.application = application
        self.executed: list[bytes] = []
        self.resets = 0
        self.thinks_ms: Callable[[bytes], float] | None = None
        self.broken: Exception | None = None  # why the application did not answer
        self._busy = threading.Lock()
        self._reset_due = False
        self._tear: tuple[Field, int, str] | None = None

    def tear(self, field: Field, number: int, moment: str) -> None:
        """It is torn out in the n-th exchange of APDUs from now."""
        if moment not in TEARS:
            raise ValueError(moment)
        self._tear = (field, number, moment)

    def lose_power(self) -> None:
        """It begins anew."""
        self._reset_due = True
        self._settle()

    def _settle(self) -> None:
        if not self._reset_due or not self._busy.acquire(blocking=False):
            return
        try:
            if self._reset_due:
                self._reset_due = False
                self.resets += 1
                self.application.reset()
        except (TransportError, OSError) as error:
            self.broken = error
        finally:
            self._busy.release()

    def on_part(self) -> bool:
        """The tears before it acts."""
        if self._tear is None:
            return True
        if not self._heard:
            field, number, moment = self._tear
            self._tear = (field, number - 1, moment)
        return not (self._heard == b"" and self._torn(BEFORE)) and not (
            self._heard != b"" and self._torn(IN_COMMAND)
        )

    def on_command(self, command: bytes) -> tuple[bytes, int] | None:
        """The application's answer; silence where it has none, or was torn out meanwhile."""
        if self._torn(IN_COMMAND):
            return None
        if not command:
            return b"", 0  # an empty block asks whether it is there
        with self._busy:
            self.executed.append(command)
            answer = self._run(command)
        self._settle()
        if self._torn(EXECUTED) or not answer:
            return None
        thought_ms = self.thinks_ms(command) if self.thinks_ms else 0
        return answer, round(1000 * thought_ms)

    def _run(self, command: bytes) -> bytes:
        """The application's answer; while it works the card may be torn out."""
        if self.guard is not None:
            self.guard.release()
        try:
            return self.application.transmit(command)
        except (TransportError, OSError) as error:
            self.broken = error
            return b""
        finally:
            if self.guard is not None:
                self.guard.acquire()

    def on_sent(self, first: bool, last: bool) -> None:
        """The tears after it acted."""
        if first:
            self._torn(IN_ANSWER)
        if last:
            self._torn(AFTER)

    def _torn(self, moment: str) -> bool:
        if self._tear is None or self._tear[1] != 0 or self._tear[2] != moment:
            return False
        field = self._tear[0]
        self._tear = None
        field.pull(self)
        return True
