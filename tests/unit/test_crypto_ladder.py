# SPDX-License-Identifier: Apache-2.0
"""The combs' tables, and the ladders where they add a point to itself or to its opposite.

The ladders are walked here over integers: a point a * G + b * Q is the pair (a, b). That tells,
for each addition, which public key makes the two points equal or opposite.
"""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from ecdsa import NIST256p, ellipticcurve

from firmware.crypto import p256, p256_curve, p256_ladder, p256_pairs, p256_prepared
from firmware.crypto.p256_comb import BASE, Comb
from host_bridge.crypto import p256 as host_p256
from tests.unit.crypto_mass_runner import Runner
from tests.unit.test_crypto_mass import INTERPRETERS, Case, Record, run_cases, verification
from tests.unit.test_crypto_p256 import oracle_verify

SEED = 20_241_121
ORDER = p256.ORDER
Term = tuple[int, int]


def multiple(scalar: int) -> ellipticcurve.PointJacobi:
    return NIST256p.generator * (scalar % ORDER)


def encoded(point: ellipticcurve.PointJacobi) -> bytes:
    affine = point.to_affine()
    return int(affine.x()).to_bytes(32, "big") + int(affine.y()).to_bytes(32, "big")


def column_scalar(comb: Comb, digit: int, column: int) -> int:
    """The multiple of the comb's point that a digit stands for."""
    signs = (1 if digit >> tooth & 1 else -1 for tooth in range(comb.teeth))
    total = sum(sign << tooth * comb.columns for tooth, sign in enumerate(signs))
    return total << (column - column % comb.steps)


def key_comb(q: int) -> Comb:
    point = multiple(q).to_affine()
    shape = (p256_prepared.TEETH, p256_prepared.COLUMNS, p256_prepared.STEPS)
    return p256_prepared.build_comb((int(point.x()), int(point.y())), *shape)


@pytest.mark.parametrize("q", [1, 2, ORDER - 1, 0xC0FFEE << 200])
def test_a_table_is_what_it_says(q: int) -> None:
    for comb in (BASE, key_comb(q)) if q == 1 else (key_comb(q),):
        entries = 1 << (comb.teeth - 1)
        for block, table in enumerate(comb.blocks):
            column = block * comb.steps
            scalars = [column_scalar(comb, entries + j, column) for j in range(entries)]
            assert table == b"".join(encoded(multiple(scalar * q)) for scalar in scalars)


EDGES = [0, 1, 2, 3, ORDER - 1, ORDER - 2, 1 << 255, 1 << 222, 2**256 - 1, 2**256 - 2]


@pytest.mark.parametrize("scalar", [*EDGES, ORDER << 63, (1 << 319) - 1])
def test_the_digits_of_a_comb_add_up(scalar: int) -> None:
    for comb in (BASE, Comb(6, 43, 22, ()), Comb(1, 257, 257, ())):
        if scalar < 1 << comb.length - 1:
            digits = comb.recode(scalar)
            assert len(digits) == comb.columns
            total = sum(
                column_scalar(comb, digit, column) << column % comb.steps
                for column, digit in enumerate(digits)
            )
            assert total % ORDER == scalar % ORDER


def wnaf_digits(scalar: int) -> list[int]:
    return [digit if digit < 16 else digit - 32 for digit in p256_ladder.wnaf(scalar)]


@pytest.mark.parametrize("scalar", [*EDGES, 15, 16, 17, 31, 32, 0xF8F7 << 240, 0x1F << 251])
def test_the_digits_of_the_window_add_up(scalar: int) -> None:
    digits = wnaf_digits(scalar)
    assert sum(digit << bit for bit, digit in enumerate(digits)) == scalar
    for bit in range(len(digits)):
        assert sum(1 for digit in digits[bit : bit + 5] if digit) <= 1


def step_terms(comb: Comb, scalar: int, of_q: bool, step: int) -> list[Term]:
    digits = comb.recode(scalar)
    columns = range(step, comb.columns, comb.steps) if step < comb.steps else ()
    found = [column_scalar(comb, digits[column], column) for column in columns]
    return [(0, term) if of_q else (term, 0) for term in found]


def plus(first: Term, second: Term) -> Term:
    return first[0] + second[0], first[1] + second[1]


def walk(steps: list[list[Term]], merged: int) -> Iterator[tuple[Term, Term]]:
    """The additions of a ladder; the last `merged` steps add up their terms beforehand."""
    point = (0, 0)
    for index, terms in enumerate(steps):
        point = plus(point, point)
        while index >= len(steps) - merged and len(terms) > 1:
            pairs = list(zip(terms[::2], terms[1::2], strict=False))
            yield from pairs
            terms = [plus(*pair) for pair in pairs] + terms[2 * len(pairs) :]
        for term in terms:
            yield point, term
            point = plus(point, term)


