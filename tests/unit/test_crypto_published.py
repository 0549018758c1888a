# SPDX-License-Identifier: Apache-2.0
"""The P-256 vectors that `cryptography-vectors` carries: NIST's of FIPS 186-2 and 186-3, RFC 6979.

ECDSA takes the first 32 bytes of a longer digest, and a shorter one as the number that it is: so
a digest of any hash makes one of 32 bytes.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from firmware.crypto import p256
from tests.unit.crypto_mass_runner import Runner
from tests.unit.test_crypto_mass import (
    INTERPRETERS,
    Case,
    Record,
    number,
    run_cases,
    verification,
)

FOLDER = Path(cryptography_vectors.__file__).parent / "asymmetric" / "ECDSA"
RFC_KEY = number(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721)
Fields = dict[str, str]


def blocks(name: str) -> Iterator[Fields]:
    """The vectors of a file's sections for P-256; the hash of the section stands with them."""
    section: re.Match[str] | None = None
    found: Fields = {}
    for line in (FOLDER / name).read_text().splitlines():
        section = re.fullmatch(r"\[([PKB]-\d+)(?:,(SHA-\d+))?\]", line) or section
        key, equals, value = line.partition(" = ")
        if equals and section and section[1] == "P-256" and not line.startswith("["):
            found[key] = value
            found.setdefault("hash", section[2] or "SHA-1")
        elif found:
            yield found
            found = {}
    if found:
        yield found


def digest_of(fields: Fields) -> bytes:
    name = fields["hash"].replace("-", "")
    return hashlib.new(name, bytes.fromhex(fields["Msg"])).digest()[:32].rjust(32, b"\0")


def joined(fields: Fields, first: str, second: str) -> bytes | None:
    """Two numbers of 32 bytes side by side; None where one of them is longer."""
    pair = int(fields[first], 16), int(fields[second], 16)
    return None if max(pair) >> 256 else number(pair[0]) + number(pair[1])


def key_cases() -> Iterator[Case]:
    for name in ("FIPS_186-2/KeyPair.rsp", "FIPS_186-3/KeyPair.rsp"):
        for fields in blocks(name):
            if "d" in fields:
                key = joined(fields, "Qx", "Qy")
                assert key is not None
                yield Case("public", (number(int(fields["d"], 16)), key))


def signature_cases() -> Iterator[Case]:
    for standard in ("FIPS_186-2", "FIPS_186-3"):
        for name in ("SigVer.rsp", "SigGen.rsp"):
            for fields in blocks(f"{standard}/{name}"):
                if "Msg" in fields:
                    key, signature = joined(fields, "Qx", "Qy"), joined(fields, "R", "S")
                    assert key is not None and signature is not None
                    valid = fields.get("Result", "P").startswith("P")
                    for prepared in (False, True):
                        yield verification(
                            key, digest_of(fields), signature, valid, prepared=prepared
                        )


def rfc_blocks() -> Iterator[Fields]:
    """Of the key P-256: what signs a word, what verifies it and what must not."""
    text = (FOLDER / "RFC6979" / "evppkey_ecdsa_rfc6979.txt").read_text()
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^(\w+) ?= ?\"?(.*?)\"?$", block, re.MULTILINE))
        if fields.get("Key", "").startswith("P-256"):
            yield fields


def rfc_cases() -> Iterator[Case]:
    key = p256.public_key(RFC_KEY)
    for fields in rfc_blocks():
        name = fields.get("DigestSign") or fields["DigestVerify"]
        digest = hashlib.new(name, fields["Input"].encode()).digest()[:32].rjust(32, b"\0")
        r, s = decode_dss_signature(bytes.fromhex(fields["Output"]))
        signature = number(r) + number(s)
        if "DigestVerify" in fields:
            valid = "Result" not in fields
            for prepared in (False, True):
                yield verification(key, digest, signature, valid, prepared=prepared)
        elif name == "SHA256":
            # The nonce comes of the digest's own hash, and this one is ours.
            yield Case("sign", (RFC_KEY, digest, signature))


def all_cases() -> list[Case]:
    return [*key_cases(), *signature_cases(), *rfc_cases()]


def test_every_published_case_gives_its_result_on_cpython(record_property: Record) -> None:
    cases = all_cases()
    record_property("cases", len(cases))
    names = [case.name for case in cases]
    assert (names.count("public"), names.count("sign")) == (20, 2)
    assert len(cases) >= 400
    assert {case.valid for case in cases if case.name == "prepared"} == {False, True}
    runner = Runner()
    for case in cases:
        assert runner.passes(case.name, case.words), case


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_every_published_case_gives_its_result_on_micropython(
    interpreter: str, heap: str, tmp_path: Path, record_property: Record
) -> None:
    cases = all_cases()
    record_property("cases", len(cases))
    run_cases(interpreter, heap, cases, tmp_path)


def test_public_keys_are_refused_where_the_standard_refuses_them() -> None:
    verdicts = []
    refused = 0
    for name in ("FIPS_186-2/PKV.rsp", "FIPS_186-3/PKV.rsp"):
        for fields in blocks(name):
            key = joined(fields, "Qx", "Qy")
            valid = fields["Result"].startswith("P")
            # A coordinate of more than 32 bytes has no raw form at all.
            assert (key is not None and p256.on_curve(key)) == valid, fields
            if key is not None and not valid:
                # A digest and a signature that nobody made; and no table of a false point.
                assert p256.verify(key, bytes(32), number(1) + number(1)) is False
                with pytest.raises(ValueError, match="point of the curve"):
                    p256.prepare(key)
                refused += 1
            verdicts.append(valid)
    assert (verdicts.count(True), verdicts.count(False)) == (8, 16)
    assert refused > 4


def test_the_published_nonces_give_the_published_signatures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FIPS 186-3 tells k: with it in the place of RFC 6979's, r and s are the published ones."""

    class Told:
        nonce = 0

        def __init__(self, secret: int, e: int) -> None:
            pass

        def next(self) -> int:
            return self.nonce

    monkeypatch.setattr(p256, "Nonces", Told)
    count = 0
    for fields in blocks("FIPS_186-3/SigGen.txt"):
        if "k" in fields:
            Told.nonce = int(fields["k"], 16)
            secret = number(int(fields["d"], 16))
            assert p256.sign(secret, digest_of(fields)) == joined(fields, "R", "S")
            assert p256.public_key(secret) == joined(fields, "Qx", "Qy")
            count += 1
    assert count == 75
