# SPDX-License-Identifier: Apache-2.0
"""HMAC with SHA-256 (RFC 2104, FIPS 198-1); MicroPython has no `hmac` module."""

from hashlib import sha256

_BLOCK_SIZE = 64
_INNER_PAD = int.from_bytes(b"\x36" * _BLOCK_SIZE, "big")
_OUTER_PAD = int.from_bytes(b"\x5c" * _BLOCK_SIZE, "big")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The 32-byte tag of a message under a key, each of any length."""
    if len(key) > _BLOCK_SIZE:
        key = sha256(key).digest()
    padded = int.from_bytes(key, "big") << 8 * (_BLOCK_SIZE - len(key))
    inner = sha256((padded ^ _INNER_PAD).to_bytes(_BLOCK_SIZE, "big"))
    inner.update(message)
    outer = sha256((padded ^ _OUTER_PAD).to_bytes(_BLOCK_SIZE, "big"))
    outer.update(inner.digest())
    return outer.digest()
