# SPDX-License-Identifier: Apache-2.0
"""HKDF with SHA-256 (RFC 5869): keys out of a shared secret."""

from firmware.crypto.hmac import hmac_sha256

_HASH_SIZE = 32
_MAX_BLOCKS = 255


def hkdf_sha256(input_key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes derived from the input key for the purpose that `info` names.

    An empty salt means 32 zero bytes, as the RFC has it. Raises ValueError for a length outside
    0 to 8160 bytes.
    """
    if not 0 <= length <= _MAX_BLOCKS * _HASH_SIZE:
        raise ValueError("HKDF gives 0 to 8160 bytes")
    pseudorandom_key = hmac_sha256(salt, input_key)
    output = bytearray()
    block = b""
    for counter in range(1, (length + _HASH_SIZE - 1) // _HASH_SIZE + 1):
        block = hmac_sha256(pseudorandom_key, block + info + bytes([counter]))
        output += block
    return bytes(output[:length])
