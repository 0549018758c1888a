# SPDX-License-Identifier: Apache-2.0
"""The frames of a GemPC Twin, in which libccid's serial driver speaks to a reader.

    03 06 · CCID message (a header of 10 bytes, then data) · XOR of all bytes before

The computer sends one command and waits. The reader sends the command back first, then its
answer in the same frame. Before the answer there may be notices of two bytes, that the card came
or left, and single bytes from 80 up, with which the computer's patience begins anew. To a command
that came damaged the reader answers `03 15 16`. Source: libccid 1.5.2, src/ccid_serial.c.

That driver compares no sequence numbers and empties no buffers between commands. A byte that it
did not wait for would be taken for the next answer, and each answer after that for the one
before. So nothing is sent here that no command asked for.
"""

from firmware.reader.ccid import COMMANDS, HEADER_SIZE, MAX_DATA, data_size

_SYNC = 0x03
_ACK = 0x06
_START = b"\x03\x06"
_OVERHEAD = 3  # SYNC, ACK, and the checksum behind the message
# Bytes kept that are no command yet: three of the longest, so the newest whole one is among them.
_MAX_WAITING = 3 * (_OVERHEAD + HEADER_SIZE + MAX_DATA)

NAK = b"\x03\x15\x16"
CARD_LEFT = b"\x50\x02"
CARD_CAME = b"\x50\x03"
MORE_TIME = b"\x80"


def encode(message: bytes) -> bytes:
    """The frame of a CCID message."""
    return b"".join((_START, message, bytes((_SYNC ^ _ACK ^ _checksum(message),))))


def _checksum(data: "bytes | bytearray | memoryview") -> int:
    total = 0
    for byte in data:
        total ^= byte
    return total


class Decoder:
    """Finds whole commands in a stream of bytes, whatever stands between them."""

    def __init__(self) -> None:
        self._bytes = b""
        self._was_damaged = False

    @property
    def is_waiting(self) -> bool:
        """Whether something has come that is no whole command."""
        return bool(self._bytes) or self._was_damaged

    def feed(self, data: "bytes | bytearray | memoryview") -> None:
        """Takes bytes as they come; of more than there is room for, the newest."""
        self._bytes = (self._bytes + bytes(data))[-_MAX_WAITING:]

    def next(self) -> "bytes | None":
        """The next whole command, a CCID message, or None until more has come.

        Of two only the newer one is wanted: who sends the second no longer waits for the first.
        """
        newest = None
        while self._find_start():
            if len(self._bytes) < 2 + HEADER_SIZE:
                break
            end = 2 + HEADER_SIZE + data_size(self._bytes[2:])
            if len(self._bytes) <= end:
                break
            if _checksum(memoryview(self._bytes)[: end + 1]):
                self._was_damaged = True
                self._bytes = self._bytes[1:]  # a whole one may have begun within it
                continue
            newest = self._bytes[2:end]
            self._bytes = self._bytes[end + 1 :]
            self._was_damaged = False
        return newest

    def give_up(self) -> bool:
        """The line fell silent: forgets what is no command; whether it was one, damaged.

        Only where a whole header was seen, or it may be noise for which nobody awaits an answer.
        """
        was_command = self._was_damaged or len(self._bytes) >= 2 + HEADER_SIZE
        self._bytes = b""
        self._was_damaged = False
        return was_command

    def _find_start(self) -> bool:
        """Drops what begins no command; whether something is left."""
        while self._bytes and not self._begins_command():
            start = self._bytes.find(_START[:1], 1)
            self._bytes = b"" if start < 0 else self._bytes[start:]
        return bool(self._bytes)

    def _begins_command(self) -> bool:
        found = self._bytes
        if found[:2] != _START[: len(found)]:
            return False
        if len(found) > 2 and found[2] not in COMMANDS:
            return False
        return len(found) < 2 + HEADER_SIZE or data_size(found[2:]) <= MAX_DATA
