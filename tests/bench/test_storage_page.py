# SPDX-License-Identifier: Apache-2.0
"""What docs/storage.md says in tables is what the code does."""

from __future__ import annotations

import binascii
import re
from pathlib import Path

import pytest

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from firmware.hal import software_element
from firmware.purse import state, stored
from firmware.storage import frame, migrations, seal
from firmware.storage import log as sector_log
from firmware.storage.log import SectorLog
from firmware.wire.layout import Layout
from firmware.wire.limits import COUNTER_JUMP, MAX_PIECES, PAYMENTS_KEPT, TOKEN_KEYS
from tests.doubles.desk import Desk
from tests.doubles.in_process import InProcessCard
from tests.doubles.ram_flash import RamPartition

Cells = list[str]
LAYOUTS = {
    "STATE": state.LAYOUT,
    "NOTE": state.NOTE,
    "INTENT": stored._HEAD,
    "PIECE": stored._PIECE,
}
PAYLOADS = {  # of kinds whose payload has one size
    "COMMIT": stored.COMMIT_SIZE,
    "VOID": stored.VOID_SIZE,
    "STATE": state.LAYOUT.size,
    "TRIES": 2,
    "COUNT": software_element._COUNTER_SIZE,
}


@pytest.fixture(scope="module")
def page(root: Path) -> dict[str, list[Cells]]:
    """The cells of each table row, by the heading that it stands under."""
    rows: dict[str, list[Cells]] = {}
    heading = ""
    for line in (root / "docs" / "storage.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows.setdefault(heading, []).append(cells)
    return rows


@pytest.mark.parametrize("heading", LAYOUTS)
def test_byte_table(page: dict[str, list[Cells]], heading: str) -> None:
    layout: Layout = LAYOUTS[heading]
    listed = [(int(cells[0]), int(cells[1]), cells[2]) for cells in page[heading][2:]]
    assert listed == layout.table()


def test_partitions(page: dict[str, list[Cells]]) -> None:
    listed = {cells[0]: cells[1:4] for cells in page["Partitions"][2:]}
    real = {
        name: [f"{part.offset:06X}", f"{part.size:06X}", str(part.size // BLOCK_SIZE)]
        for name, part in read_partitions().items()
    }
    assert listed == real and list(listed) == list(real)


def test_sector_header(page: dict[str, list[Cells]]) -> None:
    """The fields of a real header, cut out where the page says that they are."""
    flash = bytearray(b"\xff" * 4 * BLOCK_SIZE)
    SectorLog(RamPartition(flash)).append(state.TRIES, b"\x03\x0a")
    fields = {
        cells[2]: flash[int(cells[0]) : int(cells[0]) + int(cells[1])]
        for cells in page["Sector header"][2:]
    }
    raw = b"".join(fields.values())
    assert raw == flash[: len(raw)] and len(raw) == sector_log._HEADER_SIZE
    assert fields["head"].hex() == "e009" and fields["sequence"] == b"\0"
    assert fields["version"] == bytes([sector_log.VERSION]) == bytes([state.VERSION])
    assert fields["number"] == bytes(4)
    assert int.from_bytes(fields["crc"], "big") == binascii.crc32(raw[:-4])
    salt = int.from_bytes(fields["salt"], "big")
    found = frame.find(flash, len(raw), salt)
    assert found is not None and found.payload == b"\x03\x0a", "the first record begins behind it"


def test_record(page: dict[str, list[Cells]]) -> None:
    rows = {cells[2]: (cells[0], cells[1]) for cells in page["Record"][2:] if len(cells) == 4}
    assert rows == {
        "head": ("0", "2"),
        "sequence": ("2", "1"),
        "payload": ("3", "size"),
        "crc": ("3 + size", "4"),
    }
    raw = frame.framed(5, 77, b"payload", 1234)
    assert raw[:2] == bytes([5 << 4, 7]) and raw[2] == 77 and raw[3:-4] == b"payload"
    assert int.from_bytes(raw[-4:], "big") == binascii.crc32(raw[:-4], 1234)


def test_kinds_and_their_sizes(page: dict[str, list[Cells]]) -> None:
    table = [cells for cells in page["Record"] if len(cells) == 5][2:]
    listed = {cells[1]: (int(cells[0]), cells[4]) for cells in table}
    kinds = {
        name: value
        for module in (stored, state)
        for name, value in vars(module).items()
        if name in listed and isinstance(value, int)
    }
    kinds["COUNT"] = software_element._COUNT
    assert {name: kind for name, (kind, _) in listed.items()} == kinds
    for name, size in PAYLOADS.items():
        assert listed[name][1] == str(size + frame.OVERHEAD)
    for name, size_of in (("INTENT", stored.intent_size), ("SIGNED", stored.signed_size)):
        sizes = [int(size) for size in re.findall(r"\d+", listed[name][1])]
        assert sizes == [size_of(pieces) + frame.OVERHEAD for pieces in (1, MAX_PIECES)]


def test_copy(page: dict[str, list[Cells]]) -> None:
    rows = [cells for cells in page["Copy"] if len(cells) == 4][2:]
    assert [cells[2] for cells in rows] == ["version", "sequence", "data", "crc"]
    raw = seal.sealed(9, b"data")
    assert raw[0] == int(rows[0][3][:2], 16)
    assert raw[1:5] == (9).to_bytes(4, "big") and raw[5:-4] == b"data"
    assert int.from_bytes(raw[-4:], "big") == binascii.crc32(raw[:-4])


def test_every_file_is_listed(page: dict[str, list[Cells]], tmp_path: Path) -> None:
    desk = Desk()
    with InProcessCard(tmp_path / "card") as card:
        desk.personalise(card)
        card.boot()
        names = {"purse": card.memory.store.names(""), "element": card.memory.keys.names("")}
    patterns: dict[str, list[str]] = {"purse": [], "element": []}
    for folders, cell, *_ in [cells for cells in page["Copy"] if len(cells) == 3][2:]:
        for name in re.findall("`([^`]+)`", cell):
            patterns[folders].append(re.sub("[A-Z]+", "[0-9a-f]+", name))
    for folder, found in names.items():
        assert found
        for name in found:
            assert any(re.fullmatch(pattern, name) for pattern in patterns[folder]), name


def test_versions(page: dict[str, list[Cells]]) -> None:
    listed = [int(cells[0]) for cells in page["Migrations"][2:]]
    assert listed == [*sorted(migrations._STEPS), state.VERSION]


def test_bounds_in_the_text(root: Path) -> None:
    text = (root / "docs" / "storage.md").read_text(encoding="utf-8")
    assert f"Up to {COUNTER_JUMP} above the intent" in text
    assert f"room for {PAYMENTS_KEPT} acknowledged payments" in text
    assert f"| {TOKEN_KEYS} of NOTE |" in text
    assert "multiple of 16" in text and sector_log.aligned(1) == 16
    assert sector_log._AHEAD == 2 and "Two sectors are kept ready" in text
