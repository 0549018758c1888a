# SPDX-License-Identifier: Apache-2.0
"""What a card's answer to reset says of itself (ISO 7816-3, 8.2; ISO 7816-4, 12.1.1)."""

from __future__ import annotations

MAX_ATR = 33  # bytes, TS included
_CONVENTIONS = (0x3B, 0x3F)
_COMPACT_TLV = (0x00, 0x80)  # category: historical bytes that are COMPACT-TLV objects
_STATUS_SIZE = 3  # category 00 ends in a status indicator outside of the objects
_CARD_CAPABILITIES = 0x7
_EXTENDED_LENGTH = 0x40  # of the third capability byte
_CHAINING = 0x80


class AtrError(ValueError):
    """The bytes are no answer to reset."""


def historical_bytes(atr: bytes) -> bytes:
    """The historical bytes. Raises AtrError."""
    if not 2 <= len(atr) <= MAX_ATR or atr[0] not in _CONVENTIONS:
        raise AtrError("no answer to reset begins so, or is of this length")
    at, more, size = 2, atr[1] >> 4, atr[1] & 0x0F
    while more:
        at += bin(more & 0x7).count("1")  # TA, TB, TC
        if not more & 0x8:
            break
        if at >= len(atr):
            raise AtrError("the answer to reset is cut short")
        more = atr[at] >> 4  # TD
        at += 1
    if at + size > len(atr):
        raise AtrError("the answer to reset is cut short")
    return atr[at : at + size]


def offers_extended_length(atr: bytes) -> bool:
    """Whether the card's capabilities name extended Lc and Le. Raises AtrError."""
    return bool(_capabilities(atr) & _EXTENDED_LENGTH)


def offers_chaining(atr: bytes) -> bool:
    """Whether the card's capabilities name command chaining. Raises AtrError."""
    return bool(_capabilities(atr) & _CHAINING)


def _capabilities(atr: bytes) -> int:
    """The third byte of the card capabilities, 0 where the card tells none."""
    historical = historical_bytes(atr)
    if not historical or historical[0] not in _COMPACT_TLV:
        return 0
    objects = historical[1:] if historical[0] else historical[1:-_STATUS_SIZE]
    while objects:
        tag, size = objects[0] >> 4, objects[0] & 0x0F
        value, objects = objects[1 : 1 + size], objects[1 + size :]
        if tag == _CARD_CAPABILITIES and len(value) == 3:
            return value[2]
    return 0
