# SPDX-License-Identifier: Apache-2.0
"""The frame of the serial link between a host and a board.

A frame is `kind u8 · sequence u8 · payload (0..600 bytes) · crc32 u32`, big-endian, stuffed with
COBS (Cheshire and Baker, 1999) so that it holds no zero byte, between two 0x00 delimiters.
The leading delimiter ends whatever noise the line held before the frame; an empty run between
two delimiters is nothing. Anything else that is not a whole, right frame is dropped and counted.
"""

from binascii import crc32

# Kinds of frame. Each request has one answer of the same sequence number, or ERROR.
COMMAND_APDU = 1  # payload: one command APDU
RESPONSE_APDU = 2  # payload: response data and status word
RESET = 3  # a new tap: the card's session state is cleared; payload: a nonce of the host's
READY = 4  # payload: a short ASCII greeting, then the nonce of the RESET
STATS = 5  # how much heap does the card use?
STATS_ANSWER = 6  # payload: used now u32, peak u32, total u32, in bytes
ERROR = 7  # payload: one byte, an ERROR_ code

ERROR_BAD_KIND = 1  # the frame is of a kind that the board does not serve
ERROR_TOO_LONG = 2  # the application's response is longer than a frame
ERROR_APPLICATION_FAILED = 3  # the application raised; its session was reset

HELLO = b"qalta-card 1"
NONCE_SIZE = 8  # of RESET: READY ends with it, so that no answer to an older host passes for it

MAX_PAYLOAD = 600
_HEADER = 2
_CHECK = 4
_MAX_CONTENT = _HEADER + MAX_PAYLOAD + _CHECK
_DELIMITER = b"\x00"
_LONGEST_RUN = 254  # bytes that one COBS code can announce


class Frame:
    """One frame as received; `check` is its CRC, which tells a repeated frame from a new one."""

    def __init__(self, kind: int, sequence: int, payload: bytes, check: int) -> None:
        self.kind = kind
        self.sequence = sequence
        self.payload = payload
        self.check = check


def encode(kind: int, sequence: int, payload: bytes) -> bytes:
    """Return the bytes of a frame on the line, with both delimiters.

    Raises ValueError for a payload of more than MAX_PAYLOAD bytes.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError("payload is longer than a frame")
    content = bytes((kind, sequence)) + payload
    content += crc32(content).to_bytes(_CHECK, "big")
    return _DELIMITER + _stuff(content) + _DELIMITER


def _stuff(content: bytes) -> bytes:
    stuffed = bytearray()
    for run in content.split(_DELIMITER):
        while len(run) >= _LONGEST_RUN:
            stuffed.append(_LONGEST_RUN + 1)
            stuffed.extend(run[:_LONGEST_RUN])
            run = run[_LONGEST_RUN:]
        stuffed.append(len(run) + 1)
        stuffed.extend(run)
    return bytes(stuffed)


class Decoder:
    """Finds frames in a stream of bytes, within a buffer that is allocated once.

    `dropped` counts what stood between two delimiters and was no frame.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._content = bytearray(_MAX_CONTENT)
        self._begin()

    def _begin(self) -> None:
        self._length = 0
        self._run_left = 0  # bytes that the current COBS run still announces
        self._zero_due = False  # a zero stands before the next run
        self._empty = True
        self._too_long = False

    def feed(self, byte: int) -> "Frame | None":
        """Take one byte of the stream; return a frame when this byte completes one."""
        if byte == 0:
            frame = self._finish()
            self._begin()
            return frame
        self._empty = False
        if self._run_left:
            self._run_left -= 1
            self._put(byte)
        else:
            if self._zero_due:
                self._put(0)
            self._run_left = byte - 1
            self._zero_due = byte <= _LONGEST_RUN
        return None

    def _put(self, byte: int) -> None:
        if self._length == _MAX_CONTENT:
            self._too_long = True
        else:
            self._content[self._length] = byte
            self._length += 1

    def _finish(self) -> "Frame | None":
        if self._empty:
            return None
        end = self._length - _CHECK
        if not self._too_long and not self._run_left and end >= _HEADER:
            content = memoryview(self._content)
            check = int.from_bytes(bytes(content[end : self._length]), "big")
            if crc32(content[:end]) == check:
                payload = bytes(content[_HEADER:end])
                return Frame(content[0], content[1], payload, check)
        self.dropped += 1
        return None
