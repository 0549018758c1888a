# SPDX-License-Identifier: Apache-2.0
"""`qalta bank`: every command, and one sentence with exit code 1 for each bad input."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firmware.purse.fraud import verify_proof
from firmware.wire.bundle import ITEM_SALE, Bundle
from firmware.wire.fraud_proof import FraudProof
from host_bridge.bank import ReferenceBank
from host_bridge.bank.server import BankServer
from host_bridge.cli.bank import app
from host_bridge.crypto import p256
from tests.platform.town import Town


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def good(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def bad(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    sentence = result.stderr.strip()
    assert sentence.endswith("."), sentence
    return sentence


def test_a_bank_from_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    assert "bank-a, bank-b, health" in good("found", folder)
    good("client", "add", folder, "aigul", "Aigul", "--bank", "bank-a", "--kyc", "K1")
    good(
        *("merchant", "add", folder, "kiosk", "Kiosk", "--bank", "bank-b", "--kyc", "K2"),
        *("--mcc", 5411, "--purpose", 1),
    )
    good("open-books", folder, "bank-a", "--correspondent", "100 000")
    good("open-books", folder, "bank-a", "--correspondent", "100 000")  # once only
    for _ in range(2):
        good("deposit", folder, "aigul", "12 500,50", "--reference", "monday")
    good("issue", folder, "bank-a", "50000")
    printed = good("balances", folder)
    assert "12 500,50 ₸" in printed
    assert "whole" in printed
    printed = good("accounts", folder)
    assert "50 000,00 ₸" in printed
    assert "112 500,50 ₸" in printed  # RM: correspondent account and cash
    assert "not considered" in printed
    assert "clean" in good("audit", folder)
    assert "ever denied" in good("denylist", folder)
    assert "Purses" in good("purses", folder)
    assert "Double spends" in good("fraud", "list", folder)


@pytest.fixture
def cheated(town: Town) -> Town:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 500))
    town.bank.upload_sale(town.pay_run(purse, town.shop, piece, 0, 500))
    return town


def test_a_double_spend(cheated: Town, tmp_path: Path) -> None:
    folder = cheated.folder
    (case,) = cheated.bank.fraud_cases()
    assert "Alibek" not in good("fraud", "list", folder)
    assert "Alibek" not in good("fraud", "list", folder, "--bank", "bank-b")
    assert "Alibek" in good("fraud", "list", folder, "--bank", "bank-a")
    name = case.proof_id.hex()[:16]
    assert "0 to 500" in good("fraud", "show", folder, name)
    file = tmp_path / "proof.bin"
    good("fraud", "export", folder, name, file)
    verify_proof(cheated.bank.root_public_key, p256.verify, FraudProof.parse(file.read_bytes()))
    assert "exists already" in bad("fraud", "export", folder, name, file)
    assert "There are 0" in bad("fraud", "show", folder, "00000000")
    assert "at least 4" in bad("fraud", "show", folder, "00")
    assert "hexadecimal" in bad("fraud", "show", folder, "xyz")
    assert case.key_id.hex() in good("denylist", folder)
    assert "5,00 ₸" in good("balances", folder)


def test_a_bundle_from_a_stick(town: Town, tmp_path: Path) -> None:
    purse = town.purse()
    sale = town.pay(purse, town.cafe, town.load(purse, 10_000), 100)
    bank = town.bank.certificate_of("bank-b")
    items = [(ITEM_SALE, sale[0].raw)]
    bundle = Bundle.issue(town.cafe.key.sign, town.now, town.cafe.certificate, bank, items)
    file = tmp_path / "bundle.bin"
    file.write_bytes(bundle.raw)
    for _ in range(2):
        printed = good("import", town.folder, file)
        assert "synchronised" in printed and "1,00 ₸" in printed
    assert town.wallet("cafe") == 100
    good("redeem", town.folder, "cafe", "1")
    file.write_bytes(bundle.raw[:-1])
    assert "is no bundle" in bad("import", town.folder, file)
    assert "No such file" in bad("import", town.folder, tmp_path / "none")


def test_bad_input(town: Town, tmp_path: Path) -> None:
    folder = town.folder
    assert "no bank" in bad("balances", tmp_path / "none")
    assert "not empty" in bad("found", folder)
    assert "cannot be read" in bad("found", tmp_path / "x", "--config", tmp_path / "none.toml")
    assert "not an amount" in bad("deposit", folder, "alibek", "--", "-5")
    assert "not an amount" in bad("issue", folder, "bank-a", "1.234")
    assert "more than zero" in bad("deposit", folder, "alibek", "0")
    assert "no client" in bad("deposit", folder, "nobody", "5")
    assert "no bank called" in bad("issue", folder, "nobody", "5")
    assert "at NBK" in bad("issue", folder, "bank-a", "42 000 000")
    assert "has only 0,00 ₸" in bad("redeem", folder, "cafe", "5")
    assert "other data" in bad(
        "client", "add", folder, "alibek", "Else", "--bank", "bank-a", "--kyc", "K"
    )
    assert "beyond-loopback" in bad("serve", folder, "--host", "0.0.0.0")


def test_serve_prints_its_address(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    served = threading.Event()
    monkeypatch.setattr(BankServer, "run", lambda _: served.set())
    assert good("serve", town.folder, "--port", 0).startswith("http://127.0.0.1:")
    assert served.is_set()


def test_an_audit_with_faults_fails(town: Town) -> None:
    import sqlite3

    connection = sqlite3.connect(town.folder / "bank.sqlite")
    connection.execute("DROP TRIGGER postings_no_update")
    connection.execute("UPDATE postings SET time = 0 WHERE id = 2")
    connection.commit()
    connection.close()
    assert bad("audit", town.folder) == "The audit found 1 faults."
    assert ReferenceBank(town.folder).audit()[0].kind == "posting"


def test_a_name_with_brackets_breaks_no_table(tmp_path: Path) -> None:
    """W04: what people are called is text, never markup."""
    folder = tmp_path / "bank"
    good("found", folder)
    name = "Ali [/b] [red]"
    assert name in good("client", "add", folder, "ali", name, "--bank", "bank-a", "--kyc", "K1")
    for command in ("balances", "accounts"):
        assert name in good(command, folder)


def test_findings_are_shown(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 9_999, 10_001))
    assert "never had" in good("findings", town.folder)


def test_a_bad_plan_leaves_the_folder_for_a_better_one(tmp_path: Path) -> None:
    plan, folder = tmp_path / "plan.toml", tmp_path / "bank"
    for bad_bank in ("policy = {max_paymemt = 5}", "policy = {max_payment = -5}"):
        plan.write_text(f'authorities = []\n[[banks]]\nname = "bank-a"\n{bad_bank}\n')
        assert "policy" in bad("found", folder, "--config", plan)
        assert list(folder.iterdir()) == []
    plan.write_text('authorities = []\n[[banks]]\nname = "bank-a"\n')
    good("found", folder, "--config", plan)


def test_a_database_of_a_newer_program(town: Town) -> None:
    town.bank.close()
    with closing(sqlite3.connect(town.folder / "bank.sqlite")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    assert "newer program" in bad("balances", town.folder)
