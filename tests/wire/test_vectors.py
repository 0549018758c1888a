# SPDX-License-Identifier: Apache-2.0
"""Every record vector, under CPython and inside both real MicroPython interpreters."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.vectors import generate
from tests.wire import walk

FOLDER = Path(generate.__file__).parent
WALK_TIMEOUT_S = 120
NAMES = [*generate.FILES, generate.LARGE]
DEVICE_FILES = [f"tests/vectors/{name}.json" for name in generate.FILES]


def vectors_of(name: str) -> list[dict]:
    """The vectors of one file."""
    return list(walk.vectors_of(str(FOLDER / f"{name}.json")))


@pytest.mark.parametrize("name", NAMES)
def test_code_and_vectors_agree(name: str) -> None:
    found = {vector["id"]: walk.check(vector) for vector in vectors_of(name)}
    assert found
    assert not {case: complaint for case, complaint in found.items() if complaint}


def test_regenerating_gives_the_same_files(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    for name in NAMES:
        made = (tmp_path / f"{name}.json").read_bytes()
        assert made == (FOLDER / f"{name}.json").read_bytes(), f"{name}.json is not as generated"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_one_json_list_that_can_be_read_line_by_line(name: str) -> None:
    whole = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert whole == vectors_of(name)
    for vector in whole:
        assert set(vector) == {"id", "comment", "flags", "input", "result"}


def test_each_kind_has_valid_and_invalid_vectors() -> None:
    verdicts: dict[str, set[bool]] = {}
    for name in NAMES:
        for vector in vectors_of(name):
            kind = vector["id"].split("/")[0]
            verdicts.setdefault(kind, set()).add(vector["result"]["valid"])
    assert sorted(verdicts) == walk.KINDS
    assert all(verdict == {True, False} for verdict in verdicts.values())


def test_signatures_of_valid_vectors_verify() -> None:
    """The vectors serve the purse's tests and other implementations: they are truly signed."""
    checked = 0
    for name in NAMES:
        for vector in vectors_of(name):
            if "signer" in vector["result"]:
                raw = bytes.fromhex(vector["input"])
                _verify(bytes.fromhex(vector["result"]["signer"]), raw)
                checked += 1
    assert checked > len(generate.FILES)


def _verify(public_key: bytes, raw: bytes) -> None:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + public_key)
    r, s = (int.from_bytes(part, "big") for part in (raw[-64:-32], raw[-32:]))
    try:
        key.verify(encode_dss_signature(r, s), raw[:-64], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        pytest.fail(f"a vector is not signed: {raw[:8].hex()}")


def run_on(launcher: Path, heap: str, root: Path, files: list[str]) -> str:
    """What the walk prints inside MicroPython with a heap of this size."""
    command = [str(launcher), "-X", f"heapsize={heap}", "tests/wire/walk.py", *files]
    environment = os.environ | {"MICROPYPATH": f"{root}:.frozen"}
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WALK_TIMEOUT_S,
        check=False,
    )
    return done.stdout + done.stderr


def expected_output() -> str:
    """What a walk without complaints prints."""
    count = sum(len(vectors_of(name)) for name in generate.FILES)
    return f"{count} vectors, 0 complaints\n"


def test_vectors_on_64_bit_micropython(micropython: Path, root: Path) -> None:
    assert run_on(micropython, "256k", root, DEVICE_FILES) == expected_output()


def test_vectors_on_32_bit_micropython(micropython32: Path, root: Path) -> None:
    assert run_on(micropython32, "512k", root, DEVICE_FILES) == expected_output()


def test_a_complaint_inside_micropython_is_seen(
    micropython: Path, root: Path, tmp_path: Path
) -> None:
    """The run inside the interpreter can fail: a vector that lies is found there."""
    vector = vectors_of("transfer")[0]
    vector["result"]["fields"]["start"] += 1
    path = tmp_path / "transfer.json"
    path.write_text(generate.text_of([vector]), encoding="utf-8")
    assert "1 vectors, 1 complaints" in run_on(micropython, "256k", root, [str(path)])
