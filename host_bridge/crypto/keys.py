# SPDX-License-Identifier: Apache-2.0
"""Signing keys of the host's parties (root, issuer, bank, terminal) and the files they live in."""

from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from host_bridge.crypto import p256
from host_bridge.files import OWNER_ONLY, replace_file

_KEY_ID_SIZE = 8
_MAX_FILE_BYTES = 16_384


class KeyFileError(Exception):
    """A key file cannot be read or written; the message is one sentence for the user."""


class SigningKey:
    """A P-256 private key that signs, and never shows itself."""

    __slots__ = ("_key", "key_id", "public_key")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Take a P-256 key of `cryptography`. Raises ValueError for one of another curve."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("a signing key is of the curve P-256")
        self._key = key
        self.public_key: bytes = p256.encode_public_key(key.public_key())
        self.key_id: bytes = sha256(self.public_key).digest()[:_KEY_ID_SIZE]

    @classmethod
    def generate(cls) -> "SigningKey":
        """A fresh random key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> "SigningKey":
        """The key in a PKCS#8 PEM file, decrypted with the passphrase if the file is encrypted.

        Raises KeyFileError, in one sentence, for a file that is not such a key.
        """
        try:
            with path.open("rb") as file:
                pem = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from None
        if len(pem) > _MAX_FILE_BYTES:
            raise KeyFileError(f"The file {path} is too large for a key file.")
        return cls(_parse(path, pem, passphrase))

    def sign(self, digest: bytes) -> bytes:
        """The signature r || s of a 32-byte SHA-256 digest, deterministic (RFC 6979)."""
        return p256.sign_with(self._key, digest)

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the key as PKCS#8 PEM, encrypted if a passphrase is given, for its owner alone.

        The file has mode 0600 from its first byte and replaces an older one in one step, so a cut
        leaves the old key or the new one. Raises KeyFileError if that cannot be done.
        """
        if passphrase == b"":
            raise KeyFileError("The passphrase of a key file must not be empty.")
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()
            if passphrase is None
            else serialization.BestAvailableEncryption(passphrase),
        )
        try:
            replace_file(path, pem, mode=OWNER_ONLY)
        except OSError as error:
            raise KeyFileError(
                f"The key file {path} cannot be written: {error.strerror}."
            ) from None

    def __repr__(self) -> str:
        return f"SigningKey(key_id={self.key_id.hex()})"


def _parse(path: Path, pem: bytes, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise KeyFileError(f"The key file {path} is encrypted and needs its passphrase.")
    try:
        # A passphrase given for a file in the clear is not needed, and does no harm.
        key = serialization.load_pem_private_key(pem, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's reason is dropped: it may quote what it read.
        if encrypted:
            raise KeyFileError(
                f"The passphrase is wrong, or the key file {path} is damaged."
            ) from None
        raise KeyFileError(f"The file {path} holds no private key in PKCS#8 PEM.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"The key in {path} is not of the curve P-256.")
    return key
