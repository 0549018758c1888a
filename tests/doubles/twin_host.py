# SPDX-License-Identifier: Apache-2.0
"""The computer's end of a GemPC Twin's line, as strict and as forgiving as libccid's driver.

It waits for the echo first, skips notices and requests for time, looks at no sequence number,
and throws nothing away between two commands.
"""

from __future__ import annotations

import os
import select
from functools import reduce
from operator import xor

SLOT_STATUS, POWER_ON, POWER_OFF = 0x65, 0x62, 0x63
TRANSFER, ESCAPE, SET_PARAMETERS, GET_PARAMETERS = 0x6F, 0x6B, 0x61, 0x6C


class Silence(Exception):
    """Nothing came in time."""


class Refused(Exception):
    """The reader said NAK."""


def message(kind: int, data: bytes = b"", *, own: bytes = bytes(3), sequence: int = 0) -> bytes:
    """A CCID command for slot 0."""
    return bytes([kind]) + len(data).to_bytes(4, "little") + bytes([0, sequence]) + own + data


def frame(text: bytes) -> bytes:
    """A message on the line."""
    head = b"\x03\x06" + text
    return head + bytes([reduce(xor, head)])


class TwinHost:
    """One end of a line that is an open file.

    skipped: notices (two bytes) and requests for time (one) that came before answers.
    """

    def __init__(self, descriptor: int, timeout_s: float = 5.0) -> None:
        self._descriptor = descriptor
        self._timeout_s = timeout_s
        self._held = b""
        self._sequence = 0
        self.skipped: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Anything."""
        while data:
            data = data[os.write(self._descriptor, data) :]

    def command(self, kind: int, data: bytes = b"", own: bytes = bytes(3)) -> bytes:
        """A command and its whole answer. Raises Silence, Refused, or AssertionError."""
        self._sequence = (self._sequence + 1) & 0xFF
        text = message(kind, data, own=own, sequence=self._sequence)
        self.write(frame(text))
        echo = self.receive()
        assert echo == text, f"{echo.hex()} is no echo of {text.hex()}"
        answer = self.receive()
        assert answer[5:7] == text[5:7], f"{answer.hex()} answers another command"
        return answer

    def receive(self) -> bytes:
        """The next message."""
        while True:
            first = self._take(1)
            if first == b"\x50":
                self.skipped.append(first + self._take(1))
            elif first[0] >= 0x80:
                self.skipped.append(first)
            else:
                assert first == b"\x03", f"{first.hex()} begins nothing"
                break
        control = self._take(1)
        if control == b"\x15":
            assert self._take(1) == b"\x16"
            raise Refused
        assert control == b"\x06"
        head = self._take(10)
        text = head + self._take(int.from_bytes(head[1:5], "little"))
        assert self._take(1) == frame(text)[-1:], "a wrong checksum"
        return text

    def is_quiet(self, wait_s: float) -> bool:
        """Whether nothing comes within this time."""
        return not self._held and not select.select([self._descriptor], [], [], wait_s)[0]

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            if not select.select([self._descriptor], [], [], self._timeout_s)[0]:
                raise Silence(self._held.hex())
            self._held += os.read(self._descriptor, 4096)
        taken, self._held = self._held[:size], self._held[size:]
        return taken
