# SPDX-License-Identifier: Apache-2.0
"""ECDSA on P-256 (FIPS 186-5) with the nonces of RFC 6979.

Keys and signatures are raw and big-endian: a private key is 32 bytes, a public key x || y, a
signature r || s. A digest is the 32 bytes of SHA-256. The interpreter's integers take a time that
depends on their values. Signing blinds what it computes with, so that the time tells little; but
a software key is still only as safe as the board that holds it.
"""

from os import urandom

from firmware.crypto.p256_curve import ORDER, P, inverse, is_on_curve
from firmware.crypto.p256_ladder import multiply_base, multiply_sum
from firmware.crypto.p256_nonce import Nonces

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.crypto.p256_prepared import PreparedKey, Sum

__all__ = (
    "ORDER",
    "PRIVATE_KEY_SIZE",
    "PUBLIC_KEY_SIZE",
    "SIGNATURE_SIZE",
    "holds",
    "on_curve",
    "prepare",
    "public_key",
    "sign",
    "verify",
)

PRIVATE_KEY_SIZE = 32
PUBLIC_KEY_SIZE = 64
SIGNATURE_SIZE = 64

_DIGEST_SIZE = 32
# The chance that a nonce must be drawn again is 2^-255.
_MAX_NONCES = 4


def public_key(private_key: bytes) -> bytes:
    """The public key x || y of a private key.

    Raises ValueError for a private key that is 0, not below the order, or not 32 bytes.
    """
    return _join(*_blinded_multiple(_private_scalar(private_key)))


def sign(private_key: bytes, digest: bytes) -> bytes:
    """The signature r || s of a 32-byte digest; the same each time (RFC 6979, HMAC-SHA256).

    Raises ValueError for a bad private key, as `public_key` does, or a digest of another length.
    """
    secret = _private_scalar(private_key)
    if len(digest) != _DIGEST_SIZE:
        raise ValueError("a digest has 32 bytes")
    e = int.from_bytes(digest, "big") % ORDER
    nonces = Nonces(secret, e)
    for _ in range(_MAX_NONCES):
        nonce = nonces.next()
        r = _blinded_multiple(nonce)[0] % ORDER
        # A random factor, which cancels out, stands in every number that a secret goes into.
        blind = _random_scalar()
        s = inverse(blind * nonce % ORDER, ORDER)
        s = s * ((blind * e + blind * r % ORDER * secret) % ORDER) % ORDER
        if r != 0 and s != 0:
            return _join(r, s)
    raise ValueError("no nonce gives a signature")


def verify(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether r || s is the key's signature of a 32-byte digest. False for anything malformed."""
    if not on_curve(public_key):
        return False
    q = _split(public_key)
    return holds(digest, signature, lambda u1, u2: multiply_sum(u1, u2, q))


def prepare(public_key: bytes) -> "PreparedKey":
    """A key for many verifications, with a method `verify(digest, signature) -> bool`.

    Takes about the time of one verification, and 4 KB. Raises ValueError for a key that is not a
    point of the curve.
    """
    # What only a prepared key needs takes memory on a board only where there is one.
    from firmware.crypto import p256_prepared as prepared

    if not on_curve(public_key):
        raise ValueError("a public key is a point of the curve")
    return prepared.PreparedKey(_split(public_key), holds)


def on_curve(public_key: bytes) -> bool:
    """Whether 64 bytes x || y are a point of the curve, with both coordinates below the prime."""
    return len(public_key) == PUBLIC_KEY_SIZE and is_on_curve(*_split(public_key))


def holds(digest: bytes, signature: bytes, add: "Sum") -> bool:
    """Whether r is the x of u1 * G + u2 * Q; False for what can be no digest or signature.

    `add` gives that sum for u1 and u2, in Jacobian coordinates.
    """
    if len(signature) != SIGNATURE_SIZE or len(digest) != _DIGEST_SIZE:
        return False
    r, s = _split(signature)
    if not (0 < r < ORDER and 0 < s < ORDER):
        return False
    w = inverse(s, ORDER)
    x, _, z = add(int.from_bytes(digest, "big") * w % ORDER, r * w % ORDER)
    if z == 0:
        return False
    # r is the sum's x modulo the order, which is a little less than P: so x is r, or r + ORDER
    # where that is a coordinate at all. The sum's x is X/Z^2; comparing needs no division.
    zz = z * z % P
    return r * zz % P == x or (r + ORDER < P and (r + ORDER) * zz % P == x)


def _blinded_multiple(scalar: int) -> tuple[int, int]:
    """scalar * G for a secret scalar in [1, ORDER): neither digits nor points repeat."""
    blind = int.from_bytes(urandom(8), "big") >> 1
    return multiply_base(scalar + blind * ORDER, _random_scalar())


def _random_scalar() -> int:
    """A random number in [1, ORDER)."""
    return int.from_bytes(urandom(32), "big") % (ORDER - 1) + 1


def _private_scalar(private_key: bytes) -> int:
    if len(private_key) != PRIVATE_KEY_SIZE:
        raise ValueError("a private key has 32 bytes")
    secret = int.from_bytes(private_key, "big")
    if not 0 < secret < ORDER:
        raise ValueError("a private key lies between 0 and the order of the curve")
    return secret


def _split(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")


def _join(high: int, low: int) -> bytes:
    return high.to_bytes(32, "big") + low.to_bytes(32, "big")
