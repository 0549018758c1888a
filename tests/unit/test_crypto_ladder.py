# SPDX-License-Identifier: Apache-2.0
"""The comb's table, and the ladders where they add a point to itself or to its opposite.

The ladders are walked here over integers: a point k * G is its k modulo the order. That tells, for
each addition, which public key makes the two points equal or opposite.
"""

import random

import pytest
from ecdsa import NIST256p, ellipticcurve

from firmware.crypto import p256, p256_comb, p256_ladder, p256_table
from firmware.crypto.p256_curve import P, add
from host_bridge.crypto import p256 as host_p256
from tests.unit.test_crypto_p256 import oracle_verify

SEED = 20_241_121
SCALAR_PAIRS = 3
ORDER = p256.ORDER
ENTRIES = 1 << (p256_comb.TEETH - 1)


def multiple(scalar: int) -> ellipticcurve.PointJacobi:
    return NIST256p.generator * (scalar % ORDER)


def encoded(point: ellipticcurve.PointJacobi) -> bytes:
    affine = point.to_affine()
    return int(affine.x()).to_bytes(32, "big") + int(affine.y()).to_bytes(32, "big")


def column_scalar(digit: int, column: int) -> int:
    """The multiple of the base point that a digit of the comb stands for."""
    signs = (1 if digit >> tooth & 1 else -1 for tooth in range(p256_comb.TEETH))
    total = sum(sign << tooth * p256_comb.COLUMNS for tooth, sign in enumerate(signs))
    return total << (column - column % p256_comb.STEPS)


def test_the_table_is_what_it_says() -> None:
    for block, table in enumerate(p256_table.BLOCKS):
        column = block * p256_comb.STEPS
        digits = range(ENTRIES, 2 * ENTRIES)
        fresh = b"".join(encoded(multiple(column_scalar(digit, column))) for digit in digits)
        assert table == fresh


@pytest.mark.parametrize("scalar", [0, 1, 2, 3, ORDER - 1, ORDER - 2, 1 << 255, 1 << 222])
def test_the_digits_of_the_comb_add_up(scalar: int) -> None:
    digits = p256_comb.recode(scalar)
    total = sum(
        column_scalar(digit, column) << column % p256_comb.STEPS
        for column, digit in enumerate(digits)
    )
    assert total % ORDER == scalar


@pytest.mark.parametrize("scalar", [0, 1, 8, 9, 15, 16, ORDER - 1, 2**256 - 1, 0xF8F7 << 240])
def test_the_digits_of_the_window_add_up(scalar: int) -> None:
    digits = [digit if digit < 8 else digit - 16 for digit in p256_ladder.wnaf(scalar)]
    assert sum(digit << bit for bit, digit in enumerate(digits)) == scalar
    for bit in range(len(digits)):
        assert sum(1 for digit in digits[bit : bit + 4] if digit) <= 1


def additions(u1: int, u2: int) -> list[tuple[int, int, int, int]]:
    """The additions of the verification's ladder as (a, b, c, d): (a + b q) G plus (c + d q) G."""
    digits = p256_comb.recode(u1)
    window = p256_ladder.wnaf(u2)
    a = b = 0
    found = []
    for step in range(len(window) - 1, -1, -1):
        a, b = 2 * a, 2 * b
        terms = []
        if window[step]:
            terms.append((0, window[step] if window[step] < 8 else window[step] - 16))
        if step < p256_comb.STEPS:
            columns = range(step, p256_comb.COLUMNS, p256_comb.STEPS)
            terms += [(column_scalar(digits[column], column), 0) for column in columns]
        for c, d in terms:
            found.append((a, b, c, d))
            a, b = a + c, b + d
    assert (a % ORDER, b % ORDER) == (u1, u2)
    return found


def signature_for(q: int, u1: int, u2: int) -> tuple[bytes, bytes]:
    """A digest and a signature of the key q * G whose scalars are u1 and u2.

    It is valid, unless the sum is infinity, when r is some number.
    """
    total = (u1 + u2 * q) % ORDER
    r = int(multiple(total).to_affine().x()) % ORDER if total else 5
    s = r * pow(u2, -1, ORDER) % ORDER
    return (u1 * s % ORDER).to_bytes(32, "big"), r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Exceptions:
    """Counts what the ladder's additions meet, and passes them on."""

    def __init__(self) -> None:
        self.equal = 0
        self.opposite = 0

    def add(self, point: tuple[int, int, int], x: int, y: int) -> tuple[int, int, int]:
        zz = point[2] * point[2] % P
        if point[2] and x * zz % P == point[0]:
            if y * zz * point[2] % P == point[1]:
                self.equal += 1
            else:
                self.opposite += 1
        return add(point, x, y)


def test_verification_is_right_where_any_addition_meets_itself_or_its_opposite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = Exceptions()
    monkeypatch.setattr(p256_ladder, "add", met.add)
    draw = random.Random(SEED)
    tried = {1: 0, -1: 0}
    for _ in range(SCALAR_PAIRS):
        u1, u2 = draw.randrange(1, ORDER), draw.randrange(1, ORDER)
        for a, b, c, d in additions(u1, u2):
            for sign in tried:
                difference = (sign * c - a) % ORDER
                if difference == 0:
                    continue  # The comb has not begun: no key makes these two points meet.
                q = difference * pow(b - sign * d, -1, ORDER) % ORDER
                public_key = encoded(multiple(q))
                digest, signature = signature_for(q, u1, u2)
                valid = (u1 + u2 * q) % ORDER != 0
                arguments = (public_key, digest, signature)
                assert p256.verify(*arguments) == valid, (SEED, u1, u2, q)
                assert host_p256.verify(*arguments) == valid
                assert oracle_verify(*arguments) == valid
                tried[sign] += 1
    assert min(tried.values()) >= SCALAR_PAIRS * (p256_comb.COLUMNS - 1)
    assert met.equal >= tried[1]
    assert met.opposite >= tried[-1]


def test_the_base_ladder_is_right_where_it_adds_equal_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice a table entry: found among all of them are the scalars whose last addition doubles."""
    met = Exceptions()
    monkeypatch.setattr(p256_ladder, "add", met.add)
    for column in (0, p256_comb.STEPS):
        for digit in range(2 * ENTRIES):
            private_key = (2 * column_scalar(digit, column) % ORDER).to_bytes(32, "big")
            assert p256.public_key(private_key) == host_p256.public_key(private_key)
    assert met.equal > 0


@pytest.mark.parametrize("scalar", [0, 1, 2, 1 << 128, ORDER - 1])
def test_a_sum_with_a_zero_scalar_or_of_opposite_points(scalar: int) -> None:
    generator = (int(NIST256p.generator.x()), int(NIST256p.generator.y()))
    assert p256_ladder.multiply_sum(0, 0, generator)[2] == 0
    assert p256_ladder.multiply_sum(scalar, (ORDER - scalar) % ORDER, generator)[2] == 0