def plain_steps(u1: int, u2: int) -> list[list[Term]]:
    window = wnaf_digits(u2)
    return [
        ([(0, window[step])] if window[step] else []) + step_terms(BASE, u1, False, step)
        for step in range(len(window) - 1, -1, -1)
    ]


def prepared_steps(u1: int, u2: int) -> list[list[Term]]:
    comb = Comb(p256_prepared.TEETH, p256_prepared.COLUMNS, p256_prepared.STEPS, ())
    return [
        step_terms(comb, u2, True, step) + step_terms(BASE, u1, False, step)
        for step in range(comb.steps - 1, -1, -1)
    ]


def signature_for(q: int, u1: int, u2: int) -> tuple[bytes, bytes]:
    """A digest and a signature of the key q * G whose scalars are u1 and u2.

    It is valid, unless the sum is infinity, when r is some number.
    """
    total = (u1 + u2 * q) % ORDER
    r = int(multiple(total).to_affine().x()) % ORDER if total else 5
    s = r * pow(u2, -1, ORDER) % ORDER
    return (u1 * s % ORDER).to_bytes(32, "big"), r.to_bytes(32, "big") + s.to_bytes(32, "big")


def meetings(additions: Iterator[tuple[Term, Term]]) -> Iterator[tuple[int, int]]:
    """Each key for which an addition meets equal (1) or opposite (-1) points."""
    for (a, b), (c, d) in additions:
        for sign in (1, -1):
            difference, slope = (sign * c - a) % ORDER, (b - sign * d) % ORDER
            if (a or b) and difference and slope:  # Else no key does, or there is no point yet.
                yield sign, difference * pow(slope, -1, ORDER) % ORDER


class Exceptions:
    """Counts what the ladder's additions meet, and passes them on."""

    def __init__(self) -> None:
        self.met = {1: 0, -1: 0}

    def add(self, point: tuple[int, int, int], entry: tuple[int, int]) -> tuple[int, int, int]:
        prime = p256_curve.P
        x, y = entry
        zz = point[2] * point[2] % prime
        if point[2] and x * zz % prime == point[0]:
            self.met[1 if y * zz * point[2] % prime == point[1] else -1] += 1
        return p256_curve.add(point, entry)


def exceptional_cases(prepared: bool, merged: bool) -> tuple[list[Case], dict[int, int]]:
    draw = random.Random(SEED)
    u1, u2 = draw.randrange(1, ORDER), draw.randrange(1, ORDER)
    steps = prepared_steps(u1, u2) if prepared else plain_steps(u1, u2)
    # A plain verification adds its window's point by itself.
    merged_steps = len(steps) if merged and prepared else 0
    cases, tried = [], {1: 0, -1: 0}
    for sign, q in meetings(walk(steps, merged_steps)):
        tried[sign] += 1
        valid = (u1 + u2 * q) % ORDER != 0
        key = encoded(multiple(q))
        cases.append(verification(key, *signature_for(q, u1, u2), valid, prepared=prepared))
    return cases, tried


@pytest.mark.parametrize("prepared", [False, True], ids=["plain", "prepared"])
@pytest.mark.parametrize("merged", [False, True], ids=["one by one", "merged"])
def test_verification_is_right_where_any_addition_meets_itself_or_its_opposite(
    monkeypatch: pytest.MonkeyPatch, prepared: bool, merged: bool
) -> None:
    met = Exceptions()
    monkeypatch.setattr(p256_ladder, "add", met.add)
    monkeypatch.setattr(p256_ladder, "merge", p256_pairs.merge if merged else None)
    cases, tried = exceptional_cases(prepared, merged)
    for case in cases:
        assert host_p256.verify(*case.arguments) == case.valid
        assert oracle_verify(*case.arguments) == case.valid
        if prepared:
            key, *rest = case.arguments
            assert p256.prepare(key).verify(*rest) == case.valid, (SEED, key.hex())
        else:
            assert p256.verify(*case.arguments) == case.valid, (SEED, case.arguments)
    assert min(tried.values()) >= 40
    if not merged:
        assert met.met[1] >= tried[1] and met.met[-1] >= tried[-1]


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_is_right_at_the_same_places(
    interpreter: str, heap: str, tmp_path: Path, record_property: Record
) -> None:
    """With 64 bits on long integers, merged; with 32 on the field machine, one by one."""
    cases = []
    for prepared in (False, True):
        for merged in (False, True):
            cases += exceptional_cases(prepared, merged)[0]
    record_property("cases", len(cases))
    run_cases(interpreter, heap, cases, tmp_path)


