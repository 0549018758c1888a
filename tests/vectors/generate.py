# SPDX-License-Identifier: Apache-2.0
"""Writes the record vectors: `python -m tests.vectors.generate [FOLDER]`, always the same bytes.

A file is one JSON list with one vector a line, so that a device can read it line by line. A
vector has the bytes, and what a parser must find in them or with which words it must refuse
them. Vectors that are too large for a device's heap stand in a file of their own.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.vectors import (
    apdu_cases,
    chain_cases,
    fixed_cases,
    journal_cases,
    proof_cases,
    sync_cases,
)
from tests.vectors.fixed_cases import Vector

FILES: dict[str, Callable[[], list[Vector]]] = {
    "acknowledgement": fixed_cases.acknowledgement,
    "apdu": apdu_cases.apdu,
    "bundle": sync_cases.bundle,
    "certificate": fixed_cases.certificate,
    "denylist": proof_cases.denylist,
    "fraud_proof": proof_cases.fraud_proof,
    "journal_entry": journal_cases.journal_entry,
    "key_attestation": fixed_cases.key_attestation,
    "note": fixed_cases.note,
    "policy": fixed_cases.policy,
    "purse_export": sync_cases.purse_export,
    "statement": fixed_cases.statement,
    "tlv": apdu_cases.tlv,
    "token": chain_cases.token,
    "transfer": fixed_cases.transfer,
}

LARGE = "large"
_LARGE_SIZE = 8192  # bytes


def text_of(vectors: list[Vector]) -> str:
    """The file of these vectors. Raises ValueError where two have one id."""
    names = [vector["id"] for vector in vectors]
    if len(set(names)) != len(names):
        raise ValueError("two vectors have the same id")
    lines = [json.dumps(vector, ensure_ascii=False) for vector in vectors]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def generate(folder: Path) -> None:
    """Writes every file into `folder`."""
    large: list[Vector] = []
    for name, make in FILES.items():
        vectors = make()
        large += [vector for vector in vectors if _is_large(vector)]
        small = [vector for vector in vectors if not _is_large(vector)]
        (folder / f"{name}.json").write_text(text_of(small), encoding="utf-8")
    (folder / f"{LARGE}.json").write_text(text_of(large), encoding="utf-8")


def _is_large(vector: Vector) -> bool:
    return len(str(vector["input"])) > 2 * _LARGE_SIZE


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
