# SPDX-License-Identifier: Apache-2.0
"""The frames between a PN532 and its host (user manual, chapter 6.2.1), and how they can be ill.

A chip's answer can be spoilt in one way at a time, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

START = b"\x00\x00\xff"
ACK = START + b"\x00\xff\x00"
NAK = START + b"\xff\x00\x00"
SYNTAX_ERROR = START + b"\x01\xff\x7f\x81\x00"
TO_CHIP, TO_HOST = 0xD4, 0xD5
DATA_MAX = 265  # with the direction byte


def encode(content: bytes, tfi: int = TO_HOST, bare: bool = False) -> bytes:
    """A frame around command or answer code and data; extended above 255 bytes.

    bare: without preamble and postamble.
    """
    body = bytes([tfi]) + content
    size = len(body)
    if size < 256:
        header = bytes([size, -size & 0xFF])
    else:
        header = bytes([0xFF, 0xFF, size >> 8, size & 0xFF, -((size >> 8) + size) & 0xFF])
    frame = START + header + body + bytes([-sum(body) & 0xFF, 0x00])
    return frame[1:-1] if bare else frame


@dataclass(frozen=True)
class Heard:
    """What the host sent: kind "ack", "nak" or "command"; its body begins with the direction."""

    kind: str
    body: bytes = b""


class Listener:
    """Finds frames in whatever comes, byte by byte; what is no frame is not heard."""

    def __init__(self) -> None:
        self._bytes = b""
        self.ignored = 0  # frames with a wrong length or a wrong sum

    def feed(self, data: bytes) -> Iterator[Heard]:
        """More bytes; the frames that are now whole."""
        self._bytes += data
        while True:
            start = self._bytes.find(b"\x00\xff")
            if start < 0:
                self._bytes = self._bytes[-1:]
                return
            self._bytes = self._bytes[start:]
            if len(self._bytes) < 4:
                return
            length, check = self._bytes[2], self._bytes[3]
            if (length, check) in ((0x00, 0xFF), (0xFF, 0x00)):
                self._bytes = self._bytes[4:]
                yield Heard("nak" if length else "ack")
                continue
            place = self._body_size()
            if place is None:
                return
            offset, size = place
            if size == 0:
                self._refuse()
                continue
            if len(self._bytes) < offset + size + 1:
                return
            body = self._bytes[offset : offset + size]
            if (sum(body) + self._bytes[offset + size]) & 0xFF:
                self._refuse()
                continue
            self._bytes = self._bytes[offset + size + 1 :]
            yield Heard("command", body)

    def forget(self) -> None:
        """A transaction ended: the next begins with a frame."""
        self._bytes = b""

    def _refuse(self) -> None:
        self.ignored += 1
        self._bytes = self._bytes[2:]

    def _body_size(self) -> tuple[int, int] | None:
        """Where the body begins and its size, 0 if that is wrong; None: not all of it is here."""
        length, check = self._bytes[2], self._bytes[3]
        if (length, check) != (0xFF, 0xFF):
            return 4, length if not (length + check) & 0xFF else 0
        if len(self._bytes) < 7:
            return None
        high, low, check = self._bytes[4:7]
        size = high << 8 | low
        return 7, size if not (high + low + check) & 0xFF and size <= DATA_MAX else 0


def _header_size(frame: bytes) -> int:
    return 8 if frame[3:5] == b"\xff\xff" else 5


def _flip(frame: bytes, place: int) -> bytes:
    place %= len(frame)
    return frame[:place] + bytes([frame[place] ^ 0x10]) + frame[place + 1 :]


def _resum(frame: bytes, place: int, value: int) -> bytes:
    """Another byte in the body, and a sum that is right."""
    head = _header_size(frame)
    body = bytearray(frame[head:-2])
    body[place] = value
    return frame[:head] + bytes(body) + bytes([-sum(body) & 0xFF, 0x00])


def _longer(frame: bytes) -> bytes:
    """It announces five bytes more than come."""
    size = frame[3] + 5
    return frame[:3] + bytes([size & 0xFF, -size & 0xFF]) + frame[5:]


# What can become of one answer.
ANSWER_DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "bad start code": lambda frame: _flip(frame, 2),
    "bad LCS": lambda frame: _flip(frame, _header_size(frame) - 1),
    "bad LEN": lambda frame: _flip(frame, _header_size(frame) - 2),
    "bad DCS": lambda frame: _flip(frame, -2),
    "flipped data": lambda frame: _flip(frame, -3),
    "bad postamble": lambda frame: _flip(frame, -1),
    "cut in the header": lambda frame: frame[:4],
    "cut in the data": lambda frame: frame[: -max(3, (len(frame) - 5) // 2)],
    "cut before the sum": lambda frame: frame[:-2],
    "longer than it is": _longer,
    "empty": lambda frame: START + b"\x01\xff\xd5\x2b\x00",
    "wrong direction": lambda frame: _resum(frame, 0, TO_CHIP),
    "wrong response code": lambda frame: _resum(frame, 1, frame[_header_size(frame) + 1] ^ 0x02),
    "garbage before": lambda frame: b"\x55\xaa\xff\x00\x13" + frame,
    "start code before": lambda frame: b"\x00\xff" + frame,
    "extra bytes": lambda frame: frame + b"\x12\x34\x56",
    "error frame": lambda frame: SYNTAX_ERROR,
    "ack again": lambda frame: ACK + frame,
    "nak instead": lambda frame: NAK,
    "twice": lambda frame: frame + frame,
    "no answer": lambda frame: b"",
    "only ones": lambda frame: b"\xff" * len(frame),
    "only zeros": lambda frame: bytes(len(frame)),
}
# What can become of the acknowledgement of one command.
ACK_DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "no ack": lambda frame: b"",
    "nak for ack": lambda frame: NAK,
    "bad ack": lambda frame: START + b"\x00\xfe\x00",
    "cut ack": lambda frame: frame[:4],
    "garbage before ack": lambda frame: b"\x55\xff\x00\x01" + frame,
    "ack twice": lambda frame: frame + frame,
    "error for ack": lambda frame: SYNTAX_ERROR,
}
# The chip does not hear the command at all, or never has its answer ready.
DEAF, ENDLESS = "deaf", "endless busy"
LINK_DEFECTS = (*ANSWER_DEFECTS, *ACK_DEFECTS, DEAF, ENDLESS)
