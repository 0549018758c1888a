# SPDX-License-Identifier: Apache-2.0
"""`qalta card info|balance|pin|journal|recover`: what people read, and what machines do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from firmware.purse.trust import Rejected
from firmware.wire import apdu
from firmware.wire.token import parse_tokens
from host_bridge.cli import card as card_app
from host_bridge.cli import card_views
from host_bridge.cli.verify import Unverified
from host_bridge.session.exchange import CardError, CardRefused
from host_bridge.session.purse import PayRequest, PurseSession, WrongPin
from tests.cli.conftest import Shell
from tests.cli.test_flow import bank_and_card
from tests.doubles.desk import MEDICAL, PIN, Desk
from tests.doubles.in_process import InProcessCard
from tests.doubles.paper_card import PaperCard

WRONG = "0000"


class Holder:
    """A card in the field, what was loaded and paid with it, and a command line."""

    def __init__(self, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = desk
        self.folder = folder
        self.card: Any = InProcessCard(folder / "card")
        monkeypatch.delenv("QALTA_PIN", raising=False)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(card_views, "open_transport", self._open)
        self.root = desk.root.public_key.hex()
        self.certificates = folder / "certificates"
        self.certificates.mkdir()
        for name, certificate in (("issuer", desk.issuer), ("bank", desk.bank), ("s", desk.shop)):
            (self.certificates / name).write_bytes(certificate.raw)
        (self.certificates / "notes.txt").write_text("no certificate")

    def _open(self, spec: str) -> Any:
        self.card.reset()
        return self.card

    def session(self) -> PurseSession:
        """A tap of somebody else's."""
        self.card.reset()
        session = PurseSession(self.card)
        session.select()
        return session

    def pay(self, amount: int) -> PayRequest:
        """Pays the shop."""
        request = self.desk.request(amount)
        session = self.session()
        session.present(self.desk.bank)
        session.pay(request)
        return request

    def type(self, *words: str, pin: str = PIN) -> Result:
        """One command; the PIN comes by a pipe."""
        return CliRunner().invoke(card_app.app, [*words, "--card", "x"], input=f"{pin}\n")

    def good(self, *words: str) -> str:
        """What must go well; returns what it printed."""
        result = self.type(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def data(self, *words: str) -> Any:
        """The same, for machines."""
        return json.loads(self.good(*words, "--json"))


@pytest.fixture(scope="module")
def funded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Path]:
    """A card with 10,000 tenge and 2,000 for one purpose; it is copied, never used."""
    desk = Desk()
    folder = tmp_path_factory.mktemp("funded") / "card"
    card = InProcessCard(folder)
    desk.personalise(card)
    for value, purpose in ((1_000_000, 0), (200_000, MEDICAL)):
        card.reset()
        session = PurseSession(card)
        session.select()
        desk.load(session, value, purpose)
    return desk, folder


