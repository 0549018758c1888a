# SPDX-License-Identifier: Apache-2.0
"""P-256 of the firmware beside two others: `cryptography`, and python-ecdsa for verification."""

import json
import random
from hashlib import sha256
from pathlib import Path

import pytest
from ecdsa import NIST256p, ecdsa, ellipticcurve, rfc6979
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.crypto import p256, p256_affine, p256_curve, p256_ladder
from firmware.crypto.p256_nonce import Nonces
from host_bridge.crypto import p256 as host_p256
from tests.unit.crypto_vector_runner import outcome
from tests.unit.test_crypto_vectors import INTERPRETERS, RUNNER, run_micropython

SEED = 20_241_120
RANDOM_KEYS = 60
MICROPYTHON_KEYS = 12
G = (int(NIST256p.generator.x()), int(NIST256p.generator.y()))


def oracle_verify(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """The third opinion, for inputs of the right lengths and a key on the curve."""
    x, y = int.from_bytes(public_key[:32], "big"), int.from_bytes(public_key[32:], "big")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key = ecdsa.Public_key(NIST256p.generator, ellipticcurve.Point(NIST256p.curve, x, y))
    try:
        return bool(key.verifies(int.from_bytes(digest, "big"), ecdsa.Signature(r, s)))
    except TypeError:  # Its way to say that the sum is infinity, which has no x.
        return False


def verdicts(public_key: bytes, digest: bytes, signature: bytes) -> set[bool]:
    arguments = (public_key, digest, signature)
    return {p256.verify(*arguments), host_p256.verify(*arguments), oracle_verify(*arguments)}


def mutations(public_key: bytes, digest: bytes, signature: bytes, draw: random.Random):
    """The same triple with one bit turned in the signature, then in the digest; then swapped."""
    for index in (1, 2):
        triple = [public_key, digest, signature]
        changed = bytearray(triple[index])
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        triple[index] = bytes(changed)
        yield tuple(triple)
    yield public_key, digest, signature[32:] + signature[:32]


def random_triples(draw: random.Random, count: int):
    for _ in range(count):
        private_key = draw.randrange(1, p256.ORDER).to_bytes(32, "big")
        yield private_key, draw.randbytes(32)


def test_both_sides_sign_alike_and_all_three_verify() -> None:
    draw = random.Random(SEED)
    for private_key, digest in random_triples(draw, RANDOM_KEYS):
        public_key = p256.public_key(private_key)
        signature = p256.sign(private_key, digest)
        assert public_key == host_p256.public_key(private_key), (SEED, private_key.hex())
        assert signature == host_p256.sign(private_key, digest), (SEED, private_key.hex())
        assert verdicts(public_key, digest, signature) == {True}
        for triple in mutations(public_key, digest, signature, draw):
            assert verdicts(*triple) == {False}, (SEED, [part.hex() for part in triple])


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_agrees_with_the_host(interpreter: str, heap: str, tmp_path: Path) -> None:
    draw = random.Random(SEED + 1)
    inputs = []
    for private_key, digest in random_triples(draw, MICROPYTHON_KEYS):
        public_key = host_p256.public_key(private_key)
        signature = host_p256.sign(private_key, digest)
        inputs.append(("public_key", {"private_key": private_key}))
        inputs.append(("sign", {"private_key": private_key, "digest": digest}))
        for triple in [
            (public_key, digest, signature),
            *mutations(public_key, digest, signature, draw),
        ]:
            names = ("public_key", "digest", "signature")
            inputs.append(("verify", dict(zip(names, triple, strict=True))))
    lines = []
    for number, (name, arguments) in enumerate(inputs):
        hexed = {key: value.hex() for key, value in arguments.items()}
        vector = {"id": number, "comment": name, "input": {"function": f"p256.{name}"} | hexed}
        expected = outcome(vector, {f"p256.{name}": getattr(host_p256, name)})
        lines.append(json.dumps(vector | {"result": expected}))
    path = tmp_path / "random.json"
    path.write_text(",\n".join(lines))
    ran = run_micropython(interpreter, heap, RUNNER, str(path))
    assert (ran.returncode, ran.stdout) == (0, f"{len(lines)} vectors passed\n"), SEED


@settings(max_examples=80, deadline=None)
@given(
    public_key=st.one_of(st.binary(max_size=80), st.binary(min_size=64, max_size=64)),
    digest=st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32)),
    signature=st.one_of(st.binary(max_size=80), st.binary(min_size=64, max_size=64)),
)
def test_random_bytes_are_no_signature(public_key: bytes, digest: bytes, signature: bytes) -> None:
    assert p256.verify(public_key, digest, signature) is False
    assert host_p256.verify(public_key, digest, signature) is False
    assert p256.on_curve(public_key) == host_p256.on_curve(public_key)


@settings(max_examples=60, deadline=None)
@given(
    r=st.integers(0, 2**256 - 1),
    s=st.one_of(st.integers(0, 3), st.integers(p256.ORDER - 2, p256.ORDER + 2)),
    u=st.integers(0, 2**256 - 1),
)
def test_a_signature_of_odd_numbers_is_judged_alike(r: int, s: int, u: int) -> None:
    public_key = p256.public_key((7).to_bytes(32, "big"))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert len(verdicts(public_key, u.to_bytes(32, "big"), signature)) == 1


