# SPDX-License-Identifier: Apache-2.0
"""The firmware's own card, damaged or put back, and what the bank makes of it (issue 3)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firmware.wire.apdu import LIFECYCLE_DAMAGED, LIFECYCLE_SYNC_ONLY
from firmware.wire.token import Token
from host_bridge.bank.rescue import Rescued
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import PayRequest, PurseInfo, PurseSession
from host_bridge.sync.rescue_card import rescue_card
from host_bridge.sync.rescue_file import Rescue
from provisioning.personalise import Order, Wanted, load, personalise
from tests.doubles.in_process import InProcessCard
from tests.platform.town import START, Town

PIN = "2580"


class Wreck:
    """A card of alibek's with 500 tenge, whose flash is a folder that a test may spoil."""

    def __init__(self, town: Town, folder: Path) -> None:
        self._town = town
        self.folder = folder
        self.card = InProcessCard(folder)
        order = Order("bank-a", "alibek", PIN, "12345678", bytes(range(32)))
        personalise(self.card, town.bank, order)
        self.note = load(self.card, town.bank, "bank-a", PIN, Wanted(50_000, 0, ""))

    def pay(self, amount: int) -> list[Token]:
        """A payment to the cafe; its till has not synced."""
        session = self.session()
        session.present(self._town.bank.certificate_of("bank-b"))
        payment_id = self._town.payment_id()
        certificate = self._town.cafe.certificate
        return session.pay(PayRequest(amount, payment_id, self._town.now, certificate))

    def session(self) -> PurseSession:
        """A tap."""
        self.card.reset()
        session = PurseSession(self.card)
        session.select()
        return session

    def boot(self) -> PurseInfo:
        """Power comes back; what SELECT then says."""
        self.card.boot()
        return PurseSession(self.card).select()

    def spoil(self, name: str) -> None:
        """Both copies of a record."""
        for folder in ("purse", "purse-copy"):
            path = self.folder / "vfs" / folder / name
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2] ^= 0xFF
            path.write_bytes(raw)

    def evidence(self) -> dict[str, bytes]:
        """All of its flash but the state's log, where the PIN's tries go down and up."""
        found = self.card.flash()
        del found["state.bin"]
        return found

    def rescue(self) -> Rescue:
        """What a clerk's reader gets of it, by way of the file."""
        session = PurseSession(self.card)
        return Rescue.parse(rescue_card(session, "x", START, bytes(16), lambda: PIN).raw)


@pytest.fixture
def wreck(town: Town, tmp_path: Path) -> Wreck:
    wreck = Wreck(town, tmp_path / "card")
    for amount in (100, 200, 300):
        wreck.pay(amount)
    return wreck


@pytest.mark.parametrize("name", ["note.01", "policy", "purse", "view-key", "bank"])
def test_both_copies_bad_and_everybody_is_paid(town: Town, wreck: Wreck, name: str) -> None:
    """It refuses to pay, keeps everything, and the bank settles what can be read."""
    wreck.spoil(name)
    assert wreck.boot().lifecycle == LIFECYCLE_DAMAGED
    kept = wreck.evidence()
    with pytest.raises(CardRefused):
        wreck.pay(1)
    report = town.bank.rescue(wreck.rescue())
    assert wreck.evidence() == kept, "nothing is mended away, and nothing formatted"
    assert [payment.state for payment in report.payments] == [Rescued.SETTLED] * 3
    assert town.wallet("cafe") == 600
    (purse,) = report.purses
    assert [note.left_tiyn for note in purse.notes] == [49_400]
    again = town.bank.rescue(wreck.rescue())
    assert [payment.state for payment in again.payments] == [Rescued.KNOWN] * 3
    town.assert_sound()


def test_a_memory_that_was_put_back_is_locked_synced_and_explained(
    town: Town, wreck: Wreck
) -> None:
    """I11: noticed before the next payment; the bank tells which payments are missing."""
    old = wreck.folder.with_name("old")
    shutil.copytree(wreck.folder, old)
    lost = [wreck.pay(amount) for amount in (1_000, 2_000)]
    counter = (wreck.folder / "counter.bin").read_bytes()
    shutil.rmtree(wreck.folder)
    old.rename(wreck.folder)
    (wreck.folder / "counter.bin").write_bytes(counter)  # the element's own stands
    assert wreck.boot().lifecycle == LIFECYCLE_SYNC_ONLY
    with pytest.raises(CardRefused):
        wreck.pay(1)
    session = wreck.session()
    session.verify_pin(PIN)
    word = town.bank.upload_export(session.export(town.bank.challenge()))
    assert word.acknowledgement.counter == 3
    assert told(town) == [], "of two numbers the bank cannot say that it was no jump"
    report = town.bank.rescue(wreck.rescue())
    assert [payment.state for payment in report.payments] == [Rescued.KNOWN] * 3
    (sentence,) = told(town)
    assert sentence == report.purses[0].explanation
    assert "has forgotten payments 4 to 5" in sentence, "but the card can"
    assert "Still open: payments 4 to 5" in sentence
    town.bank.upload_sale(lost[0])
    assert "Known here, and settled: 1 payment, 10,00 ₸." in told(town)[0]
    town.bank.upload_sale(lost[1])
    assert "None of them is open any more" in told(town)[0]
    assert town.wallet("cafe") == 3_600
    town.assert_sound()


def told(town: Town) -> list[str]:
    """What the bank says of memories that went back."""
    return [one.sentence for one in town.bank.findings() if one.kind == "rollback"]
