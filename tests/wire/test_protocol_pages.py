# SPDX-License-Identifier: Apache-2.0
"""What docs/protocol says in tables is what the code does."""

import re
from pathlib import Path

import pytest

from firmware.card.dispatch import find
from firmware.wire import apdu, frame, limits, policy, status, transfer
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import Command
from firmware.wire.bundle import Bundle
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.fraud_proof import HEAD
from firmware.wire.journal import JournalEntry, KeyAttestation, Statement
from firmware.wire.layout import Layout
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer

LAYOUTS = {
    "Certificate": Certificate.LAYOUT,
    "Note": Note.LAYOUT,
    "Transfer": Transfer.LAYOUT,
    "Sealed": transfer.SEALED,
    "Policy": policy.Policy.LAYOUT,
    "Limits": policy.LIMITS,
    "Acknowledgement": Acknowledgement.LAYOUT,
    "Denylist": Denylist.LAYOUT,
    "Fraud proof": HEAD,
    "Statement": Statement.LAYOUT,
    "Journal entry": JournalEntry.HEAD,
    "Bundle": Bundle.HEAD,
    "Key attestation": KeyAttestation.LAYOUT,
    "SELECT answer": apdu.SELECT_ANSWER,
    "PAY data": apdu.PAY_DATA,
    "Balance row": apdu.BALANCE,
}
RECORDS = (
    Certificate,
    Note,
    Transfer,
    policy.Policy,
    Acknowledgement,
    Denylist,
    Statement,
    JournalEntry,
    Bundle,
    KeyAttestation,
)
# Done by the application itself, before any command is looked up.
BY_APPLICATION = {
    apdu.INS_GET_RESPONSE: {apdu.CLA_ISO},
    apdu.INS_INITIALIZE_UPDATE: {apdu.CLA_QALTA},
    apdu.INS_EXTERNAL_AUTHENTICATE: {apdu.CLA_SECURED},
}


def rows_of(root: Path, page: str) -> list[tuple[str, list[str]]]:
    """The table rows of a page, each with the heading that it stands under."""
    heading = ""
    rows = []
    for line in (root / "docs" / "protocol" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            rows.append((heading, [cell.strip() for cell in line.strip("|").split("|")]))
    return rows


@pytest.fixture(scope="module")
def byte_tables(root: Path) -> dict[str, list[tuple[int, int, str]]]:
    """(offset, size, field) of every byte table, by heading."""
    tables: dict[str, list[tuple[int, int, str]]] = {}
    for page in ("records.md", "commands.md"):
        for heading, cells in rows_of(root, page):
            if len(cells) == 4 and cells[0].isdigit() and cells[1].isdigit():
                row = (int(cells[0]), int(cells[1]), cells[2])
                tables.setdefault(heading, []).append(row)
    return tables


@pytest.mark.parametrize("heading", LAYOUTS)
def test_byte_table(byte_tables: dict[str, list[tuple[int, int, str]]], heading: str) -> None:
    layout: Layout = LAYOUTS[heading]
    assert byte_tables[heading] == layout.table()


def test_no_byte_table_is_of_something_else(
    byte_tables: dict[str, list[tuple[int, int, str]]],
) -> None:
    assert set(byte_tables) == set(LAYOUTS)


def test_types_and_sizes_in_the_list_of_records(root: Path) -> None:
    listed = {
        int(cells[0], 16): (cells[1], cells[2])
        for heading, cells in rows_of(root, "records.md")
        if heading == "What is the same everywhere" and re.fullmatch("[0-9A-F]{2}", cells[0])
    }
    for record in RECORDS:
        name, size = listed.pop(record.TYPE)
        assert name == record.NAME
        if size.isdigit():
            assert int(size) == record.LAYOUT.size
    assert set(listed) == {7}  # the fraud proof, whose two sizes its vectors show


def test_status_words(root: Path) -> None:
    listed = {
        int(cells[0], 16): (cells[1], cells[2] == "final")
        for _, cells in rows_of(root, "status-words.md")
        if re.fullmatch("[0-9A-F]{4}", cells[0])
    }
    assert listed == status.MEANINGS
    for word, (sentence, is_final) in listed.items():
        assert (status.sentence(word), status.is_final(word)) == (sentence, is_final)


def test_status_words_with_a_number_in_them() -> None:
    assert status.sentence(0x63C2) == "wrong PIN, 2 tries left"
    assert status.sentence(0x63C1) == "wrong PIN, 1 try left"
    assert not status.is_final(0x63C0)
    assert status.sentence(0x6110) == "there is more data"
    assert status.sentence(0x1234) == "unknown status word" and status.is_final(0x1234)
    assert str(status.Refusal(0x9401)) == "9401 not enough money on the card"


def test_status_words_are_the_ones_that_the_module_names() -> None:
    names = {name: value for name, value in vars(status).items() if name.isupper()}
    words = {value for name, value in names.items() if isinstance(value, int) and name[0] != "_"}
    assert words == set(status.MEANINGS) | {status.MORE_DATA, status.TRIES_LEFT}


def commands_of(root: Path) -> list[tuple[int, int, str]]:
    """(class, instruction, name) of each row of the command table."""
    return [
        (int(cells[0], 16), int(cells[1], 16), cells[2])
        for heading, cells in rows_of(root, "commands.md")
        if heading == "Commands" and re.fullmatch("[0-9A-F]{2}", cells[0])
    ]


def test_commands(root: Path) -> None:
    assert {ins: name for _, ins, name in commands_of(root)} == apdu.COMMAND_NAMES


def test_classes_of_commands(root: Path) -> None:
    """The card finds each command under the class that the page gives, and under no other."""
    for cla, ins, _ in commands_of(root):
        if ins in BY_APPLICATION:
            assert cla in BY_APPLICATION[ins]
            continue
        assert find(Command(cla, ins))
        with pytest.raises(status.Refusal) as refused:
            find(Command(apdu.CLA_ISO if cla & 0x80 else apdu.CLA_QALTA, ins))
        assert refused.value.word == status.UNKNOWN_CLASS


def test_items_of_store_data(root: Path) -> None:
    listed = {
        int(cells[0], 16): cells[1].upper().replace(" ", "_")
        for heading, cells in rows_of(root, "commands.md")
        if heading == "Personalisation" and re.fullmatch("[0-9A-F]{2}", cells[0])
    }
    items = {value: name[5:] for name, value in vars(apdu).items() if name.startswith("ITEM_")}
    assert listed == items


def test_fixed_bounds(root: Path) -> None:
    listed = {
        cells[0]: int(cells[1])
        for heading, cells in rows_of(root, "README.md")
        if heading == "Fixed bounds" and cells[1].isdigit()
    }
    assert listed == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_kinds_and_errors_of_frames(root: Path) -> None:
    listed = {
        cells[1]: int(cells[0]) for _, cells in rows_of(root, "frame.md") if cells[0].isdigit()
    }
    named = {
        name: value
        for name, value in vars(frame).items()
        if name.isupper() and name[0] != "_" and isinstance(value, int)
    }
    assert listed.pop("ERROR") == named.pop("ERROR")
    assert named.pop("MAX_PAYLOAD") == 600
    assert named.pop("NONCE_SIZE") == 8
    assert listed == named
