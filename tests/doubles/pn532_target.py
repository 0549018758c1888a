# SPDX-License-Identifier: Apache-2.0
"""The PN532's double as a card: the commands Tg… of its user manual, and the reader it faces.

The chip answers the blocks of ISO/IEC 14443-4 by itself, asks for more time while its host
thinks, and hands whole commands on. Of the manual's modes there is this one alone: ISO-DEP at
106 kbit/s, which wants the flag fISO14443-4_PICC of SetParameters.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, LinkTimeout, Traffic
from tests.doubles.pn532_blocks import BUFFER_SIZE, OK, PENDING, Found, Reader, Steps
from tests.doubles.pn532_cards import HALTED, OFF, PROTOCOL
from tests.doubles.pn532_isodep_card import IsoDepPicc, waiting_us
from tests.doubles.pn532_time import air_us
from tests.doubles.rf_field import RfFrame

if TYPE_CHECKING:
    from tests.doubles.pn532 import Handler, Pn532Double, Result

INVALID_STATE, RELEASED, INVALID_PARAMETER = 0x25, 0x29, 0x10
MORE = 0x40
_PICC_FLAG = 0x20  # of SetParameters
_DEP_ONLY = 0x02  # of the mode
_AS_PICC_106 = 0x08
_RATS = b"\xe0\x50"
_FIXED_SIZE = 1 + 6 + 18 + 10  # mode, MIFARE, FeliCa and NFCID3 parameters
_TEXT_MAX = 48  # of general and historical bytes
_IDLE_US = 500
_WTX_BLOCK = 4  # bytes with the CRC


class ChipCard(IsoDepPicc):
    """The card that the chip is. commands: whole ones, for the host. outgoing: a block that the
    other reader will find."""

    def __init__(self, uid: bytes, atqa: bytes, sak: int, historical: bytes) -> None:
        super().__init__(uid, sak)
        self.atqa = atqa
        self.historical = historical
        self.commands: deque[bytes] = deque()
        self.outgoing: RfFrame | None = None
        self.asked = False  # a command waits for the host's answer

    def on_command(self, command: bytes) -> None:
        """The host is asked."""
        self.commands.append(command)
        self.asked = True

    def lose_power(self) -> None:
        """Nobody waits for an answer any more."""
        self.asked = False


class Target:
    """The chip's half; `other` is the reader that it faces, if one is there."""

    def __init__(self, chip: Pn532Double) -> None:
        self._chip = chip
        self.other: OtherReader | None = None
        self.reset()

    def reset(self) -> None:
        """It is no card."""
        self.card: ChipCard | None = None
        self._activated = False
        self._answer = b""
        self._unfetched = b""
        self._asked_us = 0

    @property
    def sees_field(self) -> int:
        """Whether another reader's field is there."""
        return int(self.other is not None and self.other.near)

    def handlers(self) -> dict[int, Handler]:
        """By command code."""
        return {
            0x8C: self._init_as_target,
            0x86: self._get_data,
            0x8E: lambda data: self._set_data(data, False),
            0x94: lambda data: self._set_data(data, True),
            0x8A: self._get_status,
        }

    def _init_as_target(self, data: bytes) -> Result | Generator[None, None, Result]:
        if len(data) < _FIXED_SIZE + 2 or data[0] & ~0x07:
            return None
        general = data[_FIXED_SIZE]
        rest = data[_FIXED_SIZE + 1 + general :]
        if general >= _TEXT_MAX or not rest or rest[0] > _TEXT_MAX or len(rest) != 1 + rest[0]:
            return None
        self._chip.initiator.forget()
        self._chip.field.switch(False)
        self.reset()
        # The chip gives the first byte of its number itself: 08, which says that it is random.
        self.card = ChipCard(b"\x08" + data[3:6], data[1:3], data[6], rest[1:])
        return self._wait_for_reader(not data[0] & _DEP_ONLY)

    def _wait_for_reader(self, as_picc: bool) -> Generator[None, None, Result]:
        allowed = as_picc and self._chip.parameters & _PICC_FLAG
        while True:
            if allowed and self.other is not None and self.card is not None:
                if self.other.activate_card(self.card):
                    self._activated = True
                    return bytes([_AS_PICC_106]) + _RATS
            self._chip.time.idle(_IDLE_US)
            yield

    def _is_released(self) -> bool:
        return self.card is None or self.card.state != PROTOCOL

    def _get_data(self, data: bytes) -> Result | Generator[None, None, Result]:
        if data:
            return None
        if not self._activated:
            return bytes([INVALID_STATE])
        return self._wait_for_data()

    def _wait_for_data(self) -> Generator[None, None, Result]:
        assert self.card is not None
        while not self._unfetched:
            if self._is_released():
                return bytes([RELEASED])
            if self.card.commands:
                self._unfetched = self.card.commands.popleft()
                self._asked_us = self._chip.time.now_us
                break
            self._pump()
            if not self.card.commands:
                self._chip.time.idle(_IDLE_US)
                yield
        part, self._unfetched = self._unfetched[:BUFFER_SIZE], self._unfetched[BUFFER_SIZE:]
        return bytes([MORE if self._unfetched else OK]) + part

    def _set_data(self, data: bytes, more: bool) -> Result:
        if len(data) > BUFFER_SIZE:
            return None
        if not self._activated:
            return bytes([INVALID_STATE])
        if self._is_released():
            return bytes([RELEASED])
        assert self.card is not None
        if not self.card.asked:
            return bytes([INVALID_STATE])
        self._answer += data
        if more:
            return bytes([OK])
        self._extend()
        answer, self._answer = self._answer, b""
        self.card.asked = False
        self.card.outgoing = self.card.begin_answer(answer)
        while self.card.outgoing is not None and self.other is not None and self.other.talks:
            self._pump()
        return bytes([RELEASED if self._is_released() else OK])

    def _extend(self) -> None:
        """The extensions that the chip has asked for while its host was thinking."""
        assert self.card is not None
        thought_us = self._chip.time.now_us - self._asked_us
        count = int(thought_us // waiting_us(self.card.fwi))
        self.card.extended += count
        self._chip.time.in_air(2 * count * air_us(_WTX_BLOCK))

    def _get_status(self, data: bytes) -> Result:
        """0: idle or released, 1: activated, 2: deselected; and the bit rates."""
        if data:
            return None
        state = 0
        if self._activated and self.card is not None:
            state = {PROTOCOL: 1, HALTED: 2}.get(self.card.state, 0)
        return bytes([state, 0x00])

    def _pump(self) -> None:
        if self.other is not None:
            self.other.go_on()


class _CardAir:
    """The other reader's air: in it lies the chip alone."""

    def __init__(self, card: ChipCard) -> None:
        self._card = card

    def exchange(self, frame: RfFrame, numbered: bool = False) -> RfFrame | None:
        answer = self._card.hear(frame)
        return PENDING if answer is None and self._card.asked else answer


class _Antenna(Reader):
    """The other reader's half of the air."""

    def __init__(self, card: ChipCard, chip: Pn532Double) -> None:
        super().__init__(_CardAir(card), chip.time)
        self._card = card

    def late(self) -> RfFrame | None:
        if self._card.outgoing is not None:
            answer, self._card.outgoing = self._card.outgoing, None
            return answer
        return PENDING if self._card.state == PROTOCOL and self._card.asked else None


class OtherReader(Closing):
    """A reader that the chip is held to, while the chip is a card. It has a transport's shape.

    In one thread: `send` commands, let the chip's host work, look at `answers`. From another
    thread than the chip's: `transmit`, which waits for the answer.
    """

    def __init__(self, chip: Pn532Double, timeout_s: float = 10.0) -> None:
        self.traffic = Traffic()
        self.near = False
        self.answers: list[bytes] = []
        self.found: Found | None = None
        self._chip = chip
        self._timeout_s = timeout_s
        self._queue: deque[bytes] = deque()
        self._steps: Steps | None = None
        self._failed = False
        self._deselects = False
        self._card: ChipCard | None = None
        self._change = threading.Condition()
        chip.target.other = self

    def approach(self) -> None:
        """It comes, with its field on."""
        with self._change:
            self.near = True
            self._failed = False

    def leave(self) -> None:
        """It goes, or its field does: whatever it was doing."""
        with self._change:
            self.near = False
            self.found = None
            self._steps = None
            self._queue.clear()
            self._failed = True
            if self._card is not None:
                self._card.power(False)
            self._change.notify_all()

    def deselect(self) -> None:
        """It lets the card sleep once its commands are answered; its field stays."""
        with self._change:
            self._deselects = True

    def send(self, command: bytes) -> None:
        """A command, after those that wait already."""
        with self._change:
            self._queue.append(command)

    def transmit(self, command: bytes) -> bytes:
        """One command and its answer. Raises LinkLost without a card, LinkTimeout."""
        with self._change:
            count = len(self.answers)
            self._queue.append(command)
            done = self._change.wait_for(
                lambda: len(self.answers) > count or self._failed, self._timeout_s
            )
            if len(self.answers) > count:
                self.traffic.count(command, self.answers[count], 0.0)
                return self.answers[count]
            self._queue.clear()
            raise LinkLost("The card is gone.") if done else LinkTimeout("No answer came.")

    def reset(self) -> str:
        """Takes its field away and comes again."""
        self.leave()
        self.approach()
        return "other reader"

    def close(self) -> None:
        """It goes."""
        self.leave()

    @property
    def talks(self) -> bool:
        """It waits for an answer, or is receiving one."""
        return self._steps is not None

    # -- called by the chip ------------------------------------------------------------------

    def activate_card(self, card: ChipCard) -> bool:
        """Finds and activates what the chip is; whether that worked."""
        with self._change:
            if not self.near:
                return False
            self._steps, self._failed, self._deselects = None, False, False
            self._card = card
            if card.state != OFF:
                card.power(False)
            card.power(True)
            self._antenna = _Antenna(card, self._chip)
            found = self._antenna.find()
            if found is None or not found.sak & 0x20 or not self._antenna.activate(found):
                return False
            self.found = found
            return True

    def go_on(self) -> None:
        """One step of what it is doing."""
        with self._change:
            if self.found is None:
                return
            if self._steps is None and self._queue:
                self._steps = self._talk(self.found, self._queue.popleft())
            elif self._steps is None and self._deselects:
                self._antenna.release(self.found)
                self.found = None
            if self._steps is None:
                return
            try:
                next(self._steps)
            except StopIteration as end:
                self._steps = None
                status, answer, _ = end.value
                if status == OK:
                    self.answers.append(answer)
                else:
                    self._failed = True
                self._change.notify_all()

    def _talk(self, found: Found, command: bytes) -> Steps:
        status, answer, more = yield from self._antenna.transact(found, command)
        while status == OK and more:
            status, part, more = yield from self._antenna.transact(found, b"")
            answer += part
        return status, answer, False
