# SPDX-License-Identifier: Apache-2.0
"""Cards of an earlier storage under today's firmware: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.VIRTUAL.board import VirtualBoard
from boards.VIRTUAL.partitions import read_partitions
from firmware.wire import apdu
from firmware.wire.apdu import (
    CLA_QALTA,
    LIFECYCLE_DAMAGED,
    LIFECYCLE_SYNC_ONLY,
    Command,
    split_answer,
)
from firmware.wire.certificate import ROLE_PURSE
from host_bridge.session.exchange import CardRefused
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.purse import PurseSession
from host_bridge.session.secure_channel import DEFAULT_KEYS, diversify
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import list_files
from tests.doubles.desk import PIN, PUK
from tests.persistence.old_images import NAMES, facts_of, old_desk, write_upgraded

_TIMEOUT_S = 30.0
_HOT = ("entry.", "intent", "base", "done", "accounted", "access")


class OldCard:
    """An old card on a board; `on` switches it on and selects it."""

    def __init__(self, name: str, folder: Path, bits: int) -> None:
        self.facts = facts_of(name)
        self.image = folder / "flash.img"
        write_upgraded(name, self.image)
        self._board = VirtualBoard(self.image, bits=bits, log=folder / "board.log")
        self._transport: VirtualTransport | None = None

    def on(self) -> PurseSession:
        """Power comes, or comes back."""
        self.off()
        self._transport = VirtualTransport(self._board, timeout_s=_TIMEOUT_S)
        session = PurseSession(self._transport)
        session.select()
        return session

    @property
    def transport(self) -> VirtualTransport:
        """The link, while it is on."""
        assert self._transport is not None
        return self._transport

    def off(self) -> None:
        """Power goes."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def old(name: str) -> pytest.MarkDecorator:
    """The old card of this name, on both interpreters, as the fixture `card`."""
    cards = [(name, 64), (name, 32)]
    return pytest.mark.parametrize("card", cards, indirect=True, ids=["64", "32"])


@pytest.fixture
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldCard]:
    """The card that `old` names."""
    name, bits = request.param
    if bits == 32:
        request.getfixturevalue("micropython32")
    card = OldCard(name, tmp_path, bits)
    try:
        yield card
    finally:
        card.off()
        print((tmp_path / "board.log").read_text())


@old("lived")
def test_a_card_that_lived(card: OldCard) -> None:
    """Balance, waiting entries, every payment it remembered; then it goes on living."""
    desk, facts = old_desk(), card.facts
    for _ in range(2):  # the first boot upgrades, the second finds it done
        session = card.on()
        session.verify_pin(facts["pin"])
        assert {str(key): value for key, value in session.balance().items()} == facts["balance"]
        export = session.export(bytes(range(16)))
        assert export.statement.raw.hex() == facts["statement"]
        assert [entry.raw.hex() for entry in export.entries] == facts["entries"]
    _check_remembered(session, facts)
    assert not [name for name in list_files(card.image) if name.split("/")[1].startswith(_HOT)]
    request = desk.request(77)
    assert sum(token.amount_tiyn for token in session.pay(request)) == 77
    session.verify_pin(facts["pin"])
    session.acknowledge(desk.acknowledge(session.export(bytes(16))))
    session.change_pin(facts["pin"], PIN)
    desk.load(session, 5_000)
    assert sum(session.balance().values()) == sum(facts["balance"].values()) - 77 + 5_000


def _check_remembered(session: PurseSession, facts: dict) -> None:  # type: ignore[type-arg]
    """The payments since the last dropping are answered as ever; none is made a second time."""
    words = []
    for row in facts["payments"]:
        try:
            tokens = session.recover(bytes.fromhex(row["payment_id"]))
        except CardRefused as refused:
            words.append(refused.word)
            continue
        words.append(0x9000)
        answer = b"".join(token.raw for token in tokens)
        assert hashlib.sha256(answer).hexdigest() == row["answer_sha256"]
    known = len([word for word in words if word != 0x6A88])
    assert words == sorted(words, key=[0x6A88, 0x6985, 0x9000].index), "oldest first"
    assert known >= 72, "as many as version 1 knew"
    assert words[-14:] == [0x9000] * 14


@old("intent-left")
def test_an_intent_whose_counter_was_not_taken(card: OldCard) -> None:
    """Today's firmware completes it; version 1 would have forgotten it."""
    _check_paid(card)


@old("intent-taken")
def test_an_intent_whose_counter_was_taken(card: OldCard) -> None:
    _check_paid(card)


@old("unsigned")
def test_a_payment_that_was_not_signed(card: OldCard) -> None:
    _check_paid(card)


def _check_paid(card: OldCard) -> None:
    payment = card.facts["payment"]
    answers = []
    for _ in range(2):
        session = card.on()
        tokens = session.recover(bytes.fromhex(payment["payment_id"]))
        assert sum(token.amount_tiyn for token in tokens) == payment["amount"]
        answers.append([token.raw for token in tokens])
        session.verify_pin(PIN)
        assert session.balance() == {0: card.facts["balance"] - payment["amount"]}
    assert answers[0] == answers[1]


@old("locked")
def test_a_locked_card_stays_locked(card: OldCard) -> None:
    session = card.on()
    assert session.select().lifecycle == LIFECYCLE_SYNC_ONLY
    session.verify_pin(PIN)
    assert session.balance() == {0: card.facts["balance"]}
    with pytest.raises(CardRefused, match="6985"):
        session.pay(old_desk().request(1))


@old("half-personalised")
def test_a_card_that_was_half_personalised(card: OldCard) -> None:
    """Its identity key and the PIN that it was given are there; the rest is given now."""
    desk = old_desk()
    card.on()
    session = IssuerSession(card.transport)
    session.select()
    session.open(DEFAULT_KEYS)
    assert session.identity_key().hex() == card.facts["identity"]
    certificate = desk.certify(desk.bank_key, session.identity_key(), ROLE_PURSE)
    content = Personalisation(
        root=desk.root.public_key,
        bank=desk.bank,
        purse=certificate,
        view_key=bytes(16),
        pin=PIN,
        puk=PUK,
        policy=desk.policy(),
        channel_keys=diversify(bytes(32), certificate.serial),
    )
    session.personalise(content)
    purse = card.on()
    purse.verify_pin(PIN)
    answer = card.transport.transmit(Command(CLA_QALTA, apdu.INS_GET_BALANCE).raw)
    assert split_answer(answer)[1] == 0x9000


def test_each_old_image_has_its_test() -> None:
    text = Path(__file__).read_text()
    assert [name for name in NAMES if f'old("{name}")' not in text] == []


@old("lived")
def test_an_upgraded_card_that_lost_its_state_is_damaged(card: OldCard) -> None:
    """S05: it is not taken for a card of version 1, and its journal stays as evidence."""
    card.on().pay(old_desk().request(77))
    card.off()
    content = bytearray(card.image.read_bytes())
    state, journal = read_partitions()["state"], read_partitions()["journal"]
    content[state.offset : state.end] = b"\xff" * state.size
    card.image.write_bytes(content)
    assert card.on().select().lifecycle == LIFECYCLE_DAMAGED
    card.off()
    after = card.image.read_bytes()
    assert after[journal.offset : journal.end] == content[journal.offset : journal.end]
    assert after[state.offset : state.end] == content[state.offset : state.end]
