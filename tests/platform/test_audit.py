# SPDX-License-Identifier: Apache-2.0
"""What the database keeps by itself, and what the audit finds when somebody gets past that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from host_bridge.bank import ReferenceBank, ledger
from host_bridge.bank.schema import metadata
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused
from tests.platform.town import Town


@pytest.fixture
def busy(town: Town) -> Town:
    """A town with a load, sales from both sides, a double spend, a redemption."""
    purse = town.purse()
    piece = town.load(purse, 20_000)
    town.bank.upload_sale(town.pay(purse, town.cafe, piece, 1_000))
    town.pay(purse, town.shop, piece, 2_000)
    town.bank.upload_export(purse.export(town.bank.challenge()))
    town.bank.upload_sale(town.pay(purse, town.clinic, town.label(purse, 5_000), 700))
    town.bank.upload_sale(town.pay_run(purse, town.clinic, piece, 0, 500))
    town.bank.redeem("cafe", 400)
    friend, key = town.purse("bank-b", "bahtiyar"), SigningKey.generate()
    attestation = friend.attest(key, town.bank.challenge())
    town.bank.pass_on("cafe", friend.papers.serial, attestation, 300)
    town.assert_sound()
    return town


@contextmanager
def tampering(town: Town) -> Iterator[sqlite3.Connection]:
    """The file in the hands of somebody who drops every trigger first."""
    with closing(sqlite3.connect(town.folder / "bank.sqlite")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.commit()


def found(town: Town) -> list[tuple[str, str]]:
    return [(finding.kind, finding.sentence) for finding in town.bank.audit()]


CHANGES = [
    ("UPDATE lines SET credit = credit + 100 WHERE book = 'dt' AND credit > 0", "posting"),
    ("UPDATE lines SET account = 'wallet:shop' WHERE account = 'wallet:cafe'", "balance"),
    ("UPDATE postings SET time = time + 1 WHERE id = 4", "posting"),
    ("DELETE FROM postings WHERE kind = 'redeem'", "posting"),
    ("DELETE FROM postings WHERE id = 3", "posting"),
    ("UPDATE notes SET value = value + 1", "note"),
    ("UPDATE notes SET serial = (SELECT max(serial) FROM certificates)", "note"),
    ('UPDATE transfers SET "end" = "end" + 1, withheld = withheld + 1', "transfer"),
    ("UPDATE transfers SET raw = CAST(substr(raw, 1, 179) || x'01' AS BLOB)", "transfer"),
    ("DELETE FROM transfers WHERE claimed > 0", "posting"),
    ("DELETE FROM claims", "claim"),
    ('UPDATE spent SET "end" = "end" + 1', "tree"),
    ("UPDATE certificates SET public_key = randomblob(64) WHERE role = 5", "certificate"),
    (
        "UPDATE journal SET body = CAST(substr(body, 1, 11) || x'00' || substr(body, 13) AS BLOB)",
        "journal",
    ),
    ("DELETE FROM journal", "statement"),
    (
        "UPDATE acknowledgements"
        " SET raw = CAST(substr(raw, 1, 130) || x'01' || substr(raw, 132) AS BLOB)",
        "acknowledgement",
    ),
    (
        "UPDATE policies SET raw = CAST(substr(raw, 1, 30) || x'01' || substr(raw, 32) AS BLOB)",
        "policy",
    ),
    (
        "UPDATE denylists SET raw = CAST(substr(raw, 1, 20) || x'01' || substr(raw, 22) AS BLOB)",
        "denylist",
    ),
    ("DELETE FROM denied", "proof"),
    ("UPDATE proofs SET raw = CAST(x'ff' AS TEXT)", "database"),
    ("DELETE FROM certificates WHERE role = 6", "transfer"),
    ("DELETE FROM notes", "transfer"),
    (
        "UPDATE proofs SET raw = CAST(substr(raw, 1, 700) || x'01' || substr(raw, 702) AS BLOB)",
        "proof",
    ),
]


@pytest.mark.parametrize(("change", "kind"), CHANGES, ids=[change[:40] for change, _ in CHANGES])
def test_a_change_in_the_file_is_found(busy: Town, change: str, kind: str) -> None:
    with tampering(busy) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(change).rowcount > 0
    assert kind in [kind for kind, _ in found(busy)]


def test_a_wallet_that_grew_is_found_though_all_hashes_fit(busy: Town) -> None:
    """Whoever rewrites the whole chain of hashes still needs a transfer that somebody signed."""
    with tampering(busy) as connection:
        rows = connection.execute("SELECT id, time, kind, reference FROM postings ORDER BY id")
        before = ledger.GENESIS
        for number, time, kind, reference in rows.fetchall():
            connection.execute(
                "UPDATE lines SET debit = debit * 2, credit = credit * 2 WHERE posting = ?"
                " AND EXISTS (SELECT 1 FROM lines WHERE account = 'wallet:cafe'"
                " AND debit > 0 AND posting = ?)",
                (number, number),
            )
            lines = connection.execute(
                "SELECT book, account, debit, credit FROM lines WHERE posting = ? ORDER BY id",
                (number,),
            )
            entries = [ledger.Line(*line) for line in lines.fetchall()]
            before = ledger.posting_hash(before, number, time, kind, reference, entries)
            connection.execute("UPDATE postings SET hash = ? WHERE id = ?", (before, number))
    kinds = {kind for kind, _ in found(busy)}
    assert kinds == {"balance"}


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE postings SET time = 0", "postings are permanent"),
        ("DELETE FROM lines", "lines are permanent"),
        ("DELETE FROM notes", "notes are permanent"),
        ("UPDATE transfers SET claimed = 0", "transfers are permanent"),
        ("INSERT INTO lines VALUES (999, 1, 'dt', 'wallet:cafe', 5, 0)", "sealed"),
        ("INSERT INTO lines VALUES (999, 99, 'dt', 'wallet:cafe', 5, 5)", "line_side"),
        ("INSERT INTO lines VALUES (999, 99, 'dt', 'wallet:cafe', -5, 0)", "line_sign"),
        ("INSERT INTO postings VALUES (99, 0, 'x', x'00', x'00')", "does not balance"),
        (
            'INSERT INTO spent SELECT parent, start + 1, "end" + 1, transfer FROM spent LIMIT 1',
            "units are spent",
        ),
        (
            "INSERT INTO transfers SELECT x'99', note, parent, 19999, 20001, payee, payment_id,"
            ' payer, 2, 0, 0, raw FROM transfers ORDER BY "end" DESC LIMIT 1',
            "outside its parent",
        ),
        (
            "INSERT INTO transfers SELECT x'99', note, x'1234', 0, 1, payee, payment_id,"
            " payer, 1, 0, 0, raw FROM transfers LIMIT 1",
            "outside its parent",
        ),
    ],
)
def test_the_database_refuses_by_itself(busy: Town, statement: str, sentence: str) -> None:
    with (
        closing(sqlite3.connect(busy.folder / "bank.sqlite")) as connection,
        pytest.raises(sqlite3.IntegrityError, match=sentence),
    ):
        connection.execute(statement)


def test_unbalanced_lines_are_refused_by_the_database(busy: Town) -> None:
    with closing(sqlite3.connect(busy.folder / "bank.sqlite")) as connection:
        connection.execute("INSERT INTO lines VALUES (998, 99, 'dt', 'wallet:cafe', 5, 0)")
        connection.execute("INSERT INTO lines VALUES (999, 99, 'nbk', 'dt', 0, 5)")
        with pytest.raises(sqlite3.IntegrityError, match="does not balance"):
            connection.execute("INSERT INTO postings VALUES (99, 0, 'x', x'00', x'00')")


def test_unbalanced_lines_are_refused_by_the_ledger(busy: Town) -> None:
    lines = [ledger.debit("dt", "wallet:cafe", 5), ledger.credit("nbk", "dt", 5)]
    with (
        busy.bank._office.store.write() as connection,
        pytest.raises(ValueError, match="does not balance"),
    ):
        ledger.post(connection, "x", b"", 0, lines)


def test_an_accident_within_a_posting_leaves_nothing(
    busy: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = busy.end_state()
    purse = busy.purse("bank-b", "bahtiyar")
    piece = busy.load(purse, 1_000, "bank-b")
    sale = busy.pay(purse, busy.cafe, piece, 100)
    held = busy.end_state()

    def fail(*_: object) -> bool:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr("host_bridge.bank.settle.ledger.post", fail)
        with pytest.raises(RuntimeError):
            busy.bank.upload_sale(sale)
    assert busy.end_state() == held != before
    busy.bank.upload_sale(sale)
    busy.assert_sound()


def test_migrations_lead_to_the_schema(town: Town) -> None:
    engine = create_engine(f"sqlite:///{town.folder / 'bank.sqlite'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == "0002"
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def test_a_bank_of_the_first_schema_goes_on(town: Town) -> None:
    """A database that was founded before purses' missing counters were kept."""
    purse = town.purse()
    sale = town.pay(purse, town.cafe, town.load(purse, 1_000), 100)
    town.bank.close()
    with closing(sqlite3.connect(town.folder / "bank.sqlite")) as connection:
        connection.execute("DROP TABLE missing_counters")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    bank = ReferenceBank(town.folder, clock=lambda: town.now)
    bank.upload_sale(sale)
    assert (bank.findings(), bank.audit()) == ([], [])
    with closing(sqlite3.connect(town.folder / "bank.sqlite")) as connection:
        (rules,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE tbl_name = 'missing_counters'"
            " AND type = 'trigger'"
        ).fetchone()
    assert rules == 2
    bank.close()


def test_durability_and_foreign_keys_are_on(town: Town) -> None:
    with town.bank._office.store.read() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert values == ["wal", 2, 1]


def test_two_openings_of_one_folder_share_it(town: Town) -> None:
    other = ReferenceBank(town.folder, clock=lambda: town.now)
    purse = town.purse()
    sale = town.pay(purse, town.cafe, town.load(purse, 1_000), 100)
    assert other.upload_sale(sale) == town.bank.upload_sale(sale)
    assert town.wallet("cafe") == 100
    with pytest.raises(BankRefused):
        other.redeem("cafe", 101)
    other.close()
