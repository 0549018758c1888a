# SPDX-License-Identifier: Apache-2.0
"""Rescue files: whatever bytes come, one sentence or exactly what was written (I8)."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware.wire.layout import WireError, sha256
from host_bridge.sync import rescue_file
from host_bridge.sync.rescue_file import (
    HEAD,
    ITEM,
    MAX_RESCUE_BYTES,
    MAX_STORED,
    MAX_STORED_BYTES,
    MAX_TEXT_BYTES,
    MAX_TEXTS,
    Rescue,
    RescueFileError,
    What,
    read_rescue,
    write_rescue,
)
from tests.platform.town import Town
from tests.platform.wreck import log_of, rescue_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol" / "rescue.md"


@cache
def whole() -> Rescue:
    """A rescue with one of everything."""
    with TemporaryDirectory() as folder:
        town = Town(Path(folder) / "bank")
        purse = town.purse()
        piece = town.load(purse, 1_000)
        town.pay(purse, town.cafe, piece, 100)
        town.bank.close()
        return rescue_of(
            log_of(purse),
            purse.papers,
            export=purse.export(bytes(16)),
            entries=tuple(purse.entries),
            notes=(piece.note,),
            unreadable=("the policy: its copies differ", "тіл"),
        )


def resealed(body: bytes) -> bytes:
    """A body with a digest that fits, as a liar would write it."""
    return body + sha256(body)


def test_there_and_back() -> None:
    rescue = whole()
    again = Rescue.parse(rescue.raw)
    assert again.raw == rescue.raw
    assert again.certificate == rescue.certificate
    assert (again.stored, again.unreadable) == (rescue.stored, rescue.unreadable)
    assert (again.lifecycle, again.origin, again.made_at) == (3, "board:alice", rescue.made_at)
    unknown = replace(rescue, lifecycle=None)
    assert Rescue.parse(unknown.raw).lifecycle is None


def test_every_byte_that_a_stick_spoils_shows() -> None:
    raw = whole().raw
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 0x10
        with pytest.raises(WireError):
            Rescue.parse(bytes(changed))
        with pytest.raises(WireError):
            Rescue.parse(raw[:at])


def parse_or_refuse(raw: bytes) -> None:
    try:
        parsed = Rescue.parse(raw)
    except WireError as error:
        assert str(error)
        return
    assert parsed.raw == raw


@given(st.binary(max_size=400))
@example(b"")
def test_random_bytes(raw: bytes) -> None:
    parse_or_refuse(raw)
    parse_or_refuse(resealed(raw))
    parse_or_refuse(resealed(whole().raw[: HEAD.size] + raw))


@settings(max_examples=400)
@given(st.data())
def test_mutated_files_with_a_digest_that_fits(data: st.DataObject) -> None:
    body = bytearray(whole().raw[:-32])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        edit = data.draw(st.sampled_from(("set", "insert", "delete", "cut", "repeat")))
        if edit == "set":
            body[at] = data.draw(st.integers(0, 255))
        elif edit == "insert":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif edit == "delete" and len(body) > 8:
            del body[at : at + 3]
        elif edit == "cut" and at:
            del body[at:]
        else:
            body += body[at : at + 64]
    parse_or_refuse(resealed(bytes(body)))


def body_of(items: list[tuple[int, int, bytes]], count: int | None = None) -> bytes:
    head = HEAD.unpack(whole().raw[: HEAD.size])
    del head["reserved"]
    parts = [HEAD.pack(head | {"count": len(items) if count is None else count})]
    for what, kind, data in items:
        parts += [ITEM.pack({"what": what, "kind": kind, "size": len(data)}), data]
    return b"".join(parts)


ORIGIN = (What.ORIGIN, 0, b"x")

BAD = [
    ("nothing says where", [], None, "does not say where"),
    ("an origin twice", [ORIGIN, ORIGIN], None, "more than 1"),
    ("another order", [(What.STORED, 1, b""), ORIGIN], None, "wrong place"),
    ("an unknown item", [ORIGIN, (8, 0, b"")], None, "unknown"),
    ("item 0", [(0, 0, b"")], None, "unknown"),
    ("more than it counts", [ORIGIN], 0, "behind its last item"),
    ("less than it counts", [ORIGIN], 2, "cut off"),
    ("an empty sentence", [(What.ORIGIN, 0, b"")], None, "empty"),
    ("a long sentence", [(What.ORIGIN, 0, b"x" * (MAX_TEXT_BYTES + 1))], None, "too long"),
    ("what moves a cursor", [(What.ORIGIN, 0, b"\x1b[2J")], None, "printable"),
    ("no UTF-8", [(What.ORIGIN, 0, b"\xff")], None, "UTF-8"),
    ("a kind without need", [(What.ORIGIN, 1, b"x")], None, "needs none"),
    ("erased flash", [ORIGIN, (What.STORED, 15, b"")], None, "no kind"),
    ("a gap", [ORIGIN, (What.STORED, 0, b"")], None, "no kind"),
    ("a long record", [ORIGIN, (What.STORED, 1, bytes(MAX_STORED_BYTES + 1))], None, "too long"),
    ("many sentences", [ORIGIN, *[(What.UNREADABLE, 0, b"x")] * 65], None, "more than 64"),
    ("no certificate", [ORIGIN, (What.CERTIFICATE, 0, b"x")], None, "certificate"),
    ("no note", [ORIGIN, (What.NOTE, 0, b"x")], None, "note"),
    ("no entry", [ORIGIN, (What.ENTRY, 0, b"x")], None, "journal entry"),
    ("no export", [ORIGIN, (What.EXPORT, 0, b"x" * 400)], None, "certificate"),
]


@pytest.mark.parametrize(
    ("items", "count", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_what_is_refused(
    items: list[tuple[int, int, bytes]], count: int | None, says: str
) -> None:
    with pytest.raises(WireError, match=says):
        Rescue.parse(resealed(body_of(items, count)))


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [(0, 0, "beginning"), (8, 2, "version"), (9, 3, "source"), (10, 4, "lifecycle")],
)
def test_a_head_that_is_none(at: int, value: int, says: str) -> None:
    body = bytearray(body_of([ORIGIN]))
    body[at] = value
    with pytest.raises(WireError, match=says):
        Rescue.parse(resealed(bytes(body)))


def test_it_holds_its_bounds_and_no_more() -> None:
    most = replace(whole(), stored=((1, b""),) * MAX_STORED, unreadable=("x",) * MAX_TEXTS)
    assert Rescue.parse(most.raw).raw == most.raw
    for more in (
        replace(most, stored=((1, b""),) * (MAX_STORED + 1)),
        replace(most, unreadable=("x",) * (MAX_TEXTS + 1)),
    ):
        with pytest.raises(WireError, match="more than"):
            _ = more.raw
    with pytest.raises(WireError, match="larger"):
        Rescue.parse(bytes(MAX_RESCUE_BYTES + 1))
    with pytest.raises(WireError, match="larger"):
        _ = replace(most, stored=((1, bytes(MAX_STORED_BYTES)),) * MAX_STORED).raw


def test_sentences_are_made_fit_to_be_kept() -> None:
    made = rescue_file.text_bytes("a\nb\x1b\ud800" + "ә" * MAX_TEXT_BYTES).decode()
    assert made.startswith("a?b??ә")
    assert made.isprintable() and len(made.encode()) <= MAX_TEXT_BYTES
    assert rescue_file.text_bytes("") == b"?"


def test_a_file_is_its_owners_alone_and_written_once(tmp_path: Path) -> None:
    path = tmp_path / "alice.rescue"
    write_rescue(path, whole())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_rescue(path).raw == whole().raw == path.read_bytes()
    with pytest.raises(RescueFileError, match="exists already"):
        write_rescue(path, whole())
    with pytest.raises(RescueFileError, match="cannot be written"):
        write_rescue(tmp_path / "none" / "alice.rescue", whole())


@pytest.mark.parametrize("content", [b"", b"text", bytes(MAX_RESCUE_BYTES + 1)])
def test_another_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(RescueFileError, match="is no rescue file"):
        read_rescue(path)
    with pytest.raises(RescueFileError, match="cannot be read"):
        read_rescue(tmp_path)


def test_its_page_says_what_the_code_does() -> None:
    """The byte tables and the list of items in docs/protocol/rescue.md."""
    tables: dict[str, list[tuple[int, int, str]]] = {}
    items: dict[int, int] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif heading == "Items" and re.fullmatch("[0-9]+", cells[0]):
            items[int(cells[0])] = int(cells[1])
        elif len(cells) == 4 and cells[0].isdigit():
            tables.setdefault(heading, []).append((int(cells[0]), int(cells[1]), cells[2]))
    assert tables == {"Head": HEAD.table(), "Item": ITEM.table()}
    assert items == {int(what): most for what, most in rescue_file._MOST.items()}
