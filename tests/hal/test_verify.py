# SPDX-License-Identifier: Apache-2.0
"""The chip's verification beside the firmware's own: one meaning, and never a wrong yes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.crypto import p256
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.atecc608_errors import AteccError, ChipSilent, EccFault
from host_bridge.crypto.keys import SigningKey
from tests.hal.bench import DIGEST, ChipBench

VERIFY = 0x45
SEED = 20_261_121
ROUNDS = 40
ORDER = p256.ORDER
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
SIGNER = SigningKey.generate()
KEY, SIGNATURE = SIGNER.public_key, SIGNER.sign(DIGEST)
SWAPPED = SIGNATURE[32:] + SIGNATURE[:32]

Triple = tuple[bytes, bytes, bytes]


def number(value: int) -> bytes:
    """32 bytes."""
    return value.to_bytes(32, "big")


def r_and_s() -> tuple[int, int]:
    """Of the good signature."""
    return int.from_bytes(SIGNATURE[:32], "big"), int.from_bytes(SIGNATURE[32:], "big")


def malformed() -> dict[str, Triple]:
    """What can be no key, digest or signature at all."""
    r, s = r_and_s()
    x, y = int.from_bytes(KEY[:32], "big"), int.from_bytes(KEY[32:], "big")
    odd = number(x) + number(PRIME - y ^ 1)
    return {
        "r is 0": (KEY, DIGEST, number(0) + number(s)),
        "s is 0": (KEY, DIGEST, number(r) + number(0)),
        "r is the order": (KEY, DIGEST, number(ORDER) + number(s)),
        "s is the order": (KEY, DIGEST, number(r) + number(ORDER)),
        "r is over the order": (KEY, DIGEST, number(2**256 - 1) + number(s)),
        "s is over the order": (KEY, DIGEST, number(r) + number(2**256 - 1)),
        "a signature of zeros": (KEY, DIGEST, bytes(64)),
        "a short signature": (KEY, DIGEST, SIGNATURE[:-1]),
        "a long signature": (KEY, DIGEST, SIGNATURE + b"\0"),
        "no signature": (KEY, DIGEST, b""),
        "a point off the curve": (odd, DIGEST, SIGNATURE),
        "a key of zeros": (bytes(64), DIGEST, SIGNATURE),
        "x over the prime": (number(PRIME) + KEY[32:], DIGEST, SIGNATURE),
        "y over the prime": (KEY[:32] + number(2**256 - 1), DIGEST, SIGNATURE),
        "a short key": (KEY[:-1], DIGEST, SIGNATURE),
        "an encoded key": (b"\4" + KEY, DIGEST, SIGNATURE),
        "a short digest": (KEY, DIGEST[:-1], SIGNATURE),
        "a long digest": (KEY, DIGEST + b"\0", SIGNATURE),
    }


def wrong() -> Iterator[Triple]:
    """What is well-formed and does not fit, and the other signature that does."""
    r, s = r_and_s()
    draw = random.Random(SEED)
    other = SigningKey.generate().public_key
    yield other, DIGEST, SIGNATURE
    yield KEY, bytes(32), SIGNATURE
    yield KEY, DIGEST, SWAPPED
    yield KEY, DIGEST, number(1) + number(1)
    yield KEY, DIGEST, number(ORDER - 1) + number(ORDER - 1)
    yield KEY, DIGEST, number(ORDER - r) + number(s)
    yield KEY, DIGEST, number(r) + number(ORDER - s)  # which is as good as the one with s
    yield KEY[:32] + number(PRIME - int.from_bytes(KEY[32:], "big")), DIGEST, SIGNATURE
    for _ in range(ROUNDS):
        changed = bytearray(SIGNATURE)
        changed[draw.randrange(64)] ^= 1 << draw.randrange(8)
        yield KEY, DIGEST, bytes(changed)


def vectors(root: Path) -> list[tuple[Triple, bool]]:
    """Every verification among the project's vectors."""
    cases = json.loads((root / "tests" / "vectors" / "crypto_p256.json").read_text())
    return [
        (tuple(bytes.fromhex(case["input"][name]) for name in names), case["result"])
        for case in cases
        if case["input"]["function"] == "p256.verify"
        for names in [("public_key", "digest", "signature")]
    ]


def test_the_chip_judges_every_vector_as_the_firmware_does(
    element: AteccElement, root: Path
) -> None:
    cases = vectors(root)
    assert {result for _, result in cases} == {True, False}
    for triple, result in cases:
        assert element.verify(*triple) is p256.verify(*triple) is result


def test_the_chip_judges_what_does_not_fit_as_the_firmware_does(
    bench: ChipBench, element: AteccElement
) -> None:
    print(f"seed {SEED}")
    triples = list(wrong())
    verdicts = [element.verify(*triple) for triple in triples]
    assert verdicts == [p256.verify(*triple) for triple in triples]
    assert verdicts.count(True) == 1, "n - s is as good as s"
    assert bench.double.executed.count(VERIFY) == len(triples), "the chip was asked each time"


@pytest.mark.parametrize("what", malformed())
def test_what_can_be_no_signature_is_never_shown_to_the_chip(
    bench: ChipBench, element: AteccElement, what: str
) -> None:
    triple = malformed()[what]
    assert element.verify(*triple) is p256.verify(*triple) is False
    assert bench.double.executed == [], "what it would answer no public data sheet says"


def test_a_good_signature_is_good(bench: ChipBench, element: AteccElement) -> None:
    assert element.verify(KEY, DIGEST, SIGNATURE) is True
    assert bench.double.executed.count(VERIFY) == 1


@pytest.mark.parametrize("signature", [SIGNATURE, SWAPPED], ids=["good", "swapped"])
@pytest.mark.parametrize("faults", [1, 2])
def test_a_computation_that_failed_is_made_again(
    bench: ChipBench, element: AteccElement, faults: int, signature: bytes
) -> None:
    bench.double.ecc_faults = faults
    assert element.verify(KEY, DIGEST, signature) is (signature == SIGNATURE)
    assert bench.double.executed.count(VERIFY) == faults + 1


def test_a_computation_that_always_fails_is_no_verdict(
    bench: ChipBench, element: AteccElement
) -> None:
    bench.double.ecc_faults = 3
    with pytest.raises(EccFault):
        element.verify(KEY, DIGEST, SIGNATURE)


@pytest.mark.parametrize("status", [status for status in range(2, 256) if status != 0x05])
def test_no_other_status_is_a_verdict(
    bench: ChipBench,
    element: AteccElement,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench.double, "_verify", lambda *arguments: (status, None))
    with pytest.raises(AteccError):
        element.verify(KEY, DIGEST, SIGNATURE)


@pytest.mark.parametrize("content", [b"", b"\0\0", bytes(32), bytes(64)])
def test_no_answer_of_another_length_is_a_verdict(
    bench: ChipBench,
    element: AteccElement,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench.double, "_verify", lambda *arguments: (content, None))
    with pytest.raises(AteccError):
        element.verify(KEY, DIGEST, SIGNATURE)


def test_a_silent_chip_gives_no_verdict(bench: ChipBench, element: AteccElement) -> None:
    bench.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    with pytest.raises(ChipSilent):
        element.verify(KEY, DIGEST, SIGNATURE)


def test_a_lost_bit_changes_no_verdict(bench: ChipBench, element: AteccElement) -> None:
    for signature in (SIGNATURE, SWAPPED):
        bench.double.garbled_answers = bench.double.garbled_commands = 1
        assert element.verify(KEY, DIGEST, signature) is (signature == SIGNATURE)
