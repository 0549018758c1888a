# SPDX-License-Identifier: Apache-2.0
"""How one copy of a record lies in a file: version u8 · sequence u32 · data · CRC-32 over it all.

The CRC finds worn or torn flash; against a thief with a soldering iron it proves nothing. Of
two copies the one with the higher sequence is the newer. Version 1 had no sequence: it is 0.
"""

import binascii

_VERSION = 2
_VERSION_1 = 1
_HEAD = {_VERSION_1: 1, _VERSION: 5}  # bytes before the data
_CRC_SIZE = 4
BAD = -1  # the sequence of what is no record


def sealed(sequence: int, data: bytes) -> bytes:
    """`data` as it is stored."""
    body = bytes((_VERSION,)) + sequence.to_bytes(4, "big") + data
    return body + binascii.crc32(body).to_bytes(_CRC_SIZE, "big")


def open_sealed(raw: bytes) -> "tuple[int, bytes]":
    """Sequence and data of a stored copy; BAD and nothing if a bit is not as it was written."""
    head = _HEAD.get(raw[0], 0) if raw else 0
    if not head or len(raw) < head + _CRC_SIZE:
        return BAD, b""
    body = raw[:-_CRC_SIZE]
    if binascii.crc32(body).to_bytes(_CRC_SIZE, "big") != raw[-_CRC_SIZE:]:
        return BAD, b""
    return int.from_bytes(body[1:head], "big"), bytes(body[head:])
