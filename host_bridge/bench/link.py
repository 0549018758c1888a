# SPDX-License-Identifier: Apache-2.0
"""What APDUs become on their way: blocks in the air (ISO 14443-4), frames on a reader's bus."""

from __future__ import annotations

from firmware.wire import frame
from host_bridge.bench.card import Step
from host_bridge.bench.table import Profile, Source, Table, Time

_SLOWEST = 106  # kbit/s, at which every card begins
_WAITING_BLOCK = 4  # S(WTX), from the card and from the reader: PCB, multiplier, CRC

# PN532 (UM0701-02): a normal frame has so many bytes around its content, an extended one more.
_FRAME, _EXTENDED, _LONGEST_NORMAL = 8, 11, 255
_ACK = 6
_DIRECTION = 1  # on SPI a byte says what is read or written, before each frame
_READY = 2  # and the status is asked for, once before the ACK and once before the answer
_IN_DATA_EXCHANGE = 3  # D4 40 and the target; D5 41 and a status in the answer
_COMMAND, _STATUS = 2, 3  # TgGetData, TgSetData: D4 and a code; with a status in the answer
_LIST_TARGET, _TARGET = 4, 24  # InListPassiveTarget, and a card with UID and ATS in its answer
_CCID = 10

Row = tuple[str, float, float, float, Source]


class Air:
    """The air between a reader and a card, at a rate in kbit/s."""

    def __init__(self, table: Table, profile: Profile, rate: int) -> None:
        self._air = table.air
        self._profile = profile
        self._rate = rate
        self._standard = table.source(self._air["source"])
        self._frames_by = table.source(profile.frame_source)
        self._card: Time = table.air_time("card_delay")
        self._reader: Time = table.air_time("reader_delay")
        self._field_on: Time = table.air_time("field_on")

    def byte_ms(self, rate: int) -> float:
        """One byte with its parity."""
        return float(self._air["bits_a_byte"]) * self._bit_ms(rate)

    def _bit_ms(self, rate: int) -> float:
        at_slowest = self._air["carrier_periods_a_bit"] / self._air["carrier_khz"]
        return float(at_slowest) / (rate // _SLOWEST)

    def _sent_ms(self, size: int, frames: int, rate: int) -> float:
        around = frames * float(self._air["bits_a_frame"]) * self._bit_ms(rate)
        return size * self.byte_ms(rate) + around

    def blocks(self, step: Step) -> tuple[int, int, int]:
        """Blocks of the command, blocks of the answer, bytes of all with their R(ACK)s."""
        overhead = int(self._air["block_overhead"])
        there = _pieces(len(step.command), self._profile.card_frame - overhead)
        back = _pieces(len(step.response), self._profile.reader_frame - overhead)
        acknowledged = there + back - 2
        size = len(step.command) + len(step.response) + overhead * (there + back + acknowledged)
        return there, back, size

    def terms(self, steps: list[Step], busy: list[tuple[float, float]]) -> list[Row]:
        """The terms of a tap. busy: how long the card works on each APDU, usually and longest."""
        size = turns = 0
        for step in steps:
            there, back, more = self.blocks(step)
            size += more
            turns += there + back - 1
        on_air = self._sent_ms(size, 2 * turns, self._rate)
        waits = [self._waits([one[when] for one in busy]) for when in (0, 1)]
        waiting = [
            self._sent_ms(2 * _WAITING_BLOCK * many, 2 * many, self._rate) for many in waits
        ]
        several = [turns + many for many in waits]
        rows: list[Row] = [
            *self._activation(),
            (f"the air at {self._rate} kbit/s, a byte", size, on_air, on_air, self._frames_by),
            self._delays("the card turns round", self._card, several),
            self._delays("the reader turns round", self._reader, several),
        ]
        if waits[1]:
            usual, longest = waiting
            rows.append(("the card asks for time", waits[0], usual, longest, self._frames_by))
        return rows

    def _waits(self, busy_ms: list[float]) -> int:
        """How often the card says that it needs longer than the frame waiting time."""
        return sum(int(one // self._profile.waiting_ms) for one in busy_ms)

    def _delays(self, label: str, time: Time, turns: list[int]) -> Row:
        typical, longest = turns[0] * time.typical_ms, turns[1] * time.longest_ms
        return label, turns[0], typical, longest, time.source

    def _activation(self) -> list[Row]:
        exchanges = list(self._air["activation"])
        if self._rate > _SLOWEST:
            exchanges.append(self._air["speed_up"])
        size = sum(out + back for _, out, back in exchanges)
        sent = self._sent_ms(size, 2 * len(exchanges), _SLOWEST)
        turns = len(exchanges)
        typical = sent + turns * (self._card.typical_ms + self._reader.typical_ms)
        longest = sent + turns * (self._card.longest_ms + self._reader.longest_ms)
        field = self._field_on
        return [
            ("the field comes on", 1, field.typical_ms, field.longest_ms, field.source),
            ("anticollision, RATS, PPS: a byte", size, typical, longest, self._standard),
        ]


def bus_bytes(style: str, side: str, steps: list[Step]) -> tuple[int, int]:
    """Bytes and commands on a bus of this style, for all of a tap.

    side: the reader's PN532 exchanges, a card's gets and sets; the other styles have one side.
    """
    if style == "serial":
        return _serial_bytes(steps), 0
    if style == "ccid":
        sizes = [len(step.command) + len(step.response) + 2 * _CCID for step in steps]
        return sum(sizes), len(steps)
    exchanges: list[tuple[int, int]] = []
    if side == "reader":
        exchanges.append((_LIST_TARGET, _TARGET))
    for step in steps:
        there, back = len(step.command), len(step.response)
        if side == "reader":
            exchanges.append((_IN_DATA_EXCHANGE + there, _IN_DATA_EXCHANGE + back))
        else:
            exchanges += [(_COMMAND, _STATUS + there), (_COMMAND + back, _STATUS)]
    return sum(_pn532_bytes(out, back) for out, back in exchanges), len(exchanges)


def _pn532_bytes(out: int, back: int) -> int:
    """Command, acknowledgement and answer of a PN532; out, back: bytes of their content."""
    frames = _framed(out) + _ACK + _framed(back)
    return frames + 3 * _DIRECTION + 2 * _READY


def _framed(content: int) -> int:
    return content + (_FRAME if content <= _LONGEST_NORMAL else _EXTENDED)


def _serial_bytes(steps: list[Step]) -> int:
    """The very frames of a new tap and its APDUs on a serial line (docs/protocol/frame.md)."""
    nonce = bytes(range(1, frame.NONCE_SIZE + 1))
    frames = [(frame.RESET, nonce), (frame.READY, frame.HELLO + nonce)]
    for step in steps:
        frames.append((frame.COMMAND_APDU, step.command))
        frames.append((frame.RESPONSE_APDU, step.response))
    return sum(len(frame.encode(kind, 1, payload)) for kind, payload in frames)


def _pieces(size: int, limit: int) -> int:
    return max(1, -(-size // limit))
