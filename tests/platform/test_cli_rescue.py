# SPDX-License-Identifier: Apache-2.0
"""`qalta card rescue` and `qalta bank rescue`, from a card that is broken to the bank's books."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_SYNC_ONLY
from host_bridge.bank.remains import day
from host_bridge.cli import bank, card
from host_bridge.session.exchange import CardError
from host_bridge.sync.rescue_file import RescueFileError, read_rescue, write_rescue
from tests.doubles.broken_card import BrokenCard
from tests.doubles.paper_purse import PaperPurse
from tests.platform.town import Town
from tests.platform.wreck import COMMITTED, intent, log_of, payment, rescue_of


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("QALTA_PIN", "2580")


@pytest.fixture
def purse(town: Town) -> PaperPurse:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for amount in (100, 2_000):
        town.pay(purse, town.cafe, piece, amount)
    return purse


def on_card(*words: object) -> Result:
    return CliRunner().invoke(card.app, ["rescue", *map(str, words)])


def at_bank(*words: object) -> Result:
    return CliRunner().invoke(bank.app, [str(word) for word in words])


def put_in_reader(monkeypatch: pytest.MonkeyPatch, broken: BrokenCard) -> None:
    monkeypatch.setattr("host_bridge.cli.rescue.open_transport", lambda _: broken)


def test_from_a_broken_card_to_the_books(
    town: Town, purse: PaperPurse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = BrokenCard(log_of(purse), purse.export(bytes(16)), without=("statement", "entry.0"))
    put_in_reader(monkeypatch, broken)
    out = tmp_path / "alice.rescue"
    done = on_card(out, "--card", "board:alice")
    assert done.exit_code == 0, done.output
    assert f"Purse {purse.papers.serial.hex()}: 6 stored records and 1 entries" in done.stdout
    assert "Unreadable: the statement: the memory of the card failed" in done.stdout
    assert "2580" not in done.stdout
    for state in ("settled 21,00 ₸", "known already 21,00 ₸"):
        done = at_bank("rescue", town.folder, out)
        assert done.exit_code == 0, done.output
        assert "Read from a card, board:alice, on 20" in done.stdout
        assert f"Found 2 payments: {state}." in done.stdout
        assert "Left on this purse: 79,00 ₸, and 0,00 ₸ in payments" in done.stdout
        settles_at = purse.pieces[0].note.expires_at + town.bank._office.grace_seconds + 1
        assert day(settles_at) in done.stdout
    assert town.wallet("cafe") == 2_100
    assert "pays no more" in at_bank("findings", town.folder).stdout
    town.assert_sound()


def test_what_is_open_is_shown(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    first, second = purse.entries
    log = [*payment(first), intent(second), COMMITTED]
    file = tmp_path / "r"
    write_rescue(file, rescue_of(log, purse.papers, unreadable=("one \t thing",)))
    printed = at_bank("rescue", town.folder, file).stdout
    assert "settled 1,00 ₸, committed, not signed 20,00 ₸" in printed
    assert "Left on this purse: 79,00 ₸, and 20,00 ₸ in payments that are still open." in printed
    assert "Unreadable: one ? thing." in printed


def test_a_memory_that_was_put_back_is_explained_where_people_look(
    town: Town, purse: PaperPurse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = purse.clone()
    tokens = town.pay(purse, town.cafe, purse.pieces[0], 500)
    old.counter = purse.counter
    town.bank.upload_sale(tokens)
    locked = BrokenCard(log_of(old), old.export(bytes(16)), lifecycle=LIFECYCLE_SYNC_ONLY)
    put_in_reader(monkeypatch, locked)
    out = tmp_path / "alice.rescue"
    assert on_card(out, "--card", "board:alice").exit_code == 0
    for printed in (
        at_bank("rescue", town.folder, out).stdout,
        "".join(at_bank("findings", town.folder).stdout.split("rollback")[1:]),
    ):
        joined = " ".join(printed.replace("│", " ").split())
        assert "has forgotten payment 3:" in joined
        assert "1 payment, 5,00 ₸" in joined
    assert town.wallet("cafe") == 2_600


def test_a_card_that_is_in_order_is_not_rescued(
    purse: PaperPurse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = BrokenCard([], purse.export(bytes(16)), lifecycle=LIFECYCLE_ACTIVE)
    put_in_reader(monkeypatch, fine)
    out = tmp_path / "alice.rescue"
    failed = on_card(out, "--card", "board:alice")
    assert isinstance(failed.exception, CardError)
    assert "in order" in str(failed.exception)
    assert not out.exists()


def test_no_file_is_written_over(
    purse: PaperPurse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_reader(monkeypatch, BrokenCard(log_of(purse), purse.export(bytes(16))))
    out = tmp_path / "alice.rescue"
    assert on_card(out, "--card", "board:alice").exit_code == 0
    kept = read_rescue(out).raw
    again = on_card(out, "--card", "board:alice")
    assert isinstance(again.exception, RescueFileError)
    assert read_rescue(out).raw == kept


def test_bad_files_at_the_bank(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    text, spoiled, other = tmp_path / "text", tmp_path / "spoiled", tmp_path / "other"
    text.write_text("= hello\n")
    good = rescue_of(log_of(purse), purse.papers).raw
    spoiled.write_bytes(good[:-40] + bytes([good[-40] ^ 1]) + good[-39:])
    write_rescue(other, rescue_of(log_of(purse), town.cafe.certificate))
    for file, says in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "cannot be read"),
        (text, "is no rescue file"),
        (spoiled, "cut or changed since it was made"),
        (other, "no bank here has certified"),
    ):
        failed = at_bank("rescue", town.folder, file)
        assert failed.exit_code == 1
        sentence = failed.stderr.strip()
        assert says in sentence and sentence.endswith(".")
        assert len(sentence.splitlines()) == 1
    assert town.wallet("cafe") == 0
