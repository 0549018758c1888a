# SPDX-License-Identifier: Apache-2.0
"""A shop for the tests of the till: its folder, paper cards, and a bank of one page."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from firmware.wire.bundle import ITEM_EXPORT, ITEM_SALE, Bundle, PurseExport
from firmware.wire.certificate import ROLE_NOTARY, ROLE_PURSE, label_bytes
from firmware.wire.denylist import Denylist
from firmware.wire.policy import Policy
from firmware.wire.token import Token, parse_tokens
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import (
    BankRefused,
    BankUnreachable,
    Directory,
    PurseSync,
    SaleResult,
    SaleState,
)
from host_bridge.transport.base import Transport
from pos_terminal.install import Setup, install_till
from pos_terminal.till import Till
from tests.doubles.desk import NOW, Desk
from tests.doubles.paper_card import PaperCard


class Shop:
    """One merchant under Bank A of a desk. Its clock stands still until a test moves it."""

    def __init__(self, folder: Path, desk: Desk | None = None) -> None:
        self.desk = desk or Desk()
        self.folder = folder
        self.now = NOW + 3600
        self.notary_key = SigningKey.generate()
        self.notary = self.desk.certify(
            self.desk.root, self.notary_key, ROLE_NOTARY, label=label_bytes("Notary")
        )
        self.setup = Setup(self.desk.root.public_key, self.desk.shop_key, self.desk.shop)
        install_till(folder, self.setup, self.directory())

    def directory(self, denylist: Denylist | None = None) -> Directory:
        """What the bank tells its tills."""
        desk = self.desk
        known = (desk.issuer, desk.bank, desk.other_bank, desk.authority, self.notary)
        return Directory(desk.root.public_key, known, denylist, NOW)

    def denylist(self, epoch: int, keys: set[bytes], signer: SigningKey | None = None) -> Denylist:
        """A list of the notary's."""
        sign = (signer or self.notary_key).sign
        issued: Denylist = Denylist.issue_list(sign, self.notary.key_id, epoch, NOW, keys, set())
        return issued

    def open(self, random: Callable[[int], bytes] = secrets.token_bytes) -> Till:
        """The till, switched on."""
        return Till.open(self.folder, clock=lambda: self.now, random=random)

    def card(self, *values: int, **note: object) -> PaperCard:
        """A client's card with a note of each value."""
        key = SigningKey.generate()
        card = PaperCard(self.desk.certify(self.desk.bank_key, key, ROLE_PURSE), key)
        card.known_banks.add(self.desk.bank.key_id)
        for value in values:
            owner = SigningKey.generate()
            card.notes.append((self.desk.note(owner.public_key, value, **note), owner))
        return card


def held(card: Transport) -> Callable[[], Transport]:
    """The card as it is held to the till."""
    return lambda: card


class PaperBank:
    """A bank that remembers what it was told. `line` is whether it can be reached.

    `bad` are payments that it will not look at; `words` overrides its word on a payment.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.line = True
        self.denylist: Denylist | None = None
        self.policy: Policy | None = None
        self.bad: set[bytes] = set()
        self.words: dict[bytes, SaleResult] = {}
        self.payees: dict[bytes, bytes] = {}
        self.posted: dict[bytes, int] = {}
        self.uploads = 0
        self.exports: list[PurseExport] = []
        self.challenges: list[bytes] = []
        self.acknowledged: dict[bytes, PurseSync] = {}

    def directory(self) -> Directory:
        """Certificates, denylist and clock."""
        self._reach()
        return self.shop.directory(self.denylist)

    def challenge(self) -> bytes:
        """Fresh bytes."""
        self._reach()
        self.challenges.append(secrets.token_bytes(16))
        return self.challenges[-1]

    def upload_sale(self, tokens: list[Token]) -> SaleResult:
        """Posts once, says the same each time."""
        self._reach()
        self.uploads += 1
        payment_id = tokens[0].transfer.payment_id
        if payment_id in self.bad:
            raise BankRefused("the bank does not like this payment")
        amount = sum(token.amount_tiyn for token in tokens)
        self.posted[payment_id] = amount
        ordinary = SaleResult(payment_id, SaleState.SYNCHRONISED, amount)
        return self.words.setdefault(payment_id, ordinary)

    def upload_export(self, export: PurseExport) -> PurseSync:
        """Over one of its own challenges only."""
        self._reach()
        if export.statement.challenge not in self.challenges:
            raise BankRefused("the bank did not ask for this")
        return self._take(export)

    def upload_bundle(self, bundle: Bundle) -> list[SaleResult]:
        """Everything in it."""
        self._reach()
        for kind, data in bundle.items:
            if kind == ITEM_EXPORT:
                self._take(PurseExport.parse(data))
        sales = [data for kind, data in bundle.items if kind == ITEM_SALE]
        return [self.upload_sale(parse_tokens(data)) for data in sales]

    def acknowledgement(self, serial: bytes) -> PurseSync | None:
        """The newest."""
        self._reach()
        return self.acknowledged.get(serial)

    def payment_state(self, payment_id: bytes, payee: bytes) -> SaleResult | None:
        """Its word, if it has one."""
        self._reach()
        return self.words.get(payment_id) if self.payees.get(payment_id, payee) == payee else None

    def _take(self, export: PurseExport) -> PurseSync:
        self.exports.append(export)
        for entry in export.entries:
            word = SaleResult(entry.payment_id, SaleState.SYNCHRONISED, entry.amount)
            self.words.setdefault(entry.payment_id, word)
            self.payees[entry.payment_id] = entry.payee
            self.posted[entry.payment_id] = entry.amount
        sync = PurseSync(self.shop.desk.acknowledge(export), self.policy)
        self.acknowledged[export.certificate.serial] = sync
        return sync

    def _reach(self) -> None:
        if not self.line:
            raise BankUnreachable("There is no line to the bank.")
