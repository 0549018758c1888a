# SPDX-License-Identifier: Apache-2.0
"""A till that is stopped, by Ctrl-C, while it waits for a card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire import apdu
from host_bridge.transport.base import Transport
from pos_terminal.cheque import Cheque
from pos_terminal.errors import TillError
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.shop import Shop, held

BREAD = Cheque.of_amount(30_000, "Bread")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till")


@pytest.fixture
def till(shop: Shop) -> Iterator[Till]:
    with shop.open() as opened:
        yield opened


def stopped() -> Transport:
    """Ctrl-C while nobody holds a card there."""
    raise KeyboardInterrupt


def test_t01_a_sale_that_is_stopped_before_a_card_came(shop: Shop, till: Till) -> None:
    """No card was asked: nothing is torn, and nothing is left to recover."""
    payment = till.sell(BREAD, stopped)
    assert payment.state is PaymentState.REFUSED and "before a card was asked" in payment.reason
    with pytest.raises(TillError, match="nothing to recover"):
        till.recover(payment.payment_id, stopped)


def test_t02_a_recovery_that_is_stopped_before_a_card_came(shop: Shop, till: Till) -> None:
    """The card may have paid before: it stays torn, and the next tap brings the money."""
    card = shop.card(100_000)
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    assert till.recover(torn.payment_id, stopped).state is PaymentState.TORN
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID
    assert card.debits == 1
