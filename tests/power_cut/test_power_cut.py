# SPDX-License-Identifier: Apache-2.0
"""The power of a card is cut at every write of every operation, in every way that it can go.

The firmware's own purse, storage and element run on littlefs and raw NOR flash in RAM; after each
cut the card boots from what is left, and must hold the state before or the state after (I9),
debit a payment once and answer RECOVER with the very same bytes (I1, I2, I3), and go on; an older
flash that is put back must be noticed (I11). The bulk runs on CPython, a sample on the real
MicroPython, whose own littlefs is then under the files.

QALTA_CUTS is how many cuts are wanted in all, QALTA_SEED makes the same ones again.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.power_cut.__main__ import SHARES
from tests.power_cut.fixture import write_fixture
from tests.power_cut.harness import VIOLATED
from tests.power_cut.table import table

CUTS = int(os.environ.get("QALTA_CUTS") or 100_000)
SAMPLE = 1_000  # on MicroPython with 64 bits; half as many with 32
TIMEOUT_S = 300 + CUTS // 50
_RUNNER = Path("tests", "power_cut", "run.py")
_HEAP = "256m"
_MARK = "##"
_SEEDS = 29  # bits
_ENDS_WITH_RULE_BROKEN = 1


@pytest.fixture(scope="module")
def seed() -> int:
    """Of this run."""
    return int(os.environ.get("QALTA_SEED") or secrets.randbits(_SEEDS))


def test_every_cut(root: Path, seed: int, tmp_path: Path) -> None:
    """T02, T03, T04, S01, S02, S03."""
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "tests.power_cut", str(CUTS), "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--json", numbers],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    print(done.stdout)
    assert done.returncode in (0, _ENDS_WITH_RULE_BROKEN), done.stderr
    result = json.loads(numbers.read_text())
    assert not result["named"].get(VIOLATED), "\n".join(result["named"][VIOLATED])
    assert result["cuts"] >= CUTS
    tried = {key.split("/")[0] for key in result["counts"]}
    assert tried >= set(SHARES)


def test_a_sample_with_64_bits(root: Path, seed: int, tmp_path: Path, micropython: Path) -> None:
    """The same under the interpreter of a board, and under its littlefs."""
    _check_sample(root, micropython, SAMPLE, seed, tmp_path)


def test_a_sample_with_32_bits(root: Path, seed: int, tmp_path: Path, micropython32: Path) -> None:
    """The same with the words of an ESP32."""
    _check_sample(root, micropython32, SAMPLE // 2, seed, tmp_path)


def _check_sample(root: Path, interpreter: Path, cuts: int, seed: int, folder: Path) -> None:
    fixture = folder / "fixture.json"
    write_fixture(fixture, folder)
    names = [row["name"] for row in json.loads(fixture.read_text())["operations"]]
    wanted = [f"{name}={1 + cuts // len(names)}" for name in names]
    row = _sample(root, interpreter, [str(fixture), str(seed), *wanted])
    for line in table(row["counts"]):
        print(line)
    print(f"{row['cuts']:,} cuts in {row['ms'] / 1000:.0f} s, seed {seed}")
    assert not row["named"].get(VIOLATED), "\n".join(row["named"][VIOLATED])
    assert row["cuts"] >= cuts


def _sample(root: Path, interpreter: Path, arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [interpreter, "-X", f"heapsize={_HEAP}", _RUNNER, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    row: dict[str, Any] = json.loads(lines[-1][len(_MARK) :])
    return row
