# SPDX-License-Identifier: Apache-2.0
"""Thousands of random and odd cases: the firmware's P-256 beside `cryptography`."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from firmware.crypto import p256, p256_curve
from host_bridge.crypto import p256 as host_p256
from tests.unit.crypto_mass_runner import Runner
from tests.unit.test_crypto_vectors import run_micropython

SEED = 20_251_121
ORDER, P = p256.ORDER, p256_curve.P
RUNNER = "tests/unit/crypto_mass_runner.py"
KEYS = 40
SIGNATURES_PER_KEY = 51
MICROPYTHON_KEYS = 14
MICROPYTHON_SIGNATURES = 18
# Compiled from source, the tables alone take 33 KB of heap.
INTERPRETERS = [
    pytest.param(".runtime/bin/micropython", "1m", id="64-bit"),
    pytest.param(".runtime/bin/micropython32", "512k", id="32-bit"),
]


@dataclass(frozen=True)
class Case:
    """A line for the runner: a function, its arguments, and what it should give."""

    name: str
    arguments: tuple[bytes, ...]
    valid: bool | None = None

    @property
    def words(self) -> list[str]:
        found = [argument.hex() for argument in self.arguments]
        return found if self.valid is None else [*found, str(int(self.valid))]


def verification(
    key: bytes, digest: bytes, signature: bytes, valid: bool, *, prepared: bool = False
) -> Case:
    return Case("prepared" if prepared else "verify", (key, digest, signature), valid)


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def altered(draw: random.Random, digest: bytes, signature: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A signature and what somebody may make of it: most are invalid, and one stays valid."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    yield digest, signature
    yield digest, number(r) + number(ORDER - s)
    yield digest, number(ORDER - r) + number(s)
    yield digest, number(s) + number(r)
    for changed in (bytearray(signature), bytearray(digest)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        if len(changed) == 64:
            yield digest, bytes(changed)
        else:
            yield bytes(changed), signature
    # r and s modulo the order are no substitutes for r and s.
    yield digest, number((r + ORDER) % 2**256) + number(s)
    yield digest, number(draw.choice(ODD)) + number(draw.choice(ODD))


ODD = [0, 1, 2, ORDER - 1, ORDER, ORDER + 1, P - ORDER, P - 1, P, 2**255, 2**256 - 1]
DIGESTS = [bytes(32), b"\xff" * 32, number(ORDER), number(ORDER - 1), number(1), number(P)]


@cache
def all_cases(keys: int, signatures: int) -> list[Case]:
    """Cases of random keys, a key's in a row; judged by `cryptography`."""
    draw = random.Random(SEED)
    cases = []
    for _ in range(keys):
        secret = number(draw.choice([*ODD[1:4], *(draw.randrange(1, ORDER) for _ in range(9))]))
        key = host_p256.public_key(secret)
        cases.append(Case("public", (secret, key)))
        for turn in range(signatures):
            digest = draw.choice(DIGESTS) if turn % 8 == 0 else draw.randbytes(32)
            signature = host_p256.sign(secret, digest)
            cases.append(Case("sign", (secret, digest, signature)))
            for index, changed in enumerate(altered(draw, digest, signature)):
                valid = host_p256.verify(key, *changed)
                assert valid or index > 1
                # Each kind is tried without preparation as well, for some signatures.
                for prepared in (True, False) if (turn + index) % 9 == 0 else (True,):
                    cases.append(verification(key, *changed, valid, prepared=prepared))
    return cases


# How a test tells how many cases it ran; the summary of the tests prints it.
Record = Callable[[str, object], None]


def run_cases(interpreter: str, heap: str, cases: list[Case], folder: Path) -> None:
    """Let MicroPython run the cases, all of which must pass."""
    path = folder / "cases"
    path.write_text("".join(f"{case.name} {' '.join(case.words)}\n" for case in cases))
    ran = run_micropython(interpreter, heap, RUNNER, str(path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{len(cases)} cases passed\n", ""), (
        SEED
    )


def test_cpython_agrees_with_cryptography(record_property: Record) -> None:
    cases = all_cases(KEYS, SIGNATURES_PER_KEY)
    record_property("cases", len(cases))
    assert len(cases) >= 20_000
    runner = Runner()
    for case in cases:
        assert runner.passes(case.name, case.words), (SEED, case)


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_agrees_with_cryptography(
    interpreter: str, heap: str, tmp_path: Path, record_property: Record
) -> None:
    cases = all_cases(MICROPYTHON_KEYS, MICROPYTHON_SIGNATURES)
    record_property("cases", len(cases))
    assert len(cases) >= 2_000
    run_cases(interpreter, heap, cases, tmp_path)


def small_x_point() -> tuple[int, bytes]:
    """The point with the smallest x, that is: its x, and x || y."""
    for x in range(1, 100):
        square = (x**3 - 3 * x + p256_curve.B) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return x, number(x) + number(y)
    raise AssertionError("half of all x have a point")


def key_for(point: bytes, e: int, r: int, s: int) -> bytes | None:
    """The key for which u1 * G + u2 * Q is the point (x || y): Q = (s * R - e * G) / r."""
    from ecdsa import NIST256p, ellipticcurve

    x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    if (y * y - x**3 + 3 * x - p256_curve.B) % P:
        return None
    target = ellipticcurve.PointJacobi(NIST256p.curve, x, y, 1, ORDER)
    key = (target * s + NIST256p.generator * (-e % ORDER)) * pow(r, -1, ORDER)
    affine = key.to_affine()
    return number(int(affine.x())) + number(int(affine.y()))


def wrapping_cases() -> Iterator[Case]:
    """x at or above the order, which r is less by; and r + ORDER beyond the prime."""
    for x in range(ORDER, ORDER + 60):
        y = pow((x**3 - 3 * x + p256_curve.B) % P, (P + 1) // 4, P)
        r = x - ORDER
        point = number(x) + number(y)
        if r == 0 or (key := key_for(point, 77, r, 99)) is None:
            continue
        for prepared in (False, True):
            yield verification(key, number(77), number(r) + number(99), True, prepared=prepared)
            # The same x without the order taken away is out of range.
            yield verification(key, number(77), number(x) + number(99), False, prepared=prepared)
    x, point = small_x_point()
    key = key_for(point, 77, x, 99)
    assert key is not None
    for prepared in (False, True):
        yield verification(key, number(77), number(x) + number(99), True, prepared=prepared)
        yield verification(
            key, number(77), number(x + ORDER) + number(99), False, prepared=prepared
        )


def scalar_cases() -> Iterator[Case]:
    """u1 = 0, u2 small or near the order, the sum at infinity, keys that are ±G or 2G."""
    for secret in (1, 2, 3, ORDER - 1, ORDER - 2, 5 << 100):
        key = host_p256.public_key(number(secret))
        for e in (0, 1, ORDER - 1, ORDER, 2**256 - 1):
            for u2 in (1, 2, 3, 15, 16, 17, 31, ORDER - 1, ORDER - 2, 1 << 255):
                # Any r and s = r / u2 have this u2; it is valid by chance only.
                for r in (1, e % ORDER or 7, -e * pow(secret, -1, ORDER) % ORDER or 9):
                    s = r * pow(u2, -1, ORDER) % ORDER
                    arguments = (key, number(e), number(r) + number(s))
                    valid = host_p256.verify(*arguments)
                    yield verification(*arguments, valid, prepared=bool(u2 & 1))
            signed = host_p256.sign(number(secret), number(e))
            yield verification(key, number(e), signed, True)


def odd_cases() -> list[Case]:
    return [*wrapping_cases(), *scalar_cases()]


def test_cpython_is_right_for_odd_scalars_and_for_x_beyond_the_order() -> None:
    runner = Runner()
    valid = 0
    for case in odd_cases():
        assert host_p256.verify(*case.arguments) == case.valid, case
        assert runner.passes(case.name, case.words), case
        valid += bool(case.valid)
    assert valid >= 60


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_is_right_there_too(
    interpreter: str, heap: str, tmp_path: Path, record_property: Record
) -> None:
    cases = odd_cases()
    record_property("cases", len(cases))
    run_cases(interpreter, heap, cases, tmp_path)


def test_the_64_bit_and_the_32_bit_build_take_their_own_way() -> None:
    """Else the cases above would try one way twice."""
    program = (
        "import sys; from firmware.crypto import p256_ladder as l\n"
        "print(l.engine.__name__, l.merge is not None)\n"
    )
    ways = [
        run_micropython(*parameter.values, "-c", program).stdout.split()
        for parameter in INTERPRETERS
    ]
    assert ways == [
        ["firmware.crypto.p256_curve", "True"],
        ["firmware.crypto.p256_limbs", "False"],
    ]
