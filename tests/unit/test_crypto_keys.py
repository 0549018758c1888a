# SPDX-License-Identifier: Apache-2.0
"""Key files of the host: kept from others, replaced in one step, refused in one sentence."""

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from firmware.crypto import p256
from host_bridge.crypto.keys import KeyFileError, SigningKey

DIGEST = sha256(b"a payment").digest()


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def refusal(path: Path, passphrase: bytes | None = None) -> str:
    with pytest.raises(KeyFileError) as caught:
        SigningKey.load(path, passphrase)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return sentence


def test_a_key_signs_what_the_firmware_verifies() -> None:
    key = SigningKey.generate()
    signature = key.sign(DIGEST)
    assert len(key.public_key) == 64
    assert key.key_id == sha256(key.public_key).digest()[:8]
    assert p256.verify(key.public_key, DIGEST, signature)
    assert key.sign(DIGEST) == signature
    with pytest.raises(ValueError, match="32 bytes"):
        key.sign(b"short")


def test_a_key_never_shows_its_secret() -> None:
    secret = 0x1234567890ABCDEF
    key = SigningKey(ec.derive_private_key(secret, ec.SECP256R1()))
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert key.key_id.hex() in shown
        assert f"{secret:x}" not in shown.lower() and str(secret) not in shown


@pytest.mark.parametrize("passphrase", [None, b"a passphrase"])
def test_a_saved_key_is_loaded_again(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "bank.pem"
    key = SigningKey.generate()
    key.save(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path, passphrase).sign(DIGEST) == key.sign(DIGEST)
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)
    assert os.listdir(tmp_path) == ["bank.pem"]


def test_saving_replaces_an_older_file_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "bank.pem"
    path.write_text("something else")
    path.chmod(0o644)
    key = SigningKey.generate()
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path).public_key == key.public_key


def test_a_cut_before_the_replacement_leaves_the_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bank.pem"
    old = SigningKey.generate()
    old.save(path)

    def cut(source: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(KeyFileError, match="cannot be written: Input/output error"):
        SigningKey.generate().save(path)
    assert SigningKey.load(path).public_key == old.public_key
    assert os.listdir(tmp_path) == ["bank.pem"]


def test_a_file_that_is_no_key_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert "cannot be read: No such file" in refusal(path)
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    for content in (b"", b"hello", bytes(100), b"\xff" * 50, pem_of(_some_key())[:80]):
        path.write_bytes(content)
        assert "no private key in PKCS#8 PEM" in refusal(path)
    path.write_bytes(b"a" * 20_000)
    assert "too large" in refusal(path)
    for other in (
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ):
        path.write_bytes(pem_of(other))
        assert "not of the curve P-256" in refusal(path)


def test_a_passphrase_is_asked_for_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = SigningKey.generate()
    key.save(path, b"right")
    assert "needs its passphrase" in refusal(path)
    assert "needs its passphrase" in refusal(path, b"")
    sentence = refusal(path, b"wrong secret")
    assert "passphrase is wrong" in sentence and "wrong secret" not in sentence
    damaged = path.read_bytes()
    path.write_bytes(damaged[:100] + b"!!!!" + damaged[104:])
    assert "damaged" in refusal(path, b"right")
    with pytest.raises(KeyFileError, match="must not be empty"):
        key.save(path, b"")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written: No such file or directory"):
        SigningKey.generate().save(tmp_path / "none" / "key.pem")


def test_a_key_of_another_curve_is_no_signing_key() -> None:
    with pytest.raises(ValueError, match="P-256"):
        SigningKey(ec.generate_private_key(ec.SECP384R1()))


def _some_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
