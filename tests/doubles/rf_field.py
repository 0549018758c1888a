# SPDX-License-Identifier: Apache-2.0
"""The field of an antenna: what lies in it hears every frame, and what it answers meets.

Frames are those of ISO/IEC 14443-3 Type A with their CRC, as they would be in the air. Any frame
can be lost or spoilt on its way.
"""

from __future__ import annotations

import binascii
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

TO_CARD, TO_READER = "to card", "to reader"
LOST, CORRUPT = "lost", "corrupt"


@dataclass(frozen=True)
class RfFrame:
    """bits: how many of the last byte are valid, 0 for all. collision: first bit where answers
    differ, counted from 0; -1: none. delay_us: how long a card thought before it answered."""

    data: bytes
    bits: int = 0
    collision: int = -1
    delay_us: int = 0

    @property
    def length(self) -> int:
        """In bits."""
        return 8 * len(self.data) - (8 - self.bits if self.bits else 0)


class Lying(Protocol):
    """What can lie in the field.

    guard: the field's lock, which is held while it is spoken to; it may let go of it meanwhile.
    """

    guard: threading.RLock | None

    def power(self, on: bool) -> None:
        """The field came or went; without it nothing is remembered."""

    def hear(self, frame: RfFrame) -> RfFrame | None:
        """One frame of the reader; None: silence."""


# Every byte with its bits turned round.
_TURNED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def crc_a(data: bytes) -> bytes:
    """The CRC of Type A, ISO/IEC 14443-3 annex B: 0x1021 mirrored, from 0x6363.

    The library has the same polynomial unmirrored, and from C6C6 it does it with bits turned.
    """
    register = binascii.crc_hqx(data.translate(_TURNED), 0xC6C6)
    return register.to_bytes(2, "big").translate(_TURNED)


def has_crc(data: bytes) -> bool:
    """Whether a frame ends with its CRC."""
    return len(data) > 2 and crc_a(data[:-2]) == data[-2:]


def to_bits(frame: RfFrame) -> str:
    """Least significant bit first, as they are sent."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in frame.data)
    return bits[: frame.length]


def from_bits(bits: str) -> RfFrame:
    """The frame of these bits."""
    groups = [bits[start : start + 8] for start in range(0, len(bits), 8)]
    data = bytes(int(group[::-1], 2) for group in groups)
    return RfFrame(data, len(bits) % 8)


class Field:
    """What one antenna reaches.

    interfere: may spoil any frame: it is told the direction and the frame's bytes and returns
    what arrives, or None. heard: blocks of ISO-DEP that a reader sent so far (not the frames
    that find and choose a card).
    """

    def __init__(self) -> None:
        self.interfere: Callable[[str, bytes], bytes | None] | None = None
        self.heard = 0
        self.trace: list[tuple[str, bytes]] | None = None  # a list: every frame is added to it
        self._things: tuple[Lying, ...] = ()
        self._spoilt: dict[tuple[int, str], str] = {}
        self._is_on = False
        # Cards are put in and torn out by another thread than the one that speaks to them.
        self._guard = threading.RLock()

    # -- what lies in it ---------------------------------------------------------------------

    @property
    def things(self) -> tuple[Lying, ...]:
        """What lies in the field."""
        return self._things

    @property
    def is_on(self) -> bool:
        """Whether the antenna sends."""
        return self._is_on

    def put(self, thing: Lying) -> None:
        """Puts a card in; a second one lies beside the first."""
        with self._guard:
            if thing not in self._things:
                self._things += (thing,)
                thing.guard = self._guard
                thing.power(self._is_on)

    def pull(self, thing: Lying | None = None) -> None:
        """Tears a card out, or all of them."""
        with self._guard:
            gone = self._things if thing is None else (thing,)
            self._things = tuple(other for other in self._things if other not in gone)
            for other in gone:
                other.power(False)

    def switch(self, on: bool) -> None:
        """The field comes or goes."""
        with self._guard:
            if on != self._is_on:
                self._is_on = on
                for thing in self._things:
                    thing.power(on)

    # -- defects -----------------------------------------------------------------------------

    def spoil(self, number: int, direction: str, kind: str = LOST) -> None:
        """The n-th next ISO-DEP block of the reader, or the answer to it, is lost or corrupt."""
        self._spoilt[(self.heard + number, direction)] = kind

    def _pass(self, direction: str, data: bytes, numbered: bool) -> bytes | None:
        arrived: bytes | None = data
        kind = self._spoilt.pop((self.heard, direction), None) if numbered else None
        if kind == LOST:
            arrived = None
        elif kind == CORRUPT:
            arrived = data[:-1] + bytes([data[-1] ^ 0x04])
        if self.interfere is not None and arrived is not None:
            arrived = self.interfere(direction, arrived)
        if self.trace is not None:
            self.trace.append((direction if arrived == data else f"{direction}, spoilt", data))
        return arrived

    # -- frames ------------------------------------------------------------------------------

    def exchange(self, frame: RfFrame, numbered: bool = False) -> RfFrame | None:
        """One frame of the reader, and what comes back; None: nothing does.

        numbered: it is a block of ISO-DEP, which `spoil` counts.
        """
        with self._guard:
            return self._exchange(frame, numbered)

    def _exchange(self, frame: RfFrame, numbered: bool) -> RfFrame | None:
        if not self._is_on:
            return None
        self.heard += numbered
        arrived = self._pass(TO_CARD, frame.data, numbered)
        if arrived is None:
            return None
        answers = []
        for thing in self._things:
            answer = thing.hear(RfFrame(arrived, frame.bits))
            if answer is not None:
                answers.append(answer)
        if not answers:
            return None
        met = meet(answers)
        data = self._pass(TO_READER, met.data, numbered)
        return None if data is None else replace(met, data=data)


def meet(answers: list[RfFrame]) -> RfFrame:
    """What a reader receives when several answer at once; a bit on which they differ reads 1."""
    if all(answer == answers[0] for answer in answers):
        return answers[0]
    strings = [to_bits(answer) for answer in answers]
    width = max(len(bits) for bits in strings)
    columns = [{bits[place] for bits in strings if place < len(bits)} for place in range(width)]
    merged = from_bits("".join("1" if "1" in column else "0" for column in columns))
    differing = [place for place, column in enumerate(columns) if len(column) > 1]
    first = differing[0] if differing else min(len(bits) for bits in strings)
    return RfFrame(merged.data, merged.bits, first)
