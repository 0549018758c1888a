# SPDX-License-Identifier: Apache-2.0
"""Invariants I1 to I5, asked of a world whose day is over (docs/testing.md).

They are asked of the records themselves: the cards' own balances, the tills' books and the
bank's, each read where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.purse.trust import Trust
from firmware.purse.verify import check_chain
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
class Money:
    """Where the money is, in tiyn."""

    issued: int
    reserves: int  # with the banks
    cards: int  # as the honest cards themselves say
    copied: int  # on cards that were copied, as the bank counts them
    wallets: int  # settled to merchants
    in_flight: int  # spent, and not yet at the bank
    claimed: int  # paid twice with the same units, and claimed from the spender

    @property
    def total(self) -> int:
        """All of it, wherever it is."""
        return self.reserves + self.cards + self.copied + self.wallets + self.in_flight


def check(world: World) -> Money:
    """Raises Broken for the first invariant that does not hold; returns where the money is."""
    payments = [payment for till in world.tills.values() for payment in till.payments()]
    _one_debit_each(payments)
    _receipts_are_durable(world, payments)
    _settled_once(world)
    return _no_value_created(world, payments)


def card_balances(world: World) -> dict[str, int]:
    """What each card says that it holds, over all purposes."""
    balances = {}
    for card_id, holder in world.holders.items():
        with holder.card.open() as transport:
            session = PurseSession(transport)
            session.select()
            session.verify_pin(holder.pin)
            balances[card_id] = sum(session.balance().values())
    return balances


def _no_value_created(world: World, payments: list[Payment]) -> Money:
    """I1 and I2: what was issued is with the banks, on cards, in flight or settled."""
    totals = world.bank.totals()
    if not totals.is_whole:
        raise Broken(f"I2: the bank's own books do not add up: {totals}")
    copies = {holder.serial for holder in world.holders.values() if holder.is_copy}
    balances = card_balances(world)
    honest = {
        card_id: balance
        for card_id, balance in balances.items()
        if world.holders[card_id].serial not in copies
    }
    at_bank = {line.serial: line.outstanding_tiyn for line in world.bank.purses()}
    in_flight = 0
    for card_id, balance in honest.items():
        difference = at_bank[world.holders[card_id].serial] - balance
        if difference < 0:
            raise Broken(f"I1: {card_id} holds {-difference} tiyn more than it was given")
        in_flight += difference
    waiting = sum(one.amount_tiyn for one in payments if one.state is PaymentState.PAID)
    if not copies and waiting > in_flight:
        raise Broken(f"I1: tills hold {waiting} tiyn, cards gave away only {in_flight}")
    money = Money(
        issued=totals.issued,
        reserves=totals.reserves,
        cards=sum(honest.values()),
        copied=sum(at_bank[serial] for serial in copies),
        wallets=totals.wallets,
        in_flight=in_flight,
        claimed=sum(line.claims_tiyn for line in world.bank.balances()),
    )
    if money.total != money.issued:
        raise Broken(f"I2: {money.issued} tiyn were issued and {money.total} are accounted for")
    return money


def _one_debit_each(payments: list[Payment]) -> None:
    """I3: at most one debit for a (purse, payment_id), and no payment_id twice."""
    seen: set[bytes] = set()
    for payment in payments:
        if payment.payment_id in seen:
            raise Broken(f"I3: payment {payment.short_id} stands twice")
        seen.add(payment.payment_id)
        given = sum(token.amount_tiyn for token in payment.tokens)
        if payment.tokens and given != payment.amount_tiyn:
            raise Broken(f"I3: payment {payment.short_id} was debited with {given} tiyn")


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
            if result is not None:
                earned[world.merchant_of(till_id).id] += result.credited_tiyn
    for line in world.bank.balances():
        if not line.is_merchant:
            continue
        paid = line.wallet_tiyn + world.passed_on.get(line.client_id, 0)
        if paid != earned[line.client_id]:
            raise Broken(
                f"I5: {line.name} was paid {paid} tiyn for sales of {earned[line.client_id]}"
            )
