# SPDX-License-Identifier: Apache-2.0
"""`qalta bench tap` as people run it, and as a program reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_bridge.bench.table import read_table

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 240
_WIDTH = 100


def bench(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `qalta bench tap` with these words."""
    return subprocess.run(
        [sys.executable, "-m", "host_bridge.cli", "bench", "tap", *words],
        env=os.environ | {"PYTHONPATH": str(_ROOT), "COLUMNS": "160"} | environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def printed(micropython: Path) -> str:
    """What a wide terminal shows of two profiles."""
    done = bench("--board", "esp32-atecc608", "--card", "j3r180")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_people_see_terms_sums_and_sources(printed: str) -> None:
    for words in (
        "GET RESPONSE",
        "3 APDUs",
        "ATECC608 SIGN",
        "the tap",
        "assumption:",
        "JCAlgTest",
    ):
        assert words in printed
    assert "signatures of the card: 1 of at most 1" in printed
    assert "j3h145" not in printed, "only what was asked for"


def test_it_is_no_wider_than_a_hundred_columns(printed: str) -> None:
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= _WIDTH


def test_programs_get_the_same(micropython: Path) -> None:
    done = bench("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["profiles"]] == list(read_table().profiles)
    assert found["bytes_out"] + found["bytes_in"] <= 700
    assert len(found["apdus"]) <= 5
    for profile in found["profiles"]:
        terms = profile["terms"]
        usual = sum(term["typical_ms"] for term in terms)
        assert profile["typical_ms"] == pytest.approx(usual, abs=0.1)
        assert all(term["source"] and term["kind"] for term in terms)
    assert all(one["counted"] <= one["at_most"] for one in found["budget"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--board", "arduino"), "There is no board 'arduino' in the table: esp32, "),
        (("--card", "esp32"), "There is no card 'esp32' in the table: j3r180, "),
        (("--board", "esp32", "--rate", "848"), "esp32 goes at 106 kbit/s, not at 848."),
        (("--rate", "300"), "No profile of the table goes at 300 kbit/s."),
    ],
)
def test_what_is_not_in_the_table_is_one_sentence(words: tuple[str, ...], says: str) -> None:
    done = bench(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1


def test_no_micropython_is_one_sentence(tmp_path: Path) -> None:
    done = bench("--board", "esp32", QALTA_RUNTIME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip() == "MicroPython is not set up: run 'make setup'."
