# SPDX-License-Identifier: Apache-2.0
"""The till with the firmware's own card: what the paper card promised, the firmware keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire import apdu
from host_bridge.session.purse import PurseSession
from host_bridge.transport.base import LinkLost
from pos_terminal.cheque import Cheque
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import PIN
from tests.doubles.in_process import InProcessCard
from tests.doubles.shop import PaperBank, Shop, held

BREAD = Cheque.of_amount(30_000)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till")


@pytest.fixture
def till(shop: Shop) -> Iterator[Till]:
    with shop.open() as opened:
        yield opened


@pytest.fixture
def card(shop: Shop, tmp_path: Path) -> InProcessCard:
    made = InProcessCard(tmp_path / "card")
    shop.desk.personalise(made)
    made.boot()
    session = PurseSession(made)
    session.select()
    shop.desk.load(session, 1_000_000)
    made.reset()
    return made


def test_paid_and_settled(shop: Shop, till: Till, card: InProcessCard) -> None:
    bank = PaperBank(shop)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.PAID, payment.reason
    assert till.sync(bank).sent == 1
    result = till.sync_card(held(card), PIN, bank)
    assert (result.entries, result.acknowledged) == (1, True)
    assert till.sync_card(held(card), PIN, bank).entries == 0


def test_t02_torn_and_recovered(till: Till, card: InProcessCard) -> None:
    """The answer to PAY is lost; the card is switched off in between."""
    transmit = card.transmit

    def losing(command: bytes) -> bytes:
        card.lose_next_answer = command[1] == apdu.INS_PAY
        return transmit(command)

    card.transmit = losing  # type: ignore[method-assign]
    torn = till.sell(BREAD, held(card))
    assert torn.state is PaymentState.TORN
    card.transmit = transmit  # type: ignore[method-assign]
    card.boot()
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID
    session = PurseSession(card)
    session.select()
    session.verify_pin(PIN)
    assert session.balance() == {0: 970_000}


def test_t01_never_asked_and_then_paid(till: Till, card: InProcessCard) -> None:
    transmit = card.transmit

    def lost(command: bytes) -> bytes:
        if command[1] == apdu.INS_PAY:
            raise LinkLost("The card was taken away.")
        return transmit(command)

    card.transmit = lost  # type: ignore[method-assign]
    torn = till.sell(BREAD, held(card))
    card.transmit = transmit  # type: ignore[method-assign]
    again = till.recover(torn.payment_id, held(card))
    assert again.state is PaymentState.TORN and "does not know" in again.reason
    paid = till.recover(torn.payment_id, held(card), pay_again=True)
    assert paid.state is PaymentState.PAID


def test_the_pin_over_the_limit(till: Till, card: InProcessCard) -> None:
    much = Cheque.of_amount(600_000)
    assert till.sell(much, held(card)).state is PaymentState.REFUSED
    payment = till.sell(much, held(card), ask_pin=lambda prompt: PIN)
    assert payment.state is PaymentState.PAID
    assert payment.tokens[0].transfer.cvm == 1


def test_a_till_of_another_bank_presents_it(
    tmp_path: Path, shop: Shop, card: InProcessCard
) -> None:
    desk = shop.desk
    shop.setup = type(shop.setup)(desk.root.public_key, desk.far_shop_key, desk.far_shop)
    desk.shop_key, desk.shop = desk.far_shop_key, desk.far_shop
    far = Shop(tmp_path / "far", desk)
    with far.open() as till:
        payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.PAID, payment.reason
    assert payment.payee.issuer == desk.other_bank.key_id


def test_without_enough_money(till: Till, card: InProcessCard) -> None:
    payment = till.sell(Cheque.of_amount(1_500_000), held(card), pin=PIN)
    assert payment.state is PaymentState.REFUSED and "enough money" in payment.reason
