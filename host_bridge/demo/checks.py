# SPDX-License-Identifier: Apache-2.0
"""Invariants I1 to I5, asked of a world whose day is over (docs/testing.md).

They are asked of the records themselves: the cards' own balances and journals, the tills' books
and the bank's, each read where it lies, and each held against another.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from firmware.purse.trust import Trust
from firmware.purse.verify import check_chain
from firmware.wire.journal import JournalEntry
from firmware.wire.limits import CHALLENGE_SIZE
from host_bridge.crypto import p256
from host_bridge.demo.world import World
from host_bridge.session.purse import PurseSession
from pos_terminal.book import Payment
from pos_terminal.states import PaymentState

_TAKEN = (PaymentState.PAID, PaymentState.SYNCHRONISED, PaymentState.DISPUTED)
_SETTLED = (PaymentState.SYNCHRONISED, PaymentState.DISPUTED)


class Broken(Exception):
    """An invariant does not hold; the message says which, and what was found."""


@dataclass(frozen=True)
class CardBooks:
    """What one card says of itself."""

    serial: bytes
    balance_tiyn: int  # over all purposes
    entries: list[JournalEntry]  # payments that no bank has acknowledged to it


@dataclass(frozen=True)
class Money:
    """Where the money is, in tiyn."""

    issued: int
    reserves: int  # with the banks
    cards: int  # as the honest cards themselves say
    copied: int  # on cards that were copied, as the bank counts them
    wallets: int  # settled to merchants
    in_flight: int  # in honest cards' journals, and not yet at the bank
    claimed: int  # paid twice with the same units, and claimed from the spender

    @property
    def total(self) -> int:
        """All of it, wherever it is."""
        return self.reserves + self.cards + self.copied + self.wallets + self.in_flight


def check(world: World) -> Money:
    """Raises Broken for the first invariant that does not hold; returns where the money is."""
    payments = [payment for till in world.tills.values() for payment in till.payments()]
    cards = _read_cards(world)
    _one_debit_each(payments, cards)
    _receipts_are_durable(world, payments)
    _settled_once(world)
    return _no_value_created(world, payments, cards)


def card_balances(world: World) -> dict[str, int]:
    """What each card says that it holds, over all purposes."""
    return {card_id: card.balance_tiyn for card_id, card in _read_cards(world).items()}


def _read_cards(world: World) -> dict[str, CardBooks]:
    cards = {}
    for card_id, holder in world.holders.items():
        with holder.card.open() as transport:
            session = PurseSession(transport)
            session.select()
            session.verify_pin(holder.pin)
            balance = sum(session.balance().values())
            entries = session.export(secrets.token_bytes(CHALLENGE_SIZE)).entries
            cards[card_id] = CardBooks(holder.serial, balance, entries)
    return cards


def _no_value_created(world: World, payments: list[Payment], cards: dict[str, CardBooks]) -> Money:
    """I1 and I2: what was issued is with the banks, on cards, in flight or settled."""
    totals = world.bank.totals()
    if not totals.is_whole:
        raise Broken(f"I2: the bank's own books do not add up: {totals}")
    copies = {holder.serial for holder in world.holders.values() if holder.is_copy}
    honest = {name: card for name, card in cards.items() if card.serial not in copies}
    at_bank = {line.serial: line.outstanding_tiyn for line in world.bank.purses()}
    in_flight = 0
    for card_id, card in honest.items():
        spent = sum(one.amount for one in card.entries if not _is_at_bank(world, one))
        given = at_bank[card.serial] - spent
        if card.balance_tiyn > given:
            raise Broken(f"I1: {card_id} holds {card.balance_tiyn - given} tiyn too much")
        if card.balance_tiyn < given:
            raise Broken(f"I2: {card_id} lost {given - card.balance_tiyn} tiyn")
        in_flight += spent
    waiting = sum(one.amount_tiyn for one in payments if one.state is PaymentState.PAID)
    if not copies and waiting > in_flight:
        raise Broken(f"I1: tills hold {waiting} tiyn, cards gave away only {in_flight}")
    money = Money(
        issued=totals.issued,
        reserves=totals.reserves,
        cards=sum(card.balance_tiyn for card in honest.values()),
        copied=sum(at_bank[serial] for serial in copies),
        wallets=totals.wallets,
        in_flight=in_flight,
        claimed=sum(line.claims_tiyn for line in world.bank.balances()),
    )
    if money.total != money.issued:
        raise Broken(f"I2: {money.issued} tiyn were issued and {money.total} are accounted for")
    return money


def _is_at_bank(world: World, entry: JournalEntry) -> bool:
    return world.bank.payment_state(entry.payment_id, entry.payee) is not None


def _one_debit_each(payments: list[Payment], cards: dict[str, CardBooks]) -> None:
    """I3: at most one debit for a (purse, payment_id), and of what the till had asked for."""
    asked = {payment.payment_id: payment.amount_tiyn for payment in payments}
    if len(asked) != len(payments):
        raise Broken("I3: two payments have the same payment_id")
    for payment in payments:
        given = sum(token.amount_tiyn for token in payment.tokens)
        if payment.tokens and given != payment.amount_tiyn:
            raise Broken(f"I3: payment {payment.short_id} was debited with {given} tiyn")
    for card_id, card in cards.items():
        debited: set[bytes] = set()
        for entry in card.entries:
            if entry.payment_id in debited or asked.get(entry.payment_id) != entry.amount:
                number = entry.payment_id.hex()[:8]
                raise Broken(f"I3: {card_id} paid {entry.amount} tiyn for {number}, unasked")
            debited.add(entry.payment_id)


def _receipts_are_durable(world: World, payments: list[Payment]) -> None:
    """I4: every payment that a receipt was printed for is on disk, and verifies again."""
    trust = Trust(world.bank.root_public_key, p256.verify)
    for certificate in world.bank.directory().certificates:
        trust.add(certificate)
    for payment in payments:
        if payment.state in _TAKEN and not payment.tokens and payment.reason == "":
            raise Broken(f"I4: payment {payment.short_id} has a receipt and no tokens")
        for token in payment.tokens:
            check_chain(trust, token)


def _settled_once(world: World) -> None:
    """I5: every payment that the bank has was posted to its merchant exactly once."""
    earned = dict.fromkeys((one.id for one in world.scenario.merchant), 0)
    for till_id, till in world.tills.items():
        for payment in till.payments():
            result = world.bank.payment_state(payment.payment_id, payment.payee.record_id)
            if payment.state in _SETTLED and result is None:
                raise Broken(f"I5: the bank does not know {payment.short_id}, which is settled")
            if result is None:
                continue
            if result.amount_tiyn != payment.amount_tiyn:
                was = f"{result.amount_tiyn} tiyn, not {payment.amount_tiyn}"
                raise Broken(f"I5: the bank posted {was}, for payment {payment.short_id}")
            earned[world.merchant_of(till_id).id] += result.credited_tiyn
    for line in world.bank.balances():
        if not line.is_merchant:
            continue
        paid = line.wallet_tiyn + world.passed_on.get(line.client_id, 0)
        if paid != earned[line.client_id]:
            raise Broken(
                f"I5: {line.name} was paid {paid} tiyn for sales of {earned[line.client_id]}"
            )