def test_the_base_ladder_is_right_where_it_adds_equal_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice a table entry: found among all of them are the scalars whose last addition doubles."""
    met = Exceptions()
    monkeypatch.setattr(p256_ladder, "add", met.add)
    for column in (0, BASE.steps):
        for digit in range(2 << (BASE.teeth - 1)):
            scalar = 2 * column_scalar(BASE, digit, column) % ORDER
            x, y = p256_ladder.multiply_base(scalar, 12345)
            private_key = scalar.to_bytes(32, "big")
            assert x.to_bytes(32, "big") + y.to_bytes(32, "big") == host_p256.public_key(
                private_key
            )
    assert met.met[1] > 0


def last_column(scalar: int) -> tuple[int, int]:
    """The digits of the two entries that the base ladder adds last."""
    signs = (scalar if scalar & 1 else scalar - ORDER) + (1 << BASE.length) - 1 >> 1
    teeth = range(BASE.teeth)
    low, high = (
        sum((signs >> tooth * BASE.columns + column & 1) << tooth for tooth in teeth)
        for column in (0, BASE.steps)
    )
    return low, high


@cache
def base_meetings() -> tuple[tuple[str, int], ...]:
    """Scalars of the base ladder, each with what its additions meet.

    The last two entries, u and v, are those that the scalar's own digits name. It is looked for
    among blinded scalars, for the digits change with the blind and the sum does not.
    """
    sums = {
        "v meets itself": (0, 2),
        "u meets its opposite": (0, 1),
        "u meets itself": (2, 1),
        "what stands before u and v is infinity": (1, 1),
        "u + v meets itself": (2, 2),
    }
    draw = random.Random(SEED)
    found = []
    for name, (first, second) in sums.items():
        for _ in range(2_000_000):
            low, high = draw.randrange(256), draw.randrange(256)
            scalar = first * column_scalar(BASE, low, 0)
            scalar += second * column_scalar(BASE, high, BASE.steps)
            scalar = scalar % ORDER + (draw.randrange(1 << 62)) * ORDER
            digits = last_column(scalar)
            if digits[1] == high and (first == 0 or digits[0] == low):
                found.append((name, scalar))
                break
    assert len(found) == len(sums), found
    return tuple(found)


def base_cases() -> list[Case]:
    return [
        Case("base", (scalar.to_bytes(40, "big"), encoded(multiple(scalar))))
        for _, scalar in base_meetings()
    ]


@pytest.mark.parametrize("merged", [False, True], ids=["one by one", "merged"])
def test_the_base_ladder_is_right_where_its_last_additions_meet_something(
    monkeypatch: pytest.MonkeyPatch, merged: bool
) -> None:
    monkeypatch.setattr(p256_ladder, "merge", p256_pairs.merge if merged else None)
    for (name, scalar), case in zip(base_meetings(), base_cases(), strict=True):
        met = Exceptions()
        monkeypatch.setattr(p256_ladder, "add", met.add)
        assert BASE.recode(scalar)[0 :: BASE.steps] == bytes(last_column(scalar))
        assert Runner().passes(case.name, case.words), name
        opposite = name.startswith("what") or (not merged and "opposite" in name)
        equal = "u + v" in name if merged else name in ("v meets itself", "u meets itself")
        assert (met.met[1] > 0, met.met[-1] > 0) == (equal, opposite), name


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_is_right_there_as_well(interpreter: str, heap: str, tmp_path: Path) -> None:
    run_cases(interpreter, heap, base_cases(), tmp_path)


@pytest.mark.parametrize("scalar", [0, 1, 2, 1 << 128, ORDER - 1])
def test_a_sum_with_a_zero_scalar_or_of_opposite_points(scalar: int) -> None:
    generator = (int(NIST256p.generator.x()), int(NIST256p.generator.y()))
    assert p256_ladder.multiply_sum(0, 0, generator)[2] == 0
    assert p256_ladder.multiply_sum(scalar, (ORDER - scalar) % ORDER, generator)[2] == 0


def test_pairs_that_are_equal_or_opposite_are_left_to_the_ladder() -> None:
    x, y = (int(coordinate) for coordinate in (NIST256p.generator.x(), NIST256p.generator.y()))
    twice, thrice = (multiple(factor).to_affine() for factor in (2, 3))
    other = (int(twice.x()), int(twice.y()))
    opposite = (x, p256_curve.P - y)
    total = (int(thrice.x()), int(thrice.y()))
    assert p256_pairs.add_pairs([((x, y), (x, y)), ((x, y), other), ((x, y), opposite)]) == [
        None,
        total,
        None,
    ]
    assert p256_pairs.merge([[(x, y), opposite], [], [(x, y), other], [other]]) == [
        [(x, y), opposite],
        [],
        [total],
        [other],
    ]
