# SPDX-License-Identifier: Apache-2.0
"""Frames between a host and a PN532. NXP UM0701-02, section 6.2.1.

    normal       00  00 FF  LEN LCS                  TFI PD0…PDn  DCS  00
    extended     00  00 FF  FF FF  LENM LENL LCS     TFI PD0…PDn  DCS  00
    ACK          00  00 FF  00 FF  00
    NAK          00  00 FF  FF 00  00
    error        00  00 FF  01 FF  7F  81  00

LEN counts from TFI to PDn; a length with its checksum is 0 modulo 256, as is TFI to DCS.
"""

from firmware.reader.pn532_errors import FrameDefect, Noise

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

TO_CHIP = 0xD4
TO_HOST = 0xD5
MAX_BODY = 265  # TFI and packet data, in either direction
MAX_FRAME = 8 + MAX_BODY + 2

START = b"\x00\xff"
ACK_FRAME = b"\x00\x00\xff\x00\xff\x00"
NAK_FRAME = b"\x00\x00\xff\xff\x00\x00"

# What `read_frame` gives for a frame without packet data; a body begins with TO_HOST.
ACK = b"\x00\xff"
NAK = b"\xff\x00"
ERROR = b"\x7f"

_LONG = b"\xff\xff"
_MAX_NORMAL = 0xFF
_SHORTEST = 5  # bytes of the shortest frame, an ACK whose preamble was lost
MAX_GARBAGE = 64  # bytes in front of a frame's start code


def write_frame(body: bytes) -> bytes:
    """The information frame around TFI and packet data. Raises ValueError above MAX_BODY."""
    size = len(body)
    if not 0 < size <= MAX_BODY:
        raise ValueError("a frame carries 1 to %d bytes" % MAX_BODY)
    if size <= _MAX_NORMAL:
        length = bytes([size, -size & 0xFF])
    else:
        high, low = size >> 8, size & 0xFF
        length = _LONG + bytes([high, low, -(high + low) & 0xFF])
    return b"\x00" + START + length + body + bytes([-sum(body) & 0xFF, 0])


def read_frame(read: "Callable[[int], bytes]") -> bytes:
    """One frame of the chip's: its body, TFI first, or ACK, NAK or ERROR.

    read: gives exactly so many bytes as it is asked for, or raises Noise. It is never asked
    for more than the frame has. Raises FrameDefect for anything else; Noise, which is one, where
    not even start code and length are a frame's.
    """
    head = _after_start_code(read)
    length, head = head[:2], head[2:]
    if length in (ACK, NAK):
        _complete(head, 1, read)
        return length
    if length == _LONG:
        head = _complete(head, 3, read)
        size, check, head = head[0] << 8 | head[1], sum(head[:3]), head[3:]
        what = "extended "
    else:
        size, check, what = length[0], sum(length), ""
    if check & 0xFF:
        raise Noise("a frame's %slength has a wrong checksum" % what)
    if not 0 < size <= MAX_BODY:
        raise Noise("a frame says that it has %d bytes" % size)
    try:
        raw = _complete(head, size + 2, read)
    except Noise:
        raise FrameDefect("a frame ends too early") from None
    return _body(raw, size)


def _after_start_code(read: "Callable[[int], bytes]") -> bytes:
    """The two bytes after the start code, and what else was read with them."""
    head = read(_SHORTEST)
    for _ in range(MAX_GARBAGE):
        start = head.find(START)
        if start >= 0:
            return _complete(head[start + 2 :], 2, read)
        head = head[-1:] + read(1)
    raise Noise("no frame begins in what comes from the reader chip")


def _complete(have: bytes, size: int, read: "Callable[[int], bytes]") -> bytes:
    return have + read(size - len(have)) if len(have) < size else have


def _body(raw: bytes, size: int) -> bytes:
    """The body of a frame whose checksum and postamble are still behind it."""
    if sum(raw[: size + 1]) & 0xFF:
        raise FrameDefect("a frame's data have a wrong checksum")
    body = raw[:size]
    if body == ERROR:
        return ERROR
    if body[0] != TO_HOST:
        raise FrameDefect("a frame is not one from the reader chip: %02X" % body[0])
    if size < 2:
        raise FrameDefect("a frame has no response code")
    return body
