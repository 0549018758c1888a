# SPDX-License-Identifier: Apache-2.0
"""The vectors of `firmware.crypto`: walked by CPython, both MicroPythons and the host's P-256."""

import json
import subprocess
from pathlib import Path

import pytest

from host_bridge.crypto import p256 as host_p256
from tests.unit import crypto_vector_runner as runner

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests" / "vectors").glob("crypto_*.json"))
RUNNER = "tests/unit/crypto_vector_runner.py"
RUN_TIMEOUT_S = 120
INTERPRETERS = [
    pytest.param(".runtime/bin/micropython", "256k", id="64-bit"),
    pytest.param(".runtime/bin/micropython32", "128k", id="32-bit"),
]


def run_micropython(
    interpreter: str, heap: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A program of the repository run by the real MicroPython with a heap of fixed size."""
    assert (ROOT / interpreter).exists(), f"{interpreter} is missing: run `make setup`"
    return subprocess.run(
        [interpreter, "-X", f"heapsize={heap}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )


def failures(path: Path, functions: dict[str, object]) -> list[str]:
    return [
        f"{path.name} {vector['id']}: {vector['comment']}"
        for vector in runner.vectors(path)
        if vector["input"]["function"] in functions
        and runner.outcome(vector, functions) != vector["result"]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cpython_gives_the_results(path: Path) -> None:
    assert failures(path, runner.FUNCTIONS) == []


def test_the_host_gives_the_same_results() -> None:
    functions = {
        name: getattr(host_p256, name.split(".")[1])
        for name in runner.FUNCTIONS
        if name.startswith("p256.")
    }
    assert failures(ROOT / "tests/vectors/crypto_p256.json", functions) == []


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_gives_the_results(interpreter: str, heap: str) -> None:
    paths = [str(path.relative_to(ROOT)) for path in FILES]
    ran = run_micropython(interpreter, heap, RUNNER, *paths)
    expected = sum(1 for path in FILES for _ in runner.vectors(path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{expected} vectors passed\n", "")


@pytest.mark.parametrize(("interpreter", "heap"), INTERPRETERS)
def test_micropython_tells_a_wrong_result(interpreter: str, heap: str, tmp_path: Path) -> None:
    vector = next(iter(runner.vectors(ROOT / "tests/vectors/crypto_p256.json")))
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(vector | {"result": "00"}))
    ran = run_micropython(interpreter, heap, RUNNER, str(path))
    assert ran.returncode == 1
    assert "RFC 6979 A.2.5" in ran.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_json_with_one_vector_a_line(path: Path) -> None:
    whole = json.loads(path.read_text())
    assert whole == list(runner.vectors(path))
    assert [vector["id"] for vector in whole] == list(range(1, len(whole) + 1))
    for vector in whole:
        assert set(vector) == {"id", "comment", "flags", "input", "result"}
        assert vector["comment"] and vector["flags"]


def test_every_function_has_vectors() -> None:
    used = {vector["input"]["function"] for path in FILES for vector in runner.vectors(path)}
    assert used == set(runner.FUNCTIONS)
