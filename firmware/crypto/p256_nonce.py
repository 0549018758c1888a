# SPDX-License-Identifier: Apache-2.0
"""The nonces of a deterministic signature: RFC 6979, section 3.2, for P-256 and HMAC-SHA256."""

from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.p256_curve import ORDER

# One candidate in 2^32 is out of range. So many in a row would be a broken hash.
_MAX_CANDIDATES = 16


class Nonces:
    """The sequence of nonces for one private scalar and one digest reduced modulo ORDER."""

    def __init__(self, secret: int, e: int) -> None:
        """Seed the generator (steps b to g)."""
        seed = secret.to_bytes(32, "big") + e.to_bytes(32, "big")
        self._key = b"\x00" * 32
        self._v = b"\x01" * 32
        self._stir(b"\x00" + seed)
        self._stir(b"\x01" + seed)

    def next(self) -> int:
        """The next nonce in [1, ORDER) (step h)."""
        for _ in range(_MAX_CANDIDATES):
            self._v = hmac_sha256(self._key, self._v)
            nonce = int.from_bytes(self._v, "big")
            self._stir(b"\x00")
            if 0 < nonce < ORDER:
                return nonce
        raise ValueError("no candidate for a nonce is in range")

    def _stir(self, data: bytes) -> None:
        self._key = hmac_sha256(self._key, self._v + data)
        self._v = hmac_sha256(self._key, self._v)
