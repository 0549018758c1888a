# SPDX-License-Identifier: Apache-2.0
"""The bank's desk: a card that lost its power there is begun anew (reliability case T03)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire.apdu import LIFECYCLE_BLANK
from host_bridge.bank.reference import ReferenceBank
from host_bridge.session.purse import PurseSession
from host_bridge.session.secure_channel import ChannelError
from provisioning.master_key import read_or_make
from provisioning.personalise import Order, Wanted, load, personalise
from tests.doubles.desk import NOW, PIN, PUK
from tests.doubles.in_process import InProcessCard
from tests.doubles.power import AFTER, PowerCut, PowerSupply

WRITES = 39  # identity, eight items, the lifecycle: most in two copies, written and renamed


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[ReferenceBank]:
    founded = ReferenceBank.found(tmp_path / "bank", clock=lambda: NOW)
    founded.add_client("bank-a", "aigul", "Aigul", "KYC-1")
    founded.add_client("bank-a", "bolat", "Bolat", "KYC-2")
    founded.open_books("bank-a", correspondent_tiyn=10_000, current_tiyn={"aigul": 10_000})
    founded.issue("bank-a", 10_000)
    yield founded
    founded.close()


def order_for(client_id: str) -> Order:
    return Order("bank-a", client_id, PIN, PUK, bytes(range(32)))


def power_fails(*_: object) -> None:
    raise PowerCut


def test_how_often_a_card_writes_at_the_desk(bank: ReferenceBank, tmp_path: Path) -> None:
    """The next test cuts at each of these."""
    supply = PowerSupply()
    card = InProcessCard(tmp_path / "card", supply)
    supply.fail(0, AFTER)
    personalise(card, bank, order_for("aigul"))
    assert supply.writes == WRITES


@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_a_cut_at_the_desk(bank: ReferenceBank, tmp_path: Path, write: int) -> None:
    """Also one behind the card's new channel keys; and the bank has the view key of the card."""
    personalise(InProcessCard(tmp_path / "earlier"), bank, order_for("aigul"))
    supply = PowerSupply()
    card = InProcessCard(tmp_path / "card", supply)
    supply.fail(write, AFTER)
    with pytest.raises(PowerCut):
        personalise(card, bank, order_for("aigul"))
    supply.fail(0, AFTER)
    card.boot()
    if PurseSession(card).select().lifecycle == LIFECYCLE_BLANK:
        personalise(card, bank, order_for("aigul"))
    note = load(card, bank, "bank-a", PIN, Wanted(5_000))
    assert note.value == 5_000
    session = PurseSession(card)
    session.select()
    session.verify_pin(PIN)
    serial = session.certificate().serial
    with bank._office.store.read() as connection:
        keys = dict(connection.exec_driver_sql("SELECT serial, view_key FROM purses").all())
    assert keys[serial] == card.purse.profile.view_key


def test_the_keys_of_another_client_or_desk_open_nothing(
    bank: ReferenceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = InProcessCard(tmp_path / "card")
    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr("firmware.purse.profile.Profile.activate", power_fails)
        personalise(card, bank, order_for("aigul"))  # it has its new channel keys, and is blank
    other_desk = Order("bank-a", "aigul", PIN, PUK, secrets.token_bytes(32))
    for order in (order_for("bolat"), other_desk):
        card.boot()
        with pytest.raises(ChannelError, match="does not hold"):
            personalise(card, bank, order)


def test_a_cut_while_the_master_key_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No empty file stays that no desk could ever use."""
    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr("provisioning.master_key.os.fdopen", power_fails)
        read_or_make(tmp_path)
    key = read_or_make(tmp_path)
    assert len(key) == 32 and read_or_make(tmp_path) == key
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
