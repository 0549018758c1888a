# SPDX-License-Identifier: Apache-2.0
"""BER-TLV as ISO 7816-4 uses it, with the lengths that a short APDU can hold."""

from firmware.wire.layout import WireError

FCI_TEMPLATE = 0x6F
DF_NAME = 0x84
FCI_PROPRIETARY = 0xA5

MAX_VALUE = 0xFFFF


def encode(tag: int, value: bytes) -> bytes:
    """One object: a one- or two-byte tag, the shortest length form, the value."""
    head = bytes([tag]) if tag <= 0xFF else bytes([tag >> 8, tag & 0xFF])
    size = len(value)
    if size < 0x80:
        return head + bytes([size]) + value
    if size <= 0xFF:
        return head + bytes([0x81, size]) + value
    if size <= MAX_VALUE:
        return head + bytes([0x82, size >> 8, size & 0xFF]) + value
    raise WireError("tlv: the value is too long")


def decode(raw: bytes) -> "list[tuple[int, bytes]]":
    """The (tag, value) objects in `raw`, one level deep.

    Raises WireError for cut objects, tags of more than two bytes, indefinite or overlong
    lengths (reliability case L09).
    """
    objects = []
    at = 0
    while at < len(raw):
        tag, at = _take_tag(raw, at)
        size, at = _take_length(raw, at)
        if at + size > len(raw):
            raise WireError("tlv: the value is cut off")
        objects.append((tag, bytes(raw[at : at + size])))
        at += size
    return objects


def find(raw: bytes, tag: int) -> bytes:
    """The value of the one object with `tag`. Raises WireError if it is missing or doubled."""
    values = [value for found, value in decode(raw) if found == tag]
    if len(values) != 1:
        raise WireError("tlv: object %X stands %d times" % (tag, len(values)))
    return values[0]


def _take_tag(raw: bytes, at: int) -> "tuple[int, int]":
    tag = raw[at]
    if tag & 0x1F != 0x1F:
        return tag, at + 1
    if at + 1 >= len(raw) or raw[at + 1] & 0x80:
        raise WireError("tlv: the tag is cut off or too long")
    return tag << 8 | raw[at + 1], at + 2


def _take_length(raw: bytes, at: int) -> "tuple[int, int]":
    if at >= len(raw):
        raise WireError("tlv: the length is cut off")
    first = raw[at]
    if first < 0x80:
        return first, at + 1
    width = first & 0x7F
    if width not in (1, 2) or at + 1 + width > len(raw):
        raise WireError("tlv: the length is cut off or has an unknown form")
    size = int.from_bytes(raw[at + 1 : at + 1 + width], "big")
    if size < (0x80 if width == 1 else 0x100):
        raise WireError("tlv: the length is not in its shortest form")
    return size, at + 1 + width
