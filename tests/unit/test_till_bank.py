# SPDX-License-Identifier: Apache-2.0
"""Till, firmware's card and reference bank in one process: an offline day and its evening."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire import apdu
from host_bridge.bank.reference import ReferenceBank
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.bundle_file import read_bundle
from pos_terminal.cheque import Cheque
from pos_terminal.install import Setup, install_till
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from provisioning.personalise import Order, Wanted, load, personalise
from tests.doubles.desk import NOW, PIN, PUK
from tests.doubles.in_process import InProcessCard
from tests.doubles.shop import held

BREAD = Cheque.of_amount(30_000)


class Town:
    """One bank, one client with a card of 10 000 ₸, one shop with a till."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.bank = bank = ReferenceBank.found(folder / "bank", clock=lambda: self.now)
        bank.add_client("bank-a", "aigul", "Aigul", "KYC-1")
        bank.add_merchant("bank-a", "shop", "Shop", "KYC-2", mcc=5411, purposes=[])
        bank.open_books("bank-a", correspondent_tiyn=10_000_000, current_tiyn={"aigul": 5_000_000})
        bank.issue("bank-a", 5_000_000)
        self.card = InProcessCard(folder / "card")
        order = Order("bank-a", "aigul", PIN, PUK, secrets.token_bytes(32))
        personalise(self.card, bank, order)
        self.card.reset()
        load(self.card, bank, "bank-a", PIN, Wanted(1_000_000, 0, None))
        self.card.reset()
        key = SigningKey.generate()
        certificate = bank.certify_terminal("bank-a", "shop", key.public_key)
        setup = Setup(bank.root_public_key, key, certificate)
        install_till(folder / "till", setup, bank.directory())
        self.till = Till.open(folder / "till", clock=lambda: self.now)
        self.now += 60

    def tear_next_pay(self) -> None:
        """The card pays, and its answer is lost."""
        transmit = self.card.transmit

        def losing(command: bytes) -> bytes:
            if command[1] == apdu.INS_PAY:
                self.card.lose_next_answer = True
                self.card.transmit = transmit  # type: ignore[method-assign]
            return transmit(command)

        self.card.transmit = losing  # type: ignore[method-assign]

    def wallet_tiyn(self) -> int:
        """What the shop has at its bank."""
        return sum(line.wallet_tiyn for line in self.bank.balances() if line.is_merchant)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    built = Town(tmp_path)
    yield built
    built.till.close()
    built.bank.close()


def test_each_sale_is_paid_out_once(town: Town) -> None:
    for _ in range(3):
        payment = town.till.sell(BREAD, held(town.card))
        assert payment.state is PaymentState.PAID, payment.reason
    assert town.wallet_tiyn() == 0
    report = town.till.sync(town.bank)
    assert (report.sent, report.waiting, report.failed) == (3, 0, [])
    assert town.till.sync_card(held(town.card), PIN, town.bank).acknowledged
    assert town.till.sync(town.bank).sent == 0
    assert town.wallet_tiyn() == 90_000
    assert town.till.totals().by_state == {PaymentState.SYNCHRONISED: (3, 90_000)}


def test_t06_the_payers_own_sync_pays_the_shop(town: Town) -> None:
    town.tear_next_pay()
    torn = town.till.give_up(town.till.sell(BREAD, held(town.card)).payment_id)
    assert town.till.sync(town.bank).resolved == 0
    assert town.till.sync_card(held(town.card), PIN, town.bank).entries == 1
    assert town.till.sync(town.bank).resolved == 1
    assert town.till.payment(torn.payment_id).state is PaymentState.SYNCHRONISED
    assert town.wallet_tiyn() == 30_000


def test_a_journal_that_waited_in_the_outbox(town: Town) -> None:
    town.till.sell(BREAD, held(town.card))
    assert town.till.sync_card(held(town.card), PIN).queued
    report = town.till.sync(town.bank)
    assert (report.sent, report.waiting, report.failed) == (2, 0, [])
    assert town.till.sync_card(held(town.card), PIN).entries == 0  # the acknowledgement came first
    assert town.wallet_tiyn() == 30_000


def test_the_stick_and_then_the_line(town: Town, tmp_path: Path) -> None:
    for _ in range(2):
        town.till.sell(BREAD, held(town.card))
    town.till.sync_card(held(town.card), PIN)
    assert town.till.write_bundle(tmp_path / "stick") == 3
    results = town.bank.upload_bundle(read_bundle(tmp_path / "stick"))
    assert [result.amount_tiyn for result in results] == [30_000, 30_000]
    assert town.wallet_tiyn() == 60_000
    assert town.till.sync(town.bank).waiting == 0
    assert town.wallet_tiyn() == 60_000
