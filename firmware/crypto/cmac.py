# SPDX-License-Identifier: Apache-2.0
"""CMAC with AES-128 (NIST SP 800-38B, RFC 4493)."""

from firmware.crypto.aes import cbc_encrypt, encrypt_block

_BLOCK_SIZE = 16
_ZERO_BLOCK = bytes(_BLOCK_SIZE)
_BLOCK_MASK = (1 << 128) - 1
_REDUCTION = 0x87


def aes_cmac(key: bytes, message: bytes) -> bytes:
    """The 16-byte tag of a message. Raises ValueError for a key of other than 16 bytes."""
    subkey = _doubled(int.from_bytes(encrypt_block(key, _ZERO_BLOCK), "big"))
    head = max(0, (len(message) - 1) // _BLOCK_SIZE * _BLOCK_SIZE)
    last = message[head:]
    if len(last) < _BLOCK_SIZE:
        subkey = _doubled(subkey)
        last = last + b"\x80" + bytes(_BLOCK_SIZE - 1 - len(last))
    masked = (int.from_bytes(last, "big") ^ subkey).to_bytes(_BLOCK_SIZE, "big")
    return cbc_encrypt(key, _ZERO_BLOCK, message[:head] + masked)[-_BLOCK_SIZE:]


def _doubled(value: int) -> int:
    """Twice an element of GF(2^128), without a branch on it."""
    return (value << 1 & _BLOCK_MASK) ^ (value >> 127) * _REDUCTION
