# SPDX-License-Identifier: Apache-2.0
"""Installing a till, its books and their schema, catalogue, cheque and receipt."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from firmware.wire.certificate import ROLE_PURSE
from host_bridge.crypto.keys import SigningKey
from host_bridge.money import MAX_TIYN
from host_bridge.sync.port import Directory
from pos_terminal import schema
from pos_terminal.catalogue import parse_quantity
from pos_terminal.cheque import Cheque, Line
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.install import install_till, read_package, write_package
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import DAY, NOW, Desk
from tests.doubles.shop import Shop, held


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till")


def test_a_package_makes_a_till_that_sells(shop: Shop, tmp_path: Path) -> None:
    setup = dataclasses.replace(shop.setup, bank_url='http://bank/"x"')
    write_package(tmp_path / "package", setup, shop.directory(shop.denylist(3, set())))
    read, directory = read_package(tmp_path / "package", shop.now)
    assert (read.root, read.certificate, read.bank_url) == (
        setup.root,
        setup.certificate,
        setup.bank_url,
    )
    assert directory.denylist is not None and directory.denylist.epoch == 3
    shop.folder = tmp_path / "installed"
    install_till(shop.folder, read, directory)
    assert stat.S_IMODE((shop.folder / "terminal.pem").stat().st_mode) == 0o600
    with shop.open() as till:
        assert (till.name, till.bank_url) == ("Shop", 'http://bank/"x"')
        payment = till.sell(Cheque.of_amount(100), held(shop.card(1000)))
        assert payment.state is PaymentState.PAID
    with pytest.raises(TillError, match=r"a till in .* already"):
        install_till(shop.folder, read, directory)


def test_what_does_not_belong_together_is_not_installed(shop: Shop, tmp_path: Path) -> None:
    desk, directory = shop.desk, shop.directory()
    key = SigningKey.generate()
    cases = [
        (dataclasses.replace(shop.setup, key=key), directory, "not that of its key"),
        (dataclasses.replace(shop.setup, root=key.public_key), directory, "another root"),
        (dataclasses.replace(shop.setup, utc_offset_minutes=9999), directory, "offset"),
        (
            dataclasses.replace(
                shop.setup, certificate=desk.certify(desk.bank_key, desk.shop_key, ROLE_PURSE)
            ),
            directory,
            "no terminal",
        ),
        (shop.setup, Directory(directory.root, (desk.issuer,), None, NOW), "bank .* not known"),
        (shop.setup, Directory(directory.root, (Desk().bank,), None, NOW), "not signed by this"),
        (
            shop.setup,
            dataclasses.replace(directory, time=NOW + 500 * DAY),
            "not valid at this time",
        ),
    ]
    for setup, known, sentence in cases:
        with pytest.raises(TillError, match=sentence):
            install_till(tmp_path / "new", setup, known)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("till.toml", None, "There is no till"),
        ("till.toml", b"root = 5", "not the settings"),
        ("till.toml", b"\xff", "not the settings"),
        ("till.toml", b'root = "00"', "not the settings"),
        ("till.toml", b"[", "not the settings"),
        ("terminal.pem", None, "cannot be read"),
        ("terminal.pem", b"x", "no private key"),
        ("terminal.cert", None, "cannot be read"),
        ("terminal.cert", bytes(200), "no certificate"),
        ("terminal.cert", bytes(200_000), "too large"),
        ("books.sqlite", b"This is no database, whatever its name says." * 100, "cannot use"),
    ],
)
def test_a_damaged_folder_is_one_sentence(
    shop: Shop, name: str, content: bytes | None, sentence: str
) -> None:
    path = shop.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TillError, match=sentence):
        shop.open()


def test_one_program_at_a_time(shop: Shop) -> None:
    with shop.open(), pytest.raises(TillError, match="in use by another program"):
        shop.open()
    shop.open().close()


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    database = Database(tmp_path / "books.sqlite")
    with database.transaction() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []
        pragma = connection.exec_driver_sql
        assert pragma("PRAGMA journal_mode").scalar() == "wal"
        assert pragma("PRAGMA synchronous").scalar() == 2
        assert pragma("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_books_of_a_newer_program_are_not_touched(tmp_path: Path) -> None:
    database = Database(tmp_path / "books.sqlite")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(TillError, match="newer program"):
        Database(tmp_path / "books.sqlite")


def test_a_cheque_has_one_encoding() -> None:
    cheque = Cheque((Line("Нан", 15_000, 2_000, "1"), Line("Cheese", 399_999, 333)))
    assert [line.total_tiyn for line in cheque.lines] == [30_000, 133_200]
    assert Cheque.parse(cheque.raw) == cheque
    assert Cheque.parse(cheque.raw).raw == cheque.raw


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cheque(()),
        lambda: Cheque.of_amount(0),
        lambda: Cheque.of_amount(-1),
        lambda: Cheque.of_amount(MAX_TIYN + 1),
        lambda: Cheque.of_amount(2**63),
        lambda: Cheque((Line("a", MAX_TIYN), Line("b", 1))),
        lambda: Cheque((Line("a", 1),) * 501),
        lambda: Line("", 1),
        lambda: Line("a\x1b@", 1),
        lambda: Line("a" * 101, 1),
        lambda: Line("a", 1, 0),
    ],
)
def test_b11_what_no_cheque_can_be(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TillError):
        make()


def test_a_catalogue_is_imported_whole_or_not_at_all(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('code,name,price\n1,Нан,150\n2,"Cheese, 1 kg",3999.99\n', "utf-8")
    with shop.open() as till:
        assert till.catalogue.load(path) == 2
        assert till.catalogue.line("1:3") == Line("Нан", 15_000, 3_000, "1")
        assert till.catalogue.line("2:0.333").total_tiyn == 133_200
        for text, sentence in [
            ("", "has not the columns"),
            ("a,b\n", "has not the columns"),
            ("code,name,price\n", "no items"),
            ("code,name,price\n1,Bread\n", "line 2"),
            ("code,name,price\n1,Bread,1\n1,Milk,2\n", "line 3: '1' stands twice"),
            ("code,name,price\n1,Bread,-1\n", "line 2.*amount"),
            ("code,name,price\na:b,Bread,1\n", "line 2"),
            ("code,name,price\n1,,1\n", "line 2"),
            ('code,name,price\n1,"Bread,1\n', "not a CSV"),
        ]:
            path.write_text(text, "utf-8")
            with pytest.raises(TillError, match=sentence):
                till.catalogue.load(path)
        path.write_bytes(b"code,name,price\n\xff,a,1\n")
        with pytest.raises(TillError, match="UTF-8"):
            till.catalogue.load(path)
        with pytest.raises(TillError, match="cannot be read"):
            till.catalogue.load(tmp_path)
        assert till.catalogue.line("1").price_tiyn == 15_000
        with pytest.raises(TillError, match="no item '3'"):
            till.catalogue.line("3")


@pytest.mark.parametrize("text", ["x", "-1", "1.2345", "1e3", "٣", "9999999", "1.", " 1"])
def test_b11_what_no_quantity_is(text: str) -> None:
    with pytest.raises(TillError, match="not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("columns", [32, 42])
def test_a_receipt_says_what_is_on_the_disk(shop: Shop, columns: int) -> None:
    cheque = Cheque(
        (
            Line("Нан тандырный", 15_000, 2_000),
            Line("A very long name of a thing that does not fit on one line", 1_190_000),
            Line("Cheese", 300_000, 100),
        )
    )
    with shop.open() as till:
        payment = till.sell(cheque, held(shop.card(2_000_000)), pin="2580")
        text = till.receipt(payment.payment_id, columns)
        assert max(map(len, text.splitlines())) == columns
        for part in ("Shop", "No. 1", "2 x 150,00 ₸", "0,1 x 3 000,00 ₸", "12 500,00 ₸"):
            assert part in text
        assert "PAID, awaiting synchronisation" in text
        assert payment.short_id in text
        with pytest.raises(TillError, match="32 or 42"):
            till.receipt(payment.payment_id, 10)
        card = shop.card(100)
        refused = till.sell(Cheque.of_amount(200), held(card))
        text = till.receipt(refused.payment_id, columns)
        assert "NOT PAID: refused" in text and "enough money" in " ".join(text.split())


def test_the_clock_of_a_receipt_is_the_shops(shop: Shop) -> None:
    shop.now = 1_790_000_000  # 2026-09-21 14:13:20 UTC
    with shop.open() as till:
        payment = till.sell(Cheque.of_amount(100), held(shop.card(100)))
        assert "21.09.2026 19:13:20" in till.receipt(payment.payment_id)


def test_payments_are_found_as_people_call_them(shop: Shop) -> None:
    with shop.open() as till:
        card = shop.card(10_000)
        payments = [till.sell(Cheque.of_amount(100), held(card)) for _ in range(3)]
        assert till.find("2").payment_id == payments[1].payment_id
        assert till.find(payments[2].payment_id.hex().upper()).number == 3
        for text in ("", "9", "zz", "%", "_"):
            with pytest.raises(TillError, match=r"no payment|several"):
                till.find(text)


def test_no_secret_shows(shop: Shop) -> None:
    """P04 for the till: neither key nor PIN in a repr."""
    pem = (shop.folder / "terminal.pem").read_text()
    assert pem.splitlines()[1] not in repr(shop.setup)


def test_till_open_needs_a_till(tmp_path: Path) -> None:
    with pytest.raises(TillError, match="qalta pos init"):
        Till.open(tmp_path / "none")
