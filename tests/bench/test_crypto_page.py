# SPDX-License-Identifier: Apache-2.0
"""The tables of signatures in docs/performance.md: how they are written, and what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import crypto

# Instructions are counted, and so do not depend on the machine. Ratios, then millions.
MOST = {
    "64 bits: prepared / verify": 0.4,
    "32 bits, integers: prepared / verify": 0.4,
    "32 bits, viper: prepared / verify": 0.4,
    "32 bits: field product, viper / integers": 0.5,
    "32 bits: verify, viper / integers": 0.65,
    "64 bits: sign": 12.0,
    "64 bits: verify": 52.0,
}


def rows(page: str) -> list[list[str]]:
    tables = page.partition(crypto.BEGIN)[2].partition(crypto.END)[0]
    found = [line.strip("|").split("|") for line in tables.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in cells] for cells in found]


def counted(page: str) -> dict[str, float]:
    """Of the figures by instructions: the ratios by name, the counts by place and operation."""
    found = {}
    for cells in rows(page):
        if len(cells) == 3 and cells[1] == "instructions":
            found[cells[0]] = float(cells[2])
        if len(cells) == 4 and cells[3][:1].isdigit():
            found[f"{cells[0]}: {cells[1]}"] = float(cells[3])
    return found


def test_the_page_meets_the_goals() -> None:
    found = counted(crypto.PAGE.read_text(encoding="utf-8"))
    missed = {name: found[name] for name, most in MOST.items() if found[name] > most}
    assert not missed


def fake_rows() -> list[crypto.Row]:
    places = ("CPython", "python-ecdsa", "cryptography")
    found = [
        crypto.Row(place, operation, 2.0) for place in places for operation in crypto.OPERATIONS
    ]
    for build in crypto.BUILDS:
        for operation in (*crypto.OPERATIONS, "product"):
            million = 10.0 if operation == "verify" else 5.0
            found.append(crypto.Row(build.name, operation, 1.0, million))
    return found


def test_write_replaces_the_tables_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{crypto.BEGIN}\n| old |\n{crypto.END}\nafter\n")
    monkeypatch.setattr(crypto, "PAGE", page)
    crypto.write(crypto.table(fake_rows()))
    written = page.read_text()
    assert written.startswith(f"before\n{crypto.BEGIN}\n| where |")
    assert written.endswith(f"|\n{crypto.END}\nafter\n") and "old" not in written
    assert counted(written)["32 bits, viper: prepared / verify"] == 0.5
    assert ["verify: python-ecdsa / this, CPython", "time", "1.00"] in rows(written)


def test_a_page_without_markers_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text("no tables")
    monkeypatch.setattr(crypto, "PAGE", page)
    with pytest.raises(SystemExit, match="lacks the lines"):
        crypto.write("| a |")
    assert page.read_text() == "no tables"