@pytest.fixture
def holder(funded: tuple[Desk, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    desk, folder = funded
    shutil.copytree(folder, tmp_path / "card")
    return Holder(desk, tmp_path, monkeypatch)


def test_info(holder: Holder) -> None:
    told = holder.good("info")
    for words in ("active", "0 (software)", "KZT", "can be tried", "has room"):
        assert words in told
    data = holder.data("info")
    assert data["state"] == "active" and data["currency"] == 398 and data["tier"] == 0
    assert data["pin_blocked"] is False and data["journal_full"] is False


def test_info_of_a_blank_card(holder: Holder) -> None:
    holder.card = InProcessCard(holder.folder / "blank")
    assert "blank" in holder.good("info") and "none yet" in holder.good("info")
    assert holder.data("info")["state"] == "blank"


@pytest.mark.parametrize(
    ("lifecycle", "name", "words"),
    [
        (apdu.LIFECYCLE_SYNC_ONLY, "sync-only", "it can only be synced"),
        (apdu.LIFECYCLE_DAMAGED, "damaged", "'qalta card rescue'"),
        (9, "unknown-9", "unknown (9)"),
    ],
)
def test_info_of_a_card_that_pays_no_more(
    holder: Holder, lifecycle: int, name: str, words: str
) -> None:
    paper = PaperCard(holder.desk.shop, holder.desk.shop_key)
    paper.lifecycle = lifecycle
    holder.card = paper
    assert words in holder.good("info")
    assert holder.data("info")["state"] == name


def test_balance(holder: Holder) -> None:
    told = holder.good("balance")
    assert "10 000,00 ₸" in told and "2 000,00 ₸" in told and "12 000,00 ₸" in told
    assert holder.data("balance") == {
        "balances": [
            {"purpose": 0, "amount_tiyn": 1_000_000},
            {"purpose": MEDICAL, "amount_tiyn": 200_000},
        ],
        "total_tiyn": 1_200_000,
    }


def test_pin_right_wrong_and_blocked(holder: Holder) -> None:
    assert "The PIN is right." in holder.good("pin")
    assert holder.data("pin") == {"verified": True, "tries_left": None}
    assert "3 tries are left" in holder.good("pin", "--tries")
    wrong = holder.type("pin", pin=WRONG)
    assert isinstance(wrong.exception, WrongPin) and wrong.exception.tries_left == 2
    for _ in range(3):  # asking takes none
        assert holder.data("pin", "--tries") == {"verified": None, "tries_left": 2}
    again = holder.type("pin", "--json", pin=WRONG)
    assert json.loads(again.output) == {"verified": False, "tries_left": 1}
    assert again.exit_code == 1
    assert "One try is left." in holder.good("pin", "--tries")
    for _ in range(2):  # the try that blocks it, and one that comes too late
        last = holder.type("pin", "--json", pin=WRONG)
        assert json.loads(last.output) == {"verified": False, "tries_left": 0}
        assert last.exit_code == 1
    told = holder.type("pin", "--tries")
    assert "The PIN is blocked." in told.output and told.exit_code == 1
    assert "blocked" in holder.good("info") and holder.data("info")["pin_blocked"] is True
    blocked = holder.type("pin")
    assert isinstance(blocked.exception, CardRefused)


def test_no_pin_and_a_pin_that_is_none(holder: Holder) -> None:
    for words in (("balance",), ("journal",), ("pin",)):
        for pin, says in (("", "There is no PIN"), ("12x4", "a PIN has 4 to 12 digits")):
            result = holder.type(*words, pin=pin)
            assert isinstance(result.exception, CardError)
            assert says in str(result.exception) and "12x4" not in str(result.exception)
    assert holder.data("pin", "--tries")["tries_left"] == 3, "the card was not asked"


def test_journal(holder: Holder) -> None:
    assert "No payment waits for the bank." in holder.good("journal")
    assert holder.data("journal") == {"entries": [], "total_tiyn": 0}
    first = holder.pay(125_050)
    assert "One payment, 1 250,50 ₸, waits for the bank." in holder.good("journal")
    second = holder.pay(10_000)
    told = holder.good("journal", "--certificates", str(holder.certificates))
    for words in ("1 250,50 ₸", "100,00 ₸", "Shop", first.payment_id.hex(), "waits for the bank"):
        assert words in told
    assert "2 payments, 1 350,50 ₸, wait for the bank." in told
    unnamed = holder.good("journal")
    assert "Shop" not in unnamed and holder.desk.shop.record_id.hex()[:16] in unnamed
    data = holder.data("journal", "--certificates", str(holder.certificates))
    assert data["total_tiyn"] == 135_050
    assert [row["payment_id"] for row in data["entries"]] == [
        first.payment_id.hex(),
        second.payment_id.hex(),
    ]
    row = data["entries"][0]
    assert (row["amount_tiyn"], row["payee_name"], row["signed"]) == (125_050, "Shop", True)
    assert row["time"] == "2026-09-21T14:14:20Z"


def test_recover_gives_the_same_tokens_verified(holder: Holder) -> None:
    request = holder.desk.request(125_050)
    session = holder.session()
    session.present(holder.desk.bank)
    tokens = session.pay(request)
    out = holder.folder / "out.token"
    trusted = ("--root", holder.root, "--certificates", str(holder.certificates))
    payment = request.payment_id.hex()
    told = holder.good("recover", payment, *trusted, "--out", str(out))
    assert "verified: 1 250,50 ₸ to Shop, 2026-09-21 14:14 UTC" in told
    raw = b"".join(token.raw for token in tokens)
    assert out.read_bytes().endswith(raw)
    data = holder.data("recover", payment, *trusted)
    assert data["verified"] is True and data["amount_tiyn"] == 125_050
    assert len(data["tokens"]) == len(parse_tokens(raw))
    exists = holder.type("recover", payment, *trusted, "--out", str(out))
    assert "exists already" in str(exists.exception)


def test_recover_refuses_what_it_cannot_believe(holder: Holder) -> None:
    payment = holder.pay(50_000).payment_id.hex()
    trusted = ("--root", holder.root, "--certificates", str(holder.certificates))
    unknown = holder.type("recover", "00" * 16, *trusted)
    assert isinstance(unknown.exception, CardRefused) and unknown.exception.word == 0x6A88
    for text in ("", "12", "zz" * 16, payment + "00"):
        told = holder.type("recover", text, *trusted)
        assert "is no payment's id: it has 32 hex digits" in str(told.exception)
    alone = holder.type("recover", payment, "--root", holder.root)
    assert isinstance(alone.exception, Rejected) and "issuer" in str(alone.exception)
    other = Desk().root.public_key.hex()
    foreign = holder.type("recover", payment, "--root", other, *trusted[2:])
    assert isinstance(foreign.exception, Rejected)
    nowhere = holder.type("recover", payment, "--root", holder.root, "--certificates", "nowhere")
    assert isinstance(nowhere.exception, Unverified)


def test_recover_of_a_card_that_answers_with_another_payment(holder: Holder) -> None:
    first, second = holder.pay(50_000), holder.pay(60_000)

    class Swapping:
        """Asks the card for the other payment."""

        def __init__(self, card: InProcessCard) -> None:
            self.card = card

        def __getattr__(self, name: str) -> Any:
            return getattr(self.card, name)

        def __enter__(self) -> Swapping:
            return self

        def __exit__(self, *error: object) -> None:
            self.card.close()

        def transmit(self, command: bytes) -> bytes:
            return self.card.transmit(command.replace(first.payment_id, second.payment_id))

    holder.card = Swapping(holder.card)
    trusted = ("--root", holder.root, "--certificates", str(holder.certificates))
    told = holder.type("recover", first.payment_id.hex(), *trusted)
    assert "another payment" in str(told.exception)


def test_on_a_board_from_the_command_line(qalta: Shell) -> None:
    bank_and_card(qalta)
    qalta.good("pos", "sell", "1250.50", "--card", "board:alice")
    card = ("--card", "board:alice")
    told = json.loads(qalta.good("card", "journal", *card, "--json", pin="2580"))
    payment = told["entries"][0]["payment_id"]
    assert told["total_tiyn"] == 125_050
    named = qalta.good("card", "journal", *card, "--certificates", "package", pin="2580")
    assert "Abai" in named and "1 250,50 ₸" in named
    qalta.good("bank", "root", "mybank", "root.pub")
    trusted = ("--root", "root.pub", "--certificates", "package/directory")
    told_again = qalta.good("card", "recover", payment, *card, *trusted, "--out", "one.token")
    assert "verified: 1 250,50 ₸" in told_again
    assert "token: 1 250,50 ₸" in qalta.good("verify", "one.token", "--root", "root.pub")
    assert "3 tries are left." in qalta.good("card", "pin", "--tries", *card)
