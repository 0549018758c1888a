# SPDX-License-Identifier: Apache-2.0
"""A reader's side of the air: it finds cards, chooses one, exchanges blocks with it.

ISO/IEC 14443-3 Type A and 14443-4, from the standards' rules. The PN532's double reads with it,
and so does the other reader that the chip may be a card for.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from tests.doubles.pn532_cards import CASCADE_TAG, REQA, SELECT_CODES, WUPA, with_crc
from tests.doubles.pn532_isodep_card import (
    CHAINING,
    FRAME_SIZES,
    I_BLOCK,
    R_ACK,
    R_NAK,
    S_DESELECT,
    S_WTX,
    waiting_us,
)
from tests.doubles.pn532_time import ModelledTime, air_us
from tests.doubles.rf_field import RfFrame, from_bits, has_crc, to_bits

OK, TIMEOUT, CRC_ERROR, COLLISION, PROTOCOL_ERROR = 0x00, 0x01, 0x02, 0x06, 0x0B
BUFFER_SIZE = 262  # the most data of one answer
GUARD_US = 5_000  # a field lasts so long before a card may be asked
_SHORT_WAIT_US = 1_000  # nobody answered a request
_ATS_WAIT_US = 4_833
_RETRIES = 2
_FSDI = 5  # 64 bytes
_OVERHEAD = 3
_DEFAULT_FWI = 4

PENDING = RfFrame(b"")  # a card that is itself a chip, and has asked its host

Steps = Generator[None, None, tuple[int, bytes, bool]]


class Air(Protocol):
    """Where frames go."""

    def exchange(self, frame: RfFrame, numbered: bool = False) -> RfFrame | None:
        """One frame and its answer; None: silence; PENDING: later."""


@dataclass
class Found:
    """A card that was chosen, and how far the reader is with it."""

    uid: bytes
    atqa: bytes
    sak: int
    ats: bytes = b""
    number: int = 0  # of the next block
    kept: bytes = b""  # data that arrived and was not fetched
    more: bool = False  # the card has more of its answer
    active: bool = True  # it is not in HALT

    @property
    def speaks_isodep(self) -> bool:
        """Whether it was activated for blocks."""
        return bool(self.ats)

    @property
    def frame_size(self) -> int:
        """The largest frame that the card takes."""
        fsci = self.ats[1] & 0x0F if len(self.ats) > 1 else 2
        return FRAME_SIZES[min(fsci, 8)]

    @property
    def wait_us(self) -> float:
        """Its frame waiting time."""
        if len(self.ats) > 1 and self.ats[1] & 0x20:
            place = 2 + bool(self.ats[1] & 0x10)
            return waiting_us(self.ats[place] >> 4)
        return waiting_us(_DEFAULT_FWI)


class Reader:
    """What an antenna can do. `late` looks again for an answer that was PENDING."""

    def __init__(self, air: Air, time: ModelledTime) -> None:
        self.air = air
        self.time = time
        self.extensions = 0  # that were granted
        self.retries = 0

    # -- finding -----------------------------------------------------------------------------

    def hears_somebody(self) -> bool:
        """Whether a card answers a request."""
        return self._send(RfFrame(bytes([REQA]), bits=7), _SHORT_WAIT_US) is not None

    def find(self, known: bytes | None = None, wake: bool = False) -> Found | None:
        """One card, selected: the known one, or the one that anticollision leads to."""
        atqa = self._send(RfFrame(bytes([WUPA if wake else REQA]), bits=7), _SHORT_WAIT_US)
        if atqa is None:
            return None
        uid = b""
        for code in SELECT_CODES:
            part = self._resolve(code) if known is None else self._level_of(known, code)
            if part is None:
                return None
            answer = self._send(RfFrame(with_crc(bytes([code, 0x70]) + part)), _SHORT_WAIT_US)
            if answer is None or not has_crc(answer.data):
                return None
            sak = answer.data[0]
            if not sak & 0x04:
                return Found(uid + part[:4], atqa.data, sak)
            uid += part[1:4]
        return None

    def _resolve(self, code: int) -> bytes | None:
        """The five bytes of a level; where answers collide it goes on with those that sent 1."""
        known = ""
        while True:
            whole, rest = divmod(16 + len(known), 8)
            head = to_bits(RfFrame(bytes([code, whole << 4 | rest])))
            answer = self._send(from_bits(head + known), _SHORT_WAIT_US)
            if answer is None:
                return None
            bits = to_bits(answer)
            if answer.collision < 0:
                return from_bits(known + bits).data
            known += bits[: answer.collision] + "1"

    def _level_of(self, uid: bytes, code: int) -> bytes:
        level = SELECT_CODES.index(code)
        rest = uid[3 * level :]
        part = rest if len(rest) == 4 else bytes([CASCADE_TAG]) + rest[:3]
        return part + bytes([part[0] ^ part[1] ^ part[2] ^ part[3]])

    def activate(self, found: Found) -> bool:
        """RATS; whether an ATS came."""
        answer = self._send(RfFrame(with_crc(bytes([0xE0, _FSDI << 4]))), _ATS_WAIT_US)
        if answer is None or not has_crc(answer.data) or answer.data[0] != len(answer.data) - 2:
            return False
        found.ats = answer.data[:-2]
        found.number, found.kept, found.more = 0, b"", False
        return True

    def release(self, found: Found) -> bool:
        """Puts a card to sleep, which may answer later to its number alone; whether it obeyed."""
        found.active = False
        if not found.speaks_isodep:
            self._send(RfFrame(with_crc(b"\x50\x00")), _SHORT_WAIT_US)
            return True
        return self._send(RfFrame(with_crc(bytes([S_DESELECT]))), found.wait_us, True) is not None

    def find_again(self, found: Found) -> bool:
        """Wakes a card that sleeps, by its number."""
        again = self.find(found.uid, wake=True)
        if again is None:
            return False
        found.active = True
        return self.activate(found) if found.speaks_isodep else True

    def is_there(self, found: Found) -> int:
        """Asks a card for a sign of life; a status."""
        answer = self._send(RfFrame(with_crc(bytes([R_NAK | found.number]))), found.wait_us, True)
        if answer is None:
            return TIMEOUT
        return OK if has_crc(answer.data) else CRC_ERROR

    # -- exchanging --------------------------------------------------------------------------

    def raw(self, found: Found, data: bytes) -> tuple[int, bytes, bool]:
        """A command to a card without blocks."""
        answer = self._send(RfFrame(with_crc(data)), waiting_us(_DEFAULT_FWI))
        if answer is None:
            return TIMEOUT, b"", False
        if not has_crc(answer.data):
            return CRC_ERROR, b"", False
        return OK, answer.data[:-2], False

    def transact(self, found: Found, data: bytes, unfinished: bool = False) -> Steps:
        """Sends data and receives the answer: status, data, whether there is more.

        unfinished: more of the command comes with the next call. A card with more of its answer
        is asked for it with no data. It yields where a real chip would still be busy.
        """
        if found.more or found.kept:
            if data:
                return 0x27, b"", False
            return (yield from self._receive(found))
        size = found.frame_size - _OVERHEAD
        parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        for place, part in enumerate(parts):
            chaining = unfinished or place + 1 < len(parts)
            code = I_BLOCK | found.number | (CHAINING if chaining else 0)
            status, answer = yield from self._block(found, bytes([code]) + part, chaining)
            if status != OK:
                return status, b"", False
        if unfinished:
            return OK, b"", False
        self._keep(found, answer)
        return (yield from self._receive(found))

    def _keep(self, found: Found, block: bytes) -> None:
        found.kept += block[1:]
        found.more = bool(block[0] & CHAINING)

    def _receive(self, found: Found) -> Steps:
        while found.more and len(found.kept) < BUFFER_SIZE:
            ack = bytes([R_ACK | found.number])
            status, answer = yield from self._block(found, ack, False)
            if status != OK:
                found.more, found.kept = False, b""
                return status, b"", False
            self._keep(found, answer)
        data, found.kept = found.kept[:BUFFER_SIZE], found.kept[BUFFER_SIZE:]
        return OK, data, found.more or bool(found.kept)

    def _block(
        self, found: Found, block: bytes, chaining: bool
    ) -> Generator[None, None, tuple[int, bytes]]:
        """One block and what answers it, through lost blocks and waiting times."""
        outgoing, wait_us, status = block, found.wait_us, TIMEOUT
        fetching = block[0] & 0xE0 != 0  # an R(ACK) goes on with the card's chain
        errors = 0
        while errors <= _RETRIES:
            answer = yield from self._exchange(outgoing, wait_us)
            wait_us = found.wait_us
            if answer is not None and has_crc(answer.data):
                data = answer.data[:-2]
                if data[0] == S_WTX and len(data) == 2 and 0 < data[1] & 0x3F < 60:
                    self.extensions += 1
                    wait_us *= data[1] & 0x3F
                    outgoing = bytes([S_WTX, data[1] & 0x3F])
                    yield
                    continue
                if data[0] & 0xFE == R_ACK and not fetching:
                    if data[0] & 1 != found.number:
                        errors += 1
                        outgoing = block
                        continue
                    if chaining:
                        found.number ^= 1
                        return OK, data
                if data[0] & 0xEE == I_BLOCK and data[0] & 1 == found.number and not chaining:
                    found.number ^= 1
                    return OK, data
                status = PROTOCOL_ERROR
            else:
                status = TIMEOUT if answer is None else CRC_ERROR
            errors += 1
            outgoing = block if fetching else bytes([R_NAK | found.number])
        return status, b""

    def _exchange(self, block: bytes, wait_us: float) -> Generator[None, None, RfFrame | None]:
        frame = RfFrame(with_crc(block))
        self.time.in_air(air_us(len(frame.data)))
        answer = self.air.exchange(frame, True)
        while answer is PENDING:
            yield
            answer = self.late()
        return self._received(answer, wait_us)

    def late(self) -> RfFrame | None:
        """The answer that was PENDING, or PENDING still."""
        raise NotImplementedError

    def _send(self, frame: RfFrame, wait_us: float, block: bool = False) -> RfFrame | None:
        self.time.in_air(air_us(len(frame.data)))
        return self._received(self.air.exchange(frame, block), wait_us)

    def _received(self, answer: RfFrame | None, wait_us: float) -> RfFrame | None:
        if answer is None or answer.delay_us > wait_us:
            self.time.in_air(wait_us)
            return None
        self.time.in_air(answer.delay_us + air_us(len(answer.data)))
        return answer
