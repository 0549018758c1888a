# SPDX-License-Identifier: Apache-2.0
"""The white paper's T-accounts to the tenge (seed checklist NUM-T0 to T4, NUM-AGG)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from host_bridge.bank import FoundingPlan, ReferenceBank
from host_bridge.bank.founding import AuthorityPlan, BankPlan, found
from host_bridge.bank.reports import TAccount
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused
from tests.doubles.paper_purse import PaperPurse, Piece

KZT = 100
BankMaker = Callable[..., ReferenceBank]

PLAN: dict[str, object] = {
    "banks": (BankPlan(name="bank-a"), BankPlan(name="bank-b")),
    "authorities": (AuthorityPlan(name="health", bank="bank-a", purposes=(1,)),),
}


def sheet(bank: ReferenceBank, title: str) -> dict[str, int]:
    """One participant's T-account in tenge, both sides."""
    (account,) = [one for one in bank.accounts() if one.title == title]
    return {label: amount // KZT for label, amount in account.assets + account.liabilities}


def sides(account: TAccount) -> tuple[int, int]:
    return sum(a for _, a in account.assets) // KZT, sum(a for _, a in account.liabilities) // KZT


def purse_of(bank: ReferenceBank, bank_name: str, client_id: str) -> PaperPurse:
    purse = PaperPurse.new()
    purse.certificate = bank.certify_purse(
        bank_name, client_id, purse.identity.public_key, tier=0, view_key=purse.view_key
    )
    return purse


def load(bank: ReferenceBank, purse: PaperPurse, tenge: int, *, from_cash: bool = False) -> Piece:
    key = SigningKey.generate()
    attestation = purse.attest(key, bank.challenge())
    note = bank.load("bank-a", purse.papers.serial, attestation, tenge * KZT, from_cash=from_cash)
    return purse.take_note(key, note)


def aggregates(bank: ReferenceBank) -> tuple[int, ...]:
    found = bank.aggregates()
    return tuple(v // KZT for v in (found.rm, found.m0, found.m0_dt, found.c, found.m1))


@pytest.fixture
def before_issue(found_bank: BankMaker) -> ReferenceBank:
    """NUM-T1: the economy before digital tenge."""
    bank = found_bank(**PLAN)
    bank.add_client("bank-a", "alibek", "Alibek", "KYC-1")
    bank.add_client("bank-a", "others", "Other clients", "KYC-0")
    bank.open_books(
        "bank-a",
        correspondent_tiyn=3000 * KZT,
        cash_tiyn=1000 * KZT,
        current_tiyn={"alibek": 700 * KZT, "others": 3300 * KZT},
    )
    bank.hold_cash("alibek", 550 * KZT)
    return bank


def test_stages_of_issue_option_1(before_issue: ReferenceBank) -> None:
    bank = before_issue
    assert sheet(bank, "NBK") == {
        "Corr. account of bank-a": 3000,
        "Corr. account of bank-b": 0,
        "Cash outside NBK": 1000,
        "DT in circulation (reserves)": 0,
    }
    assert aggregates(bank) == (4000, 550, 0, 4000, 4550)
    assert bank.aggregates().rm_strict == 4550 * KZT  # ERR-13: with Alibek's own banknotes

    bank.issue("bank-a", 1000 * KZT)
    assert sheet(bank, "NBK")["Corr. account of bank-a"] == 2000
    assert sheet(bank, "NBK")["DT in circulation (reserves)"] == 1000
    assert sheet(bank, "bank-a")["Digital wallet (DT)"] == 1000
    assert aggregates(bank) == (4000, 550, 0, 4000, 4550)

    load(bank, purse_of(bank, "bank-a", "alibek"), 500)
    assert sheet(bank, "bank-a") == {
        "Corr. account": 2000,
        "Cash": 1000,
        "Digital wallet (DT)": 500,
        "Current account of alibek": 200,
        "Current account of others": 3300,
    }
    assert sheet(bank, "Alibek") == {
        "Current account at bank-a": 200,
        "Cash": 550,
        "Digital wallet": 500,
    }
    assert aggregates(bank) == (4000, 550, 500, 3500, 4550)
    assert all(a == b for a, b in map(sides, bank.accounts()[1:3]))
    assert bank.audit() == []


def test_stage_3_option_2_from_cash(before_issue: ReferenceBank) -> None:
    bank = before_issue
    bank.issue("bank-a", 1000 * KZT)
    load(bank, purse_of(bank, "bank-a", "alibek"), 500, from_cash=True)
    book = sheet(bank, "bank-a")
    assert book["Cash"] == 1500  # ERR-11: the paper prints 500, which does not balance
    assert book["Digital wallet (DT)"] == 500
    assert book["Corr. account"] == 2000
    assert book["Current account of alibek"] == 700
    assert sheet(bank, "Alibek") == {
        "Current account at bank-a": 700,
        "Cash": 50,
        "Digital wallet": 500,
    }
    assert sheet(bank, "NBK")["Cash outside NBK"] == 1000
    assert aggregates(bank) == (4000, 50, 500, 4000, 4550)
    assert all(a == b for a, b in map(sides, bank.accounts()[1:3]))


@pytest.fixture
def before_transfer(found_bank: BankMaker) -> ReferenceBank:
    """NUM-T0, before Alibek loads 200 of the 650 on his account."""
    bank = found_bank(**PLAN)
    for bank_name, client_id, name in (
        ("bank-a", "alibek", "Alibek"),
        ("bank-a", "others-a", "Others A"),
        ("bank-b", "bahtiyar", "Bahtiyar"),
        ("bank-b", "others-b", "Others B"),
    ):
        bank.add_client(bank_name, client_id, name, f"KYC {client_id}")
    bank.open_books(
        "bank-a",
        correspondent_tiyn=2950 * KZT,
        current_tiyn={"alibek": 650 * KZT, "others-a": 2300 * KZT},
    )
    bank.open_books(
        "bank-b",
        correspondent_tiyn=3050 * KZT,
        current_tiyn={"bahtiyar": 50 * KZT, "others-b": 3000 * KZT},
    )
    bank.issue("bank-a", 1000 * KZT)
    return bank


def test_transfer_of_50_from_wallet_to_wallet(before_transfer: ReferenceBank) -> None:
    bank = before_transfer
    alibek, bahtiyar = (
        purse_of(bank, "bank-a", "alibek"),
        purse_of(bank, "bank-b", "bahtiyar"),
    )
    piece = load(bank, alibek, 200)
    banks = {
        "NBK": {
            "Corr. account of bank-a": 1950,
            "Corr. account of bank-b": 3050,
            "Cash outside NBK": 0,
            "DT in circulation (reserves)": 1000,
        },
        "bank-a": {
            "Corr. account": 1950,
            "Cash": 0,
            "Digital wallet (DT)": 800,
            "Current account of alibek": 450,
            "Current account of others-a": 2300,
        },
        "bank-b": {
            "Corr. account": 3050,
            "Cash": 0,
            "Digital wallet (DT)": 0,
            "Current account of bahtiyar": 50,
            "Current account of others-b": 3000,
        },
    }
    for title, expected in banks.items():
        assert sheet(bank, title) == expected
    assert sheet(bank, "Alibek")["Digital wallet"] == 200

    now = bank.directory().time
    alibek.pay(bahtiyar.papers, [(piece, 50 * KZT)], b"fifty".ljust(16), now)
    bank.upload_export(alibek.export(bank.challenge()))

    for title, expected in banks.items():  # no posting at any bank
        assert sheet(bank, title) == expected
    assert sheet(bank, "Alibek")["Digital wallet"] == 150
    assert sheet(bank, "Bahtiyar")["Digital wallet"] == 50
    totals = bank.totals()
    assert totals.reserves == 800 * KZT
    assert totals.purses == 200 * KZT
    assert bank.audit() == []


def test_opening_balances_must_cover_the_accounts(found_bank: BankMaker) -> None:
    bank = found_bank(**PLAN)
    bank.add_client("bank-a", "alibek", "Alibek", "KYC-1")
    with pytest.raises(BankRefused, match="do not cover"):
        bank.open_books("bank-a", correspondent_tiyn=1, current_tiyn={"alibek": 2})


def test_a_name_stands_once_in_a_plan(tmp_path: Path) -> None:
    twice = FoundingPlan(banks=(BankPlan(name="x"), BankPlan(name="x")), authorities=())
    with pytest.raises(BankRefused, match="twice"):
        found(tmp_path / "new", twice, lambda: 0, bytes)
    assert not (tmp_path / "new").exists()
