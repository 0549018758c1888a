# SPDX-License-Identifier: Apache-2.0
"""The firmware's purse behind a PN532 that is a card, paying a till's reader over the air."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware.reader.pn532 import Pn532
from firmware.reader.target import CardTarget
from host_bridge.session.exchange import CardError
from host_bridge.session.purse import PurseSession
from host_bridge.transport.base import TransportError
from tests.doubles.desk import PIN, Desk
from tests.doubles.in_process import InProcessCard
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_target import OtherReader
from tests.reader.pn532_rig import BUSES, THREE

LOADED_TIYN = 100_000
_TURN_MS = 500  # of the chip's own clock
_END_S = 20.0


class Wallet:
    """A purse in this process, its PN532, and the loop that a wallet's main program would run."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.chip = Pn532Double()
        self.card = InProcessCard(folder)
        self.reader = OtherReader(self.chip)
        pn532 = Pn532(BUSES[kind](self.chip), self.chip.time)
        self._target = CardTarget(pn532, self.card.application, b"\x01\x02\x03")

    @contextmanager
    def on(self) -> Iterator[None]:
        """The loop runs, in a thread of its own."""
        ending = threading.Event()

        def run() -> None:
            while not ending.is_set():
                if self._target.wait(_TURN_MS):
                    while self._target.answer(_TURN_MS) and not ending.is_set():
                        self.card.application.rest()

        loop = threading.Thread(target=run)
        loop.start()
        try:
            yield
        finally:
            ending.set()
            loop.join(_END_S)
            assert not loop.is_alive()


@pytest.fixture(params=THREE)
def wallet(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Wallet, Desk]:
    """A purse with money in it; nobody is near."""
    made = Wallet(str(request.param), tmp_path / "card")
    desk = Desk()
    desk.personalise(made.card)
    made.card.reset()
    session = PurseSession(made.card)
    session.select()
    desk.load(session, LOADED_TIYN)
    made.card.reset()
    return made, desk


def test_a_payment_over_the_air(wallet: tuple[Wallet, Desk]) -> None:
    """SELECT, PAY, and the rest of its answer, as a till's own reader asks for them."""
    card, desk = wallet
    with card.on(), card.reader as reader:
        reader.approach()
        session = PurseSession(reader)
        session.select()
        (token,) = session.pay(desk.request(1_200))
        assert token.amount_tiyn == 1_200
        session.verify_pin(PIN)
        assert session.balance() == {0: LOADED_TIYN - 1_200}


def test_t05_torn_and_held_there_again(wallet: tuple[Wallet, Desk]) -> None:
    """The reader goes while the answer waits: RECOVER gives the same, and there is one debit."""
    card, desk = wallet
    with card.on(), card.reader as reader:
        reader.approach()
        session = PurseSession(reader)
        session.select()
        session.verify_pin(PIN)
        request = desk.request(1_200)
        first = session.pay(request)
        reader.leave()
        with pytest.raises((TransportError, CardError)):
            session.balance()
        reader.approach()
        session = PurseSession(reader)
        session.select()
        with pytest.raises(CardError):
            session.balance()  # the PIN went with the reader
        again = session.recover(request.payment_id)
        assert [token.raw for token in again] == [token.raw for token in first]
        session.verify_pin(PIN)
        assert session.balance() == {0: LOADED_TIYN - 1_200}
