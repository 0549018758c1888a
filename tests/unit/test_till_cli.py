# SPDX-License-Identifier: Apache-2.0
"""`qalta pos`: what a cashier types and reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firmware.wire import apdu
from host_bridge.sync.port import SaleResult, SaleState
from pos_terminal import cli
from pos_terminal.errors import TillError
from pos_terminal.install import write_package
from tests.doubles.shop import PaperBank, Shop


class Counter:
    """A shop with one card at its reader, and a command line in front."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop = shop
        self.card = shop.card(2_000_000)
        self.bank = PaperBank(shop)
        monkeypatch.setattr(cli, "open_transport", lambda spec, wait_s: self.card)
        monkeypatch.setattr(cli, "HttpBank", lambda url: self.bank)
        monkeypatch.setattr("pos_terminal.till.unix_time", lambda: shop.now)
        opened = cli.Till.open
        monkeypatch.setattr(
            cli.Till, "open", lambda folder: opened(folder, clock=lambda: shop.now)
        )
        monkeypatch.setattr(cli, "unix_time", lambda: shop.now)

    def type(self, *words: str, stdin: str = "") -> Result:
        """One command."""
        environment = {"QALTA_TILL": str(self.shop.folder)}
        return CliRunner().invoke(cli.app, list(words), input=stdin, env=environment)

    def sentence(self, *words: str) -> str:
        """What a command that is refused says; the main program prints it."""
        result = self.type(*words)
        assert isinstance(result.exception, TillError | ValueError), result.output
        assert result.exit_code == 1
        return str(result.exception)


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    monkeypatch.delenv("QALTA_PIN", raising=False)
    return Counter(Shop(tmp_path / "till"), monkeypatch)


def test_sell_prints_the_receipt(counter: Counter) -> None:
    result = counter.type("sell", "1250.50", "--card", "x")
    assert result.exit_code == 0
    assert "1 250,50 ₸" in result.output and "awaiting synchronisation" in result.output
    assert counter.type("receipt", "1", "--columns", "42").output.count("1 250,50 ₸") == 2


def test_sell_items_of_the_catalogue(counter: Counter, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("code,name,price\nbread,Bread,150\nmilk,Milk,500\n")
    assert counter.type("catalogue", "import", str(path)).output == "2 items.\n"
    result = counter.type("sell", "--card", "x", "--item", "bread:2", "--item", "milk")
    assert "800,00 ₸" in result.output


def test_the_pin_comes_from_a_pipe_and_never_shows(counter: Counter) -> None:
    result = counter.type("sell", "9000", "--card", "x", "--pin-prompt", stdin="2580\n")
    assert result.exit_code == 0 and "2580" not in result.output
    result = counter.type("sell", "9000", "--card", "x", "--pin-prompt", stdin="0000\n")
    assert result.exit_code == 1 and "Wrong PIN" in result.output
    assert counter.type("sell", "9000", "--card", "x").exit_code == 1


def test_a_torn_tap_is_recovered(counter: Counter) -> None:
    counter.card.tear = (apdu.INS_PAY, "after")
    result = counter.type("sell", "1000", "--card", "x")
    assert result.exit_code == 3 and "qalta pos recover 1" in result.output
    assert counter.type("recover", "1", "--card", "x").exit_code == 0
    counter.card.tear = (apdu.INS_PAY, "before")
    counter.type("sell", "1000", "--card", "x")
    result = counter.type("recover", "2", "--card", "x")
    assert result.exit_code == 3 and "--pay-again" in result.output
    assert counter.type("recover", "2", "--card", "x", "--pay-again").exit_code == 0
    assert "nothing to recover" in counter.sentence("recover", "2", "--card", "x")


def test_give_up_leaves_it_to_the_bank(counter: Counter) -> None:
    counter.card.tear = (apdu.INS_PAY, "after")
    counter.type("sell", "1000", "--card", "x")
    assert "unknown" in counter.type("give-up", "1").output
    assert "cannot become" in counter.sentence("give-up", "1")


def test_payments_as_a_table_and_for_programs(counter: Counter) -> None:
    counter.type("sell", "1000", "--card", "x")
    assert "paid" in counter.type("payments").output
    (document,) = json.loads(counter.type("payments", "--json").output)
    assert document["state"] == "paid" and document["amount_tiyn"] == 100_000
    assert document["apdus"] == 3


def test_sync_says_what_happened(counter: Counter) -> None:
    counter.type("sell", "1000", "--card", "x")
    counter.bank.line = False
    result = counter.type("sync", "--bank", "http://bank")
    assert result.exit_code == 1 and "1 waiting" in result.output and "no line" in result.output
    counter.bank.line = True
    result = counter.type("sync", "--bank", "http://bank")
    assert (result.exit_code, result.output) == (0, "1 sent, 0 resolved, 0 waiting.\n")
    assert "where its bank is" in counter.sentence("sync")


def test_sync_card_with_and_without_a_line(counter: Counter) -> None:
    counter.type("sell", "1000", "--card", "x")
    result = counter.type("sync-card", "--card", "x", stdin="2580\n")
    assert "Payments of the card: 1. They wait" in result.output
    result = counter.type("sync-card", "--card", "x", "--bank", "http://bank", stdin="2580\n")
    assert "Payments of the card: 1. They are with the bank" in result.output


def test_bundle_and_init(counter: Counter, tmp_path: Path) -> None:
    counter.type("sell", "1000", "--card", "x")
    assert "1 in it" in counter.type("bundle", str(tmp_path / "b")).output
    write_package(tmp_path / "package", counter.shop.setup, counter.shop.directory())
    result = counter.type("init", str(tmp_path / "new"), str(tmp_path / "package"))
    assert result.output.startswith("Shop is installed")
    assert "already" in counter.sentence("init", str(tmp_path / "new"), str(tmp_path / "package"))
    assert "no folder" in counter.sentence("init", str(tmp_path / "n2"), str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sell", "--card", "x"], "either an amount or items"),
        (["sell", "5", "--item", "a", "--card", "x"], "either an amount or items"),
        (["sell", "0", "--card", "x"], "A sale is"),
        (["sell", "1.234", "--card", "x"], "not an amount"),
        (["sell", "٥", "--card", "x"], "not an amount"),
        (["sell", "99999999999999999999", "--card", "x"], "more than|largest"),
        (["sell", "--item", "nothing", "--card", "x"], "no item"),
        (["recover", "7", "--card", "x"], "no payment"),
        (["receipt", "ff"], "no payment"),
        (["give-up", ""], "no payment"),
        (["bundle", "b"], "Nothing waits"),
        (["catalogue", "import", "missing.csv"], "cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(counter: Counter, words: list[str], sentence: str) -> None:
    said = counter.sentence(*words)
    assert any(part in said for part in sentence.split("|"))
    assert "\n" not in said and counter.card.seen == []


def test_a_card_that_is_not_there_is_not_paid(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host_bridge.transport.open import open_transport

    monkeypatch.setattr(cli, "open_transport", open_transport)
    result = counter.type("sell", "5", "--card", "nonsense")
    assert result.exit_code == 1 and "names no card" in result.output


def test_a_reason_with_brackets_breaks_no_table(counter: Counter) -> None:
    """What a bank says is text, never markup."""
    counter.type("sell", "100", "--card", "x")
    (payment_id,) = counter.card.answers
    reason = "No [/b] [x]"
    counter.bank.words[payment_id] = SaleResult(payment_id, SaleState.DISPUTED, 10_000, reason)
    counter.type("sync", "--bank", "x")
    result = counter.type("payments")
    assert result.exit_code == 0 and "[/b]" in result.output