def test_the_inverse_is_one() -> None:
    draw = random.Random(SEED)
    for modulus in (p256_curve.P, p256_curve.ORDER):
        some = [draw.randrange(1, modulus) for _ in range(200)]
        for value in [1, 2, modulus - 1, modulus - 2, *some]:
            assert p256_curve.euclid(value, modulus) == pow(value, -1, modulus)
            assert p256_curve.inverse(value, modulus) == pow(value, -1, modulus)


def scaled(x: int, y: int, z: int) -> tuple[int, int, int]:
    """The affine point (x, y) in Jacobian coordinates with that Z."""
    prime = p256_curve.P
    return x * z * z % prime, y * z * z * z % prime, z


@pytest.mark.parametrize("z", [1, 2, p256_curve.P - 1, 3**150])
def test_addition_is_complete(z: int) -> None:
    x, y = G
    opposite = p256_curve.P - y
    twice = NIST256p.generator * 2
    [doubled] = p256_affine.to_affine([p256_curve.add(scaled(x, y, z), (x, y))])
    assert doubled == (twice.x(), twice.y())
    assert p256_curve.add(scaled(x, y, z), (x, opposite))[2] == 0
    assert p256_curve.add(scaled(x, opposite, z), (x, y))[2] == 0
    assert p256_curve.add((1, 1, 0), (x, y)) == (x, y, 1)
    assert p256_curve.double((1, 1, 0))[2] == 0


def test_nonces_after_the_first_follow_the_rfc() -> None:
    secret, digest = 0xC9AFA9D845BA75166B5C215767B1D693, sha256(b"sample").digest()
    nonces = Nonces(secret, int.from_bytes(digest, "big") % p256.ORDER)
    for retry in range(3):
        assert nonces.next() == rfc6979.generate_k(
            p256.ORDER, secret, sha256, digest, retry_gen=retry
        )


def test_a_nonce_out_of_range_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller order makes the case common; python-ecdsa rejects the same candidates."""
    order = p256.ORDER >> 3 | 1 << 255
    monkeypatch.setattr("firmware.crypto.p256_nonce.ORDER", order)
    digest = bytes(32)
    for secret in range(1, 20):
        assert Nonces(secret, 0).next() == rfc6979.generate_k(order, secret, sha256, digest)


def test_a_hash_without_candidates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware.crypto.p256_nonce.hmac_sha256", lambda key, data: b"\xff" * 32)
    with pytest.raises(ValueError, match="in range"):
        Nonces(1, 1).next()


@pytest.mark.parametrize("r", [0, p256.ORDER])
def test_an_r_of_0_or_the_order_is_refused_whatever_the_sum_is(r: int) -> None:
    """Nobody knows a multiple of G with such an x, so no vector can ask this."""
    one = (1).to_bytes(32, "big")
    for x in (0, p256.ORDER):
        assert p256.holds(one, r.to_bytes(32, "big") + one, lambda u1, u2, x=x: (x, 1, 1)) is False


def test_a_secret_is_blinded_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same signature comes of other scalars, other coordinates and other numbers to invert."""
    scalars, zs, began, inverted = [], [], [], []

    def multiply_base(scalar: int, z: int) -> tuple[int, int]:
        scalars.append(scalar)
        zs.append(z)
        return p256_ladder.multiply_base(scalar, z)

    def scaled(entry: tuple[int, int], z: int) -> tuple[int, int, int]:
        began.append(z)
        return p256_curve.scaled(entry, z)

    def inverse(value: int, modulus: int) -> int:
        inverted.append(value)
        return p256_curve.inverse(value, modulus)

    monkeypatch.setattr(p256, "multiply_base", multiply_base)
    monkeypatch.setattr(p256_ladder, "scaled", scaled)
    monkeypatch.setattr(p256, "inverse", inverse)
    draw = random.Random(SEED)
    private_key, digest = draw.randbytes(32), draw.randbytes(32)
    assert len({p256.sign(private_key, digest) for _ in range(40)}) == 1
    # One multiple of the order among 40 that is taken twice has a chance of 2^-53.
    assert len({scalar % p256.ORDER for scalar in scalars}) == 1
    assert len(set(scalars)) == len(set(zs)) == len(set(inverted)) == 40
    assert 1 << 315 < max(scalars) < 1 << 319
    assert began == zs
    assert max(zs) > 1 << 250 and all(0 < z < p256_curve.P for z in zs)


@pytest.mark.parametrize(
    ("interpreter", "heap"),
    [(".runtime/bin/micropython", "112k"), (".runtime/bin/micropython32", "104k")],
)
def test_the_firmware_signs_and_verifies_in_a_small_heap(interpreter: str, heap: str) -> None:
    """Compiled from source as here it needs most; a board runs it frozen, from flash."""
    program = (
        "from firmware.crypto import p256\n"
        "key, digest = b'k' * 32, b'd' * 32\n"
        "for _ in range(3):\n"
        "    print(p256.verify(p256.public_key(key), digest, p256.sign(key, digest)))\n"
    )
    ran = run_micropython(interpreter, heap, "-c", program)
    assert (ran.stdout, ran.stderr) == ("True\n" * 3, "")
