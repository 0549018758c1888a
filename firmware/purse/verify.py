# SPDX-License-Identifier: Apache-2.0
"""Whether a token is good: the one verification of the project (protocol section 4).

Till, wallet, bank and `qalta verify` call this. Nothing here needs a network.
"""

from firmware.purse.trust import Rejected, Trust
from firmware.wire.certificate import ROLE_PURSE, ROLE_TERMINAL, Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.layout import key_id
from firmware.wire.note import NOTE_NO_PURSE_TO_PURSE, Note
from firmware.wire.token import Token
from firmware.wire.transfer import Transfer


class Holding:
    """A run of units in somebody's hands: what the next transfer must come from.

    `parent` is the RecordId of the note, or of the transfer that brought the run; `key` is
    the public key that may spend it.
    """

    def __init__(self, parent: bytes, start: int, end: int, key: bytes) -> None:
        self.parent = parent
        self.start = start
        self.end = end
        self.key = key


def holding_of_note(note: Note) -> Holding:
    """The whole note, in its first owner's hands."""
    return Holding(note.record_id, 0, note.value, note.owner)


def holding_of_transfer(transfer: Transfer, payee: Certificate) -> Holding:
    """What `transfer` moved, in its payee's hands. Raises Rejected for another certificate."""
    if transfer.payee != payee.record_id:
        raise Rejected("chain", "a certificate in the token's chain is not its payee's")
    return Holding(transfer.record_id, transfer.start, transfer.end, payee.public_key)


def check_transfer(trust: Trust, note: Note, holding: Holding, transfer: Transfer) -> None:
    """One step of a chain: run, caps, expiry and signature. Raises Rejected."""
    if transfer.parent != holding.parent:
        raise Rejected("chain", "a transfer does not follow from the one before it")
    if transfer.start < holding.start or transfer.end > holding.end:
        raise Rejected("run", "a transfer moves units that its payer never had")
    if transfer.amount_tiyn > note.max_payment:
        raise Rejected("max-payment", "a transfer is over the note's limit for one payment")
    if transfer.seq >= note.max_transfers:
        raise Rejected("max-transfers", "the note was divided too often")
    if transfer.time > note.expires_at:
        raise Rejected("expired", "the note had expired when it was spent")
    if not trust.signed(holding.key, transfer):
        raise Rejected("signature", "a transfer is not signed by its payer")


def check_chain(trust: Trust, token: Token) -> Holding:
    """Everything in a token but its newest payee; returns what that payee holds from.

    That is: the note under its issuer, each earlier hop's certificate, tier and transfer, and
    the newest transfer. Raises Rejected.
    """
    note = token.note
    trust.check_note(note)
    if len(token.hops) + 1 > note.hop_limit:
        raise Rejected("hop-limit", "this money has changed hands too often")
    if token.hops and note.flags & NOTE_NO_PURSE_TO_PURSE:
        raise Rejected("purse-to-purse", "this money may not go from purse to purse")
    holding = holding_of_note(note)
    for payee, transfer in token.hops:
        check_transfer(trust, note, holding, transfer)
        trust.check_holder(payee, ROLE_PURSE, transfer.time)
        if payee.tier < note.min_tier:
            raise Rejected("tier", "a card in the token's chain is not safe enough for it")
        holding = holding_of_transfer(transfer, payee)
    check_transfer(trust, note, holding, token.transfer)
    return holding


def check_denied(denylist: "Denylist | None", token: Token) -> None:
    """Refuses notes and keys on the denylist. Raises Rejected."""
    if denylist is None:
        return
    keys = [token.note.issuer, key_id(token.note.owner)]
    for payee, _ in token.hops:
        keys.extend((payee.key_id, payee.issuer))
    if denylist.denies_note(token.note.note_id) or any(map(denylist.denies_key, keys)):
        raise Rejected("denied", "this card or its money was blocked by the central bank")


class Expectation:
    """What a payee asked for: every token of the answer is held against it.

    `time` is what its request said, `now` its clock when it looks at the answer.
    """

    def __init__(
        self, payee: Certificate, payment_id: bytes, amount_tiyn: int, time: int, now: int
    ) -> None:
        self.payee = payee
        self.payment_id = payment_id
        self.amount_tiyn = amount_tiyn
        self.time = time
        self.now = now


def check_payment(
    trust: Trust,
    denylist: "Denylist | None",
    expected: Expectation,
    tokens: "list[Token]",
    taken: "list[Transfer]",
) -> None:
    """The answer to one PAY, whole: nothing of it counts unless all of it is good.

    `taken` are transfers that this payee took before from the same parents. Raises Rejected
    with a reason that a cashier understands; the caller keeps the bytes as evidence.
    """
    if sum([token.amount_tiyn for token in tokens]) != expected.amount_tiyn:
        raise Rejected("amount", "the card gave another amount than was asked for")
    seen = list(taken)
    for token in tokens:
        transfer = token.transfer
        if transfer.payee != expected.payee.record_id:
            raise Rejected("payee", "the card paid somebody else")
        if transfer.payment_id != expected.payment_id:
            raise Rejected("replay", "the card answered with another payment")
        if token.note.currency != expected.payee.currency:
            raise Rejected("currency", "the card paid in another currency")
        if not expected.payee.accepts(token.note.purpose):
            raise Rejected("purpose", "this money may not be spent here")
        if expected.now > token.note.expires_at:
            raise Rejected("expired", "the money on the card has expired")
        if any(transfer.overlaps(other) for other in seen):
            raise Rejected("double-spend", "this money was spent here before")
        check_denied(denylist, token)
        check_chain(trust, token)
        if transfer.time != expected.time:
            # The bank looks at this time: with one before the payee was certified, the payee
            # would give goods for money that the bank refuses, and that could be spent again.
            raise Rejected("time", "the card wrote another time than it was asked for")
        seen.append(transfer)


def check_terminal(trust: Trust, certificate: Certificate, now: int) -> Certificate:
    """A payee's certificate as a purse sees it: a terminal of a known bank. Raises Rejected."""
    return trust.check_holder(certificate, ROLE_TERMINAL, now)
