# SPDX-License-Identifier: Apache-2.0
"""The power of a card under the real MicroPython is cut at every write of every operation.

The firmware's own purse, storage and element run on littlefs over NOR flash in RAM; after each
cut the card boots from what is left, and must hold the state before or the state after (I9),
debit a payment once and answer RECOVER with the very same bytes (I1, I2, I3), and go on.

QALTA_CUTS is how many cuts are wanted in all, QALTA_SEED makes the same ones again.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.power_cut.fixture import write_fixture

CUTS = int(os.environ.get("QALTA_CUTS") or 6_000)
CUTS_32 = CUTS // 10  # on the 32-bit interpreter
TIMEOUT_S = 60 + CUTS // 20
_RUNNER = Path("tests", "power_cut", "run.py")
_HEAP = "64m"
_MARK = "##"
_SEEDS = 29  # bits

# How often each operation is tried, as a share of all: the more it writes, the more.
OPERATIONS = {
    "personalise": 8,
    "load": 4,
    "pay_one": 16,
    "pay_four": 16,
    "pay_last": 4,
    "recover": 5,
    "verify": 4,
    "verify_wrong": 4,
    "change_pin": 4,
    "unblock_pin": 4,
    "set_policy": 4,
    "present": 3,
    "generate_key": 4,
    "reuse_slot": 3,
    "acknowledge": 8,
    "acknowledge_full": 4,
    "export": 3,
    "boot_intent_left": 1,
    "boot_intent_taken": 1,
}
_SHARES = sum(OPERATIONS.values())


@dataclass(frozen=True)
class Harness:
    """The interpreter and the fixture that one run of the tests uses."""

    root: Path
    fixture: Path
    seed: int

    def run(self, interpreter: Path, operation: str, cuts: int) -> list[dict[str, Any]]:
        """The rows that a run of one operation printed, the numbers last."""
        wanted = max(1, cuts * OPERATIONS[operation] // _SHARES)
        arguments = [self.fixture, operation, wanted, self.seed]
        done = subprocess.run(
            [interpreter, "-X", f"heapsize={_HEAP}", _RUNNER, *map(str, arguments)],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        return [json.loads(line[len(_MARK) :]) for line in lines if line.startswith(_MARK)]

    def run_all(self, interpreter: Path, cuts: int) -> Iterator[list[dict[str, Any]]]:
        """Every operation, as many at a time as there are processors."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(lambda name: self.run(interpreter, name, cuts), OPERATIONS)


@pytest.fixture(scope="module")
def harness(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The commands and answers of a card on CPython, written down for MicroPython."""
    folder = tmp_path_factory.mktemp("power_cut")
    write_fixture(folder / "fixture.json", folder)
    seed = int(os.environ.get("QALTA_SEED") or secrets.randbits(_SEEDS))
    return Harness(root, folder / "fixture.json", seed)


def test_every_cut(harness: Harness, micropython: Path) -> None:
    """T02, T03, T04, S01, S02, S03, with the words of 64 bits."""
    _check(harness, micropython, CUTS)


def test_every_cut_with_32_bits(harness: Harness, micropython32: Path) -> None:
    """The same with the words of an ESP32."""
    _check(harness, micropython32, CUTS_32)


def _check(harness: Harness, interpreter: Path, cuts: int) -> None:
    print(f"QALTA_CUTS={CUTS} QALTA_SEED={harness.seed} fixture {harness.fixture}")
    failures: list[str] = []
    modes: Counter[str] = Counter()
    tried, spent_ms = 0, 0
    for *failed, numbers in harness.run_all(interpreter, cuts):
        name, counts = numbers["operation"], Counter(numbers["counts"])
        failures += [f"{name} --replay {row['failure']}: {row['text']}" for row in failed]
        assert counts.total() >= numbers["cuts"] >= min(numbers["places"]) > 0, name
        tried += numbers["cuts"]
        spent_ms += numbers["ms"]
        modes.update(counts)
        print(_row(numbers))
    for outcome, count in sorted(modes.items()):
        print(f"{count:8,} {outcome}")
    print(f"{tried:8,} cuts in all, {1000 * tried / spent_ms:.0f} a second on one processor")
    assert not failures, "\n".join(failures)


def _row(numbers: dict[str, Any]) -> str:
    places = numbers["places"]
    span = f"{min(places)} to {max(places)} writes at {numbers['ages']} ages"
    return f"{numbers['cuts']:8,} cuts in {numbers['operation']}: {span}"
