# SPDX-License-Identifier: Apache-2.0
"""ECDSA on P-256 as in `firmware.crypto.p256` (names, formats, refusals), done by OpenSSL."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from firmware.crypto.p256 import (
    ORDER,
    PRIVATE_KEY_SIZE,
    PUBLIC_KEY_SIZE,
    SIGNATURE_SIZE,
)

__all__ = [
    "ORDER",
    "PRIVATE_KEY_SIZE",
    "PUBLIC_KEY_SIZE",
    "SIGNATURE_SIZE",
    "encode_public_key",
    "on_curve",
    "public_key",
    "sign",
    "sign_with",
    "verify",
]

_DIGEST_SIZE = 32
_UNCOMPRESSED = b"\x04"
_CURVE = ec.SECP256R1()
_PREHASHED = Prehashed(hashes.SHA256())
_SIGN = ec.ECDSA(_PREHASHED, deterministic_signing=True)
_VERIFY = ec.ECDSA(_PREHASHED)


def public_key(private_key: bytes) -> bytes:
    """The public key x || y of a private key.

    Raises ValueError for a private key that is 0, not below the order, or not 32 bytes.
    """
    return encode_public_key(_private_key(private_key).public_key())


def sign(private_key: bytes, digest: bytes) -> bytes:
    """The signature r || s of a 32-byte digest; the same each time (RFC 6979, HMAC-SHA256).

    Raises ValueError for a bad private key, as `public_key` does, or a digest of another length.
    """
    return sign_with(_private_key(private_key), digest)


def sign_with(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """`sign` with a key of `cryptography` that is already loaded."""
    if len(digest) != _DIGEST_SIZE:
        raise ValueError("a digest has 32 bytes")
    r, s = decode_dss_signature(key.sign(digest, _SIGN))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether r || s is the key's signature of a 32-byte digest. False for anything malformed."""
    if len(signature) != SIGNATURE_SIZE or len(digest) != _DIGEST_SIZE:
        return False
    key = _public_key(public_key)
    if key is None:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    try:
        # OpenSSL itself refuses numbers that are 0 or not below the order.
        key.verify(encode_dss_signature(r, s), digest, _VERIFY)
    except InvalidSignature:
        return False
    return True


def on_curve(public_key: bytes) -> bool:
    """Whether 64 bytes x || y are a point of the curve, with both coordinates below the prime."""
    return _public_key(public_key) is not None


def encode_public_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """The 64 bytes x || y of a key of `cryptography`."""
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def _public_key(public_key: bytes) -> ec.EllipticCurvePublicKey | None:
    if len(public_key) != PUBLIC_KEY_SIZE:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(
            _CURVE, _UNCOMPRESSED + bytes(public_key)
        )
    except ValueError:
        return None


def _private_key(private_key: bytes) -> ec.EllipticCurvePrivateKey:
    if len(private_key) != PRIVATE_KEY_SIZE:
        raise ValueError("a private key has 32 bytes")
    secret = int.from_bytes(private_key, "big")
    if not 0 < secret < ORDER:
        raise ValueError("a private key lies between 0 and the order of the curve")
    return ec.derive_private_key(secret, _CURVE)
