# SPDX-License-Identifier: Apache-2.0
"""A card on CPython that is told a story, and every command and answer of it.

Its element draws keys that are known beforehand and signs the same bytes each time (RFC 6979),
so that the card under MicroPython must give these very answers. The sums of money and the
journal's chain are checked here, with the desk's own arithmetic.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.hal import software_element
from firmware.storage.migrations import upgrade
from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, P2_PIN, Command
from firmware.wire.limits import TOKEN_KEYS
from firmware.wire.note import Note
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.purse import PayRequest, PurseSession
from tests.card.facts import recomputed_chain
from tests.doubles.desk import NOW, PIN, PUK, Desk
from tests.doubles.in_process import InProcessCard
from tests.power_cut.ledger import Ledger

Pairs = list[tuple[str, str]]
CHALLENGE = bytes(16)
SELECT = Command(CLA_ISO, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID)
BALANCE = Command(CLA_QALTA, apdu.INS_GET_BALANCE)
STATEMENT = Command(CLA_QALTA, apdu.INS_EXPORT, apdu.P1_EXPORT_STATEMENT, 0, CHALLENGE)
NEW_KEY = Command(CLA_QALTA, apdu.INS_GENERATE_KEY, apdu.P1_TOKEN_KEY, 0, CHALLENGE)
# The identity's, one for each slot, and some for slots that are used again.
KEYS = [hashlib.sha256(b"power cut %d" % number).digest() for number in range(TOKEN_KEYS + 5)]
_MAX_PARTS = 16


def verify(pin: str) -> Command:
    """VERIFY, or with no PIN the question how many tries are left."""
    return Command(CLA_ISO, apdu.INS_VERIFY, 0, P2_PIN, pin.encode())


def change(pin: str, new: str) -> Command:
    """CHANGE REFERENCE DATA."""
    data = bytes([len(pin)]) + pin.encode() + new.encode()
    return Command(CLA_ISO, apdu.INS_CHANGE_REFERENCE_DATA, 0, P2_PIN, data)


def unblock(pin: str) -> Command:
    """RESET RETRY COUNTER."""
    data = PUK.encode() + pin.encode()
    return Command(CLA_ISO, apdu.INS_RESET_RETRY_COUNTER, 0, P2_PIN, data)


def pay(request: PayRequest) -> Command:
    """PAY."""
    return Command(CLA_QALTA, apdu.INS_PAY, data=request.data)


def recover(payment_id: bytes) -> Command:
    """RECOVER."""
    return Command(CLA_QALTA, apdu.INS_RECOVER, data=payment_id)


def entry(index: int) -> Command:
    """EXPORT of one journal entry."""
    return Command(CLA_QALTA, apdu.INS_EXPORT, apdu.P1_EXPORT_ENTRY, index)


class Draws:
    """Stands where anybody asks for random bytes or keys, so that every fixture is the same."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.next = 0
        self._others = 0
        patch.setattr(software_element, "os", self)
        patch.setattr(secrets, "token_bytes", self._token_bytes)
        patch.setattr(SigningKey, "generate", classmethod(self._signing_key))

    def urandom(self, size: int) -> bytes:
        """What the element asks the system for: the next key; anything else looks random."""
        if size != len(KEYS[0]):
            return self._token_bytes(size)
        self.next += 1
        return KEYS[self.next - 1]

    def _token_bytes(self, size: int = 32) -> bytes:
        self._others += 1
        return hashlib.shake_128(b"draw %d" % self._others).digest(size)

    def _signing_key(self, cls: type[SigningKey]) -> SigningKey:
        scalar = int.from_bytes(self._token_bytes(), "big") % 2**255 + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))


@dataclass
class Story:
    """One card and what was said to it; `fork` goes on telling it in another way."""

    desk: Desk
    draws: Draws
    folder: Path
    drawn: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    last_payment: bytes = b""
    steps: Pairs = field(default_factory=list)
    asks_ledger: bool = True

    def __post_init__(self) -> None:
        self.card = _booted(self.folder)

    def fork(self, name: str) -> Story:
        """Another card with the same flash, whose steps begin anew."""
        folder = _copied(self.folder, name)
        known = (self.drawn, self.ledger.copy(), self.last_payment)
        return Story(self.desk, self.draws, folder, *known)

    def say(self, *commands: Command) -> Pairs:
        """Sends commands, collects `61xx`; returns what went over the link, as hex."""
        pairs: Pairs = []
        self.draws.next = self.drawn
        for command in commands:
            raw, whole = command.raw, b""
            for _ in range(_MAX_PARTS):
                answer = self.card.transmit(raw)
                pairs.append((raw.hex(), answer.hex()))
                whole += answer[:-2]
                if answer[-2] != 0x61:
                    break
                raw = Command(CLA_ISO, apdu.INS_GET_RESPONSE, le=answer[-1] or 256).raw
            self._keep_account(command, whole, int.from_bytes(answer[-2:], "big"))
        self.drawn = self.draws.next
        self.steps += pairs
        return pairs

    def _keep_account(self, command: Command, answer: bytes, word: int) -> None:
        if word == status.OK and command.ins in (apdu.INS_PAY, apdu.INS_RECOVER):
            self.ledger.take(answer)
        elif word == status.OK and command.ins == apdu.INS_LOAD:
            self.ledger.load(command.data, Note.parse(command.data).value)
        if self.asks_ledger and not (self.card.purse.is_blank or self.card.purse.damage):
            left = sum(self.card.purse.balance().values())
            assert left == self.ledger.left, "what is left: loaded less signed away (I1, I2)"

    def pays(self, amount: int, word: int = status.OK) -> PayRequest:
        """A payment that is answered with `word`."""
        request = self.desk.request(amount)
        assert last_word(self.say(pay(request))) == word
        if word == status.OK:
            self.last_payment = request.payment_id
        return request

    def loads(self, value: int) -> None:
        """A key and a note for it."""
        assert last_word(self.say(verify(PIN), NEW_KEY)) == status.OK
        assert last_word(self.say(self.note(value))) == status.OK

    def note(self, value: int) -> Command:
        """LOAD of a note for the key that was drawn last."""
        note = self.desk.note(p256.public_key(KEYS[self.drawn - 1]), value)
        return Command(CLA_QALTA, apdu.INS_LOAD, data=note.raw)

    def acknowledgement(self, days: int = 1, pin: str = PIN) -> Command:
        """ACKNOWLEDGE of everything, for which a copy of this card is asked."""
        with _booted(_copied(self.folder, self.folder.name + "-twin")) as twin:
            session = PurseSession(twin)
            session.select()
            session.verify_pin(pin)
            export = session.export(CHALLENGE)
        assert recomputed_chain(export.statement.anchor, export) == export.statement.head
        word = self.desk.acknowledge(export, time=NOW + days)
        return Command(CLA_QALTA, apdu.INS_ACKNOWLEDGE, data=word.raw)


def last_word(pairs: Pairs) -> int:
    """The last status word."""
    return int(pairs[-1][1][-4:], 16)


def _booted(folder: Path) -> InProcessCard:
    """A card in a folder, which an older firmware may have left."""
    card = InProcessCard(folder)
    upgrade(card.memory)
    card.purse.reload()
    return card


def _copied(folder: Path, name: str) -> Path:
    copy = folder.with_name(name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy
