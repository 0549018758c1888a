# SPDX-License-Identifier: Apache-2.0
"""How one record lies in flash: version u8 · data · CRC-32 over both.

The CRC finds worn or torn flash; against a thief with a soldering iron it proves nothing.
"""

import binascii

_VERSION = b"\x01"
_CRC_SIZE = 4


def sealed(data: bytes) -> bytes:
    """`data` as it is stored."""
    body = _VERSION + data
    return body + binascii.crc32(body).to_bytes(_CRC_SIZE, "big")


def open_sealed(raw: bytes) -> "bytes | None":
    """The data of a stored record, or None if a bit of it is not as it was written."""
    if len(raw) < 1 + _CRC_SIZE or raw[:1] != _VERSION:
        return None
    body = raw[:-_CRC_SIZE]
    if binascii.crc32(body).to_bytes(_CRC_SIZE, "big") != raw[-_CRC_SIZE:]:
        return None
    return bytes(body[1:])
