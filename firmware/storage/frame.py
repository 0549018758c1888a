# SPDX-License-Identifier: Apache-2.0
"""One record as it lies in a log: head u16 · sequence u8 · payload · CRC-32.

The head is the record's kind (4 bits, 1 to 14) and its payload's size (12 bits). The CRC begins
with the salt of its sector, so that nothing counts that was not written to this sector this time.

CRC-32 keeps any two records of one size apart by at least four bits. A record with one flipped
bit can therefore be put right: of all the bits, one alone makes the CRC fit.
"""

import binascii

_HEAD = 3
_CRC = 4
OVERHEAD = _HEAD + _CRC
_SIZE_BITS = 12
_KINDS = 15  # an erased head reads as kind 15
_HEAD_BITS = 16  # of kind and size
_POLYNOMIAL_HIGH = 0xEDB8  # CRC-32's, reflected
_POLYNOMIAL_LOW = 0x8320
RECORD_SIZE = 320  # bytes that no record exceeds: the longest has 272


class Frame:
    """A record that was found: `kind`, `sequence`, `payload`, and `size`, of all of it.

    was_mended: one of its bits was wrong.
    """

    def __init__(self, raw: "bytes | bytearray", at: int, end: int) -> None:
        self.kind = raw[at] >> 4
        self.sequence = raw[at + 2]
        self.payload = bytes(raw[at + _HEAD : end - _CRC])
        self.size = end - at
        self.was_mended = False


def framed(kind: int, sequence: int, payload: bytes, salt: int) -> bytes:
    """A record's bytes, to be stored in a sector of this salt."""
    head = kind << _SIZE_BITS | len(payload)
    body = bytes((head >> 8, head & 0xFF, sequence)) + payload
    return body + _crc(body, salt)


def find(raw: "bytes | bytearray", at: int, salt: int) -> "Frame | None":
    """The record at this offset, or None if there is none whose CRC fits."""
    end = _end(raw, at)
    if end and _crc(raw[at : end - _CRC], salt) == raw[end - _CRC : end]:
        return Frame(raw, at, end)
    return None


def mend(raw: bytearray, at: int, salt: int) -> "Frame | None":
    """The record at this offset with one of its bits turned over, or None if that is no help.

    Where it helps, `raw` is left mended.
    """
    end = _end(raw, at)
    if end:
        frame = _flipped(raw, at, _wrong_bit(raw, at, end, salt), salt)
        if frame is not None:
            return frame
    for bit in range(_HEAD_BITS):  # where it moves the CRC, or makes this no record at all
        frame = _flipped(raw, at, bit, salt)
        if frame is not None:
            return frame
    return None


def size_of(raw: "bytes | bytearray", at: int) -> int:
    """How long the record at this offset is by its head, whether that is right or not; or 0."""
    end = _end(raw, at)
    return end - at if end else 0


def _wrong_bit(raw: bytearray, at: int, end: int, salt: int) -> int:
    """The one bit whose turning makes the CRC fit, counted from the record's first; -1: none.

    A CRC is linear: what one wrong bit makes of it depends on how many bits follow, and on
    nothing else. So the bits are gone through from the last to the first, a shift each.
    """
    body = end - _CRC
    size = 8 * (body - at)
    wrong = binascii.crc32(raw[at:body], salt) ^ int.from_bytes(raw[body:end], "big")
    for bit in range(8 * _CRC):
        if wrong == 1 << bit:
            return size + 8 * (_CRC - 1 - (bit >> 3)) + (bit & 7)
    high, low = wrong >> 16, wrong & 0xFFFF
    above, below = _POLYNOMIAL_HIGH, _POLYNOMIAL_LOW  # halves: a small integer has 31 bits
    for bit in range(size - 1, -1, -1):
        if above == high and below == low:
            return bit
        is_odd = below & 1
        below = below >> 1 | (above & 1) << 15
        above >>= 1
        if is_odd:
            above ^= _POLYNOMIAL_HIGH
            below ^= _POLYNOMIAL_LOW
    return -1


def _flipped(raw: bytearray, at: int, bit: int, salt: int) -> "Frame | None":
    if bit < 0 or at + (bit >> 3) >= len(raw):
        return None
    raw[at + (bit >> 3)] ^= 1 << (bit & 7)
    frame = find(raw, at, salt)
    if frame is None:
        raw[at + (bit >> 3)] ^= 1 << (bit & 7)
    else:
        frame.was_mended = True
    return frame


def _end(raw: "bytes | bytearray", at: int) -> int:
    """Where a record at this offset would end; 0 where none can be."""
    if at + OVERHEAD > len(raw):
        return 0
    kind = raw[at] >> 4
    end = at + OVERHEAD + ((raw[at] << 8 | raw[at + 1]) & ((1 << _SIZE_BITS) - 1))
    return end if 0 < kind < _KINDS and end <= min(len(raw), at + RECORD_SIZE) else 0


def _crc(body: "bytes | bytearray", salt: int) -> bytes:
    return binascii.crc32(body, salt).to_bytes(_CRC, "big")
