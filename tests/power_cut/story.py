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

from firmware.hal import software_element
from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, P2_PIN, Command
from firmware.wire.limits import TOKEN_KEYS
from host_bridge.crypto import p256
from host_bridge.session.purse import PayRequest, PurseSession
from tests.card.facts import recomputed_chain
from tests.doubles.desk import NOW, PIN, PUK, Desk
from tests.doubles.in_process import InProcessCard

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
    """Stands where the element asks the system for random keys."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.next = 0
        patch.setattr(software_element, "os", self)

    def urandom(self, size: int) -> bytes:
        """The next key; anything else is random indeed."""
        if size != len(KEYS[0]):
            return secrets.token_bytes(size)
        self.next += 1
        return KEYS[self.next - 1]


@dataclass
class Story:
    """One card and what was said to it; `fork` goes on telling it in another way."""

    desk: Desk
    draws: Draws
    folder: Path
    drawn: int = 0
    loaded: int = 0
    paid: int = 0
    last_payment: bytes = b""
    steps: Pairs = field(default_factory=list)

    def __post_init__(self) -> None:
        self.card = InProcessCard(self.folder)

    def fork(self, name: str) -> Story:
        """Another card with the same flash, whose steps begin anew."""
        folder = _copied(self.folder, name)
        known = (self.drawn, self.loaded, self.paid, self.last_payment)
        return Story(self.desk, self.draws, folder, *known)

    def say(self, *commands: Command) -> Pairs:
        """Sends commands, collects `61xx`; returns what went over the link, as hex."""
        pairs: Pairs = []
        self.draws.next = self.drawn
        for command in commands:
            raw = command.raw
            for _ in range(_MAX_PARTS):
                answer = self.card.transmit(raw)
                pairs.append((raw.hex(), answer.hex()))
                if answer[-2] != 0x61:
                    break
                raw = Command(CLA_ISO, apdu.INS_GET_RESPONSE, le=answer[-1] or 256).raw
        self.drawn = self.draws.next
        self.steps += pairs
        return pairs

    def pays(self, amount: int, word: int = status.OK) -> PayRequest:
        """A payment that is answered with `word`."""
        request = self.desk.request(amount)
        assert last_word(self.say(pay(request))) == word
        if word == status.OK:
            self.paid += amount
            self.last_payment = request.payment_id
        self.check_balance()
        return request

    def loads(self, value: int) -> None:
        """A key and a note for it."""
        assert last_word(self.say(verify(PIN), NEW_KEY)) == status.OK
        assert last_word(self.say(self.note(value))) == status.OK
        self.loaded += value
        self.check_balance()

    def note(self, value: int) -> Command:
        """LOAD of a note for the key that was drawn last."""
        note = self.desk.note(p256.public_key(KEYS[self.drawn - 1]), value)
        return Command(CLA_QALTA, apdu.INS_LOAD, data=note.raw)

    def acknowledgement(self, days: int = 1) -> Command:
        """ACKNOWLEDGE of everything, for which a copy of this card is asked."""
        with InProcessCard(_copied(self.folder, self.folder.name + "-twin")) as twin:
            session = PurseSession(twin)
            session.select()
            session.verify_pin(PIN)
            export = session.export(CHALLENGE)
        assert recomputed_chain(export.statement.anchor, export) == export.statement.head
        word = self.desk.acknowledge(export, time=NOW + days)
        return Command(CLA_QALTA, apdu.INS_ACKNOWLEDGE, data=word.raw)

    def check_balance(self) -> None:
        """Balance = loaded - paid (I1, I2)."""
        assert sum(self.card.purse.balance().values()) == self.loaded - self.paid


def last_word(pairs: Pairs) -> int:
    """The last status word."""
    return int(pairs[-1][1][-4:], 16)


def _copied(folder: Path, name: str) -> Path:
    copy = folder.with_name(name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy
