# SPDX-License-Identifier: Apache-2.0
"""AES-128 (FIPS 197) by the block and in CBC mode (NIST SP 800-38A), without padding."""

_KEY_SIZE = 16
_BLOCK_SIZE = 16
_ZERO_BLOCK = bytes(_BLOCK_SIZE)

# The only place that knows whose AES it is: `_cbc(key, iv, data, encrypting) -> bytes`.
try:
    from cryptolib import aes as _aes

    _MODE_CBC = 2

    def _cbc(key: bytes, iv: bytes, data: bytes, encrypting: bool) -> bytes:
        cipher = _aes(key, _MODE_CBC, iv)
        return cipher.encrypt(data) if encrypting else cipher.decrypt(data)

except ImportError:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def _cbc(key: bytes, iv: bytes, data: bytes, encrypting: bool) -> bytes:
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        context = cipher.encryptor() if encrypting else cipher.decryptor()
        return context.update(data) + context.finalize()


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of 16 bytes encrypted. Raises ValueError for another length of key or block."""
    # CBC of one block after a zero vector is the bare cipher.
    return cbc_encrypt(key, _ZERO_BLOCK, _one_block(block))


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of 16 bytes decrypted. Raises ValueError for another length of key or block."""
    return cbc_decrypt(key, _ZERO_BLOCK, _one_block(block))


def cbc_encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Whole blocks encrypted in CBC mode. Raises ValueError for a wrong length of any argument."""
    _check_sizes(key, iv, data)
    return _cbc(key, iv, data, True)


def cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Whole blocks decrypted in CBC mode. Raises ValueError for a wrong length of any argument."""
    _check_sizes(key, iv, data)
    return _cbc(key, iv, data, False)


def _one_block(block: bytes) -> bytes:
    if len(block) != _BLOCK_SIZE:
        raise ValueError("an AES block has 16 bytes")
    return block


def _check_sizes(key: bytes, iv: bytes, data: bytes) -> None:
    if len(key) != _KEY_SIZE:
        raise ValueError("an AES-128 key has 16 bytes")
    if len(iv) != _BLOCK_SIZE:
        raise ValueError("an AES initialisation vector has 16 bytes")
    if len(data) % _BLOCK_SIZE:
        raise ValueError("AES-CBC takes whole blocks of 16 bytes")
