# SPDX-License-Identifier: Apache-2.0
"""Settlement: what was paid offline becomes postings, whoever brings it, in any order.

Every genuine transfer is posted once, by its RecordId, whether a terminal or the payer's own
purse uploads it. Nothing here asks the denylist: a payee that was offline could not know of it,
and an answer that depended on it would depend on the order of uploads.
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from firmware.purse.trust import Rejected
from firmware.purse.verify import check_chain
from firmware.wire.certificate import ROLE_PURSE, ROLE_TERMINAL, Certificate
from firmware.wire.layout import sha256
from firmware.wire.limits import MAX_HOPS, MAX_PIECES
from firmware.wire.note import NOTE_NO_PURSE_TO_PURSE, Note
from firmware.wire.token import Token
from firmware.wire.transfer import Transfer
from host_bridge.bank import ledger, schema
from host_bridge.bank.claims import book_claim, is_unpaid, payee_account
from host_bridge.bank.ledger import DT, credit, debit
from host_bridge.bank.notary import Notary, is_disputed, is_known
from host_bridge.bank.office import Finding, Office
from host_bridge.bank.registry import holder_row, purse_row
from host_bridge.money import format_tiyn
from host_bridge.sync.port import BankRefused, SaleResult, SaleState

PAID_TWICE = "paid twice"
MAX_WAITING = 10_000  # transfers that came before their parent


class Loose(enum.Enum):
    """What became of a transfer that came without its chain, out of a purse's journal."""

    SETTLED = "settled"
    WAITING = "waiting"  # its parent is not known yet
    UNSIGNED = "unsigned"  # its signature is not the purse's: spoiled on the way, perhaps
    REFUSED = "refused"


class Settlement:
    """Verifies tokens and posts their transfers."""

    def __init__(self, office: Office, notary: Notary) -> None:
        self._office = office
        self._notary = notary

    def upload_sale(self, tokens: list[Token]) -> SaleResult:
        """One payment: all of it is settled, or it is refused and kept as evidence."""
        if not 1 <= len(tokens) <= MAX_PIECES:
            raise BankRefused(f"A payment has 1 to {MAX_PIECES} tokens.")
        with self._office.store.write() as connection:
            try:
                self._check_payment(connection, tokens)
            except Rejected as error:
                raw = b"".join(token.raw for token in tokens)
                self._office.keep_evidence(connection, error.reason, error.sentence, raw)
                amount = sum(token.amount_tiyn for token in tokens)
                payment_id = tokens[0].transfer.payment_id
                return SaleResult(payment_id, SaleState.REFUSED, amount, error.sentence)
            for token in tokens:
                self._settle(connection, token)
            ids = [token.transfer.record_id for token in tokens]
            return _result(connection, _rows(connection, ids))

    def payment_state(self, payment_id: bytes, payee: bytes | None) -> SaleResult | None:
        """What is known of a payment, to `payee` (a certificate's RecordId) if it is given."""
        table = schema.transfers
        paid = select(table).where(table.c.payment_id == payment_id)
        with self._office.store.read() as connection:
            rows = connection.execute(paid).all()
            mine = [row for row in rows if payee is None or row.payee == payee]
            return _result(connection, mine) if mine else None

    def settle_loose(self, connection: Connection, transfer: Transfer) -> Loose:
        """A transfer without its chain: the tree knows it, or it waits for its parent."""
        return self.judge_loose(connection, transfer)[0]

    def judge_loose(self, connection: Connection, transfer: Transfer) -> tuple[Loose, str]:
        """As `settle_loose`, with the sentence that says why it was refused."""
        if is_known(connection, transfer.record_id):
            return Loose.SETTLED, ""
        token = _token_of(connection, transfer)
        if token is None:
            self._let_wait(connection, transfer)
            return Loose.WAITING, "what it came from is not known here"
        try:
            self._check(connection, token)
        except Rejected as error:
            self._office.keep_evidence(connection, error.reason, error.sentence, token.raw)
            is_signature = error.reason == "signature"
            return Loose.UNSIGNED if is_signature else Loose.REFUSED, error.sentence
        self._settle(connection, token)
        return Loose.SETTLED, ""

    def _let_wait(self, connection: Connection, transfer: Transfer) -> None:
        table = schema.waiting
        if connection.execute(select(func.count(table.c.waiting_id))).scalar_one() >= MAX_WAITING:
            return
        row = {"parent": transfer.parent, "raw": transfer.raw}
        connection.execute(
            sqlite_insert(table).on_conflict_do_nothing(),
            row | {"waiting_id": sha256(transfer.raw)},
        )

    def _check_payment(self, connection: Connection, tokens: list[Token]) -> None:
        """All tokens of one payment, together. Raises Rejected."""
        first = tokens[0].transfer
        seen: list[Transfer] = []
        for token in tokens:
            transfer = token.transfer
            if (transfer.payee, transfer.payment_id) != (first.payee, first.payment_id):
                raise Rejected("payment", "the tokens are not of one payment")
            if any(transfer.overlaps(other) for other in seen):
                raise Rejected("double-spend", "the payment has the same money in it twice")
            self._check(connection, token)
            seen.append(transfer)

    def _check(self, connection: Connection, token: Token) -> None:
        """One token, from the note to the payee. Raises Rejected."""
        note, transfer = token.note, token.transfer
        check_chain(self._office.trust, token)
        notes = schema.notes
        known = select(notes.c.record_id).where(notes.c.record_id == note.record_id)
        if connection.execute(known).one_or_none() is None:
            raise Rejected("unknown-note", "no such note was ever issued")
        for holder, _ in token.hops:
            if holder_row(connection, holder.record_id) is None:
                raise Rejected("unknown-purse", "a card in the token's chain is not registered")
        payee = holder_row(connection, transfer.payee)
        if payee is None:
            raise Rejected("payee", "the payee is not registered")
        certificate = Certificate.parse(payee.raw)
        if payee.role == ROLE_PURSE and note.flags & NOTE_NO_PURSE_TO_PURSE:
            raise Rejected("purse-to-purse", "this money may not go from purse to purse")
        if payee.role == ROLE_TERMINAL and not certificate.accepts(note.purpose):
            raise Rejected("purpose", "this money may not be spent there")
        if not certificate.valid_at(transfer.time):
            raise Rejected("dates", "the payee's certificate was not valid at that time")
        if self._office.clock() > note.expires_at + self._office.grace_seconds:
            if not all(is_known(connection, step.record_id) for step in token.transfers):
                raise Rejected("late", "the note expired, and the time to bring it is over")

    def _settle(self, connection: Connection, token: Token) -> None:
        """Post every transfer of a verified chain that is not posted, the oldest first."""
        for transfer in token.transfers:
            if not is_known(connection, transfer.record_id):
                self._post(connection, token.note, transfer)
                self._settle_waiting(connection, transfer)

    def _post(self, connection: Connection, note: Note, transfer: Transfer) -> None:
        now = self._office.clock()
        payer = purse_row(connection, _payer_serial(connection, transfer))
        payee = holder_row(connection, transfer.payee)
        assert payee is not None, "checked before"
        entered = self._notary.enter(connection, note, transfer, payer.serial, payee)
        account = payee_account(payee.role, payee.serial, payee.client_id)
        lines = [
            debit(DT, account, entered.from_purse),
            credit(DT, ledger.purse(payer.serial), entered.from_purse),
        ]
        ledger.post(connection, ledger.TRANSFER, transfer.record_id, now, lines)
        if entered.claimed:
            book_claim(
                connection,
                transfer.record_id,
                payer.bank,
                payer.client_id,
                entered.claimed,
                now,
            )
        if _was_paid_twice(connection, transfer.payment_id, transfer.payee):
            sentence = "Two cards paid for one sale: its merchant owes one of them the money."
            subject = transfer.payment_id.hex()
            self._office.note_finding(connection, Finding(PAID_TWICE, subject, sentence))

    def _settle_waiting(self, connection: Connection, parent: Transfer) -> None:
        """What waited for `parent`. It ends: each round is one hop further, and hops are few."""
        table = schema.waiting
        ready = select(table.c.raw).where(table.c.parent == parent.record_id)
        children = connection.execute(ready).scalars().all()
        connection.execute(delete(table).where(table.c.parent == parent.record_id))
        for raw in children:
            self.settle_loose(connection, Transfer.parse(raw))


def _token_of(connection: Connection, transfer: Transfer) -> Token | None:
    """The transfer with its chain out of the tree, or None if its parent is not there."""
    hops: list[tuple[Certificate, Transfer]] = []
    parent = transfer.parent
    for _ in range(MAX_HOPS + 1):  # one more, so that a chain too long is refused for that
        notes, transfers = schema.notes, schema.transfers
        note = connection.execute(
            select(notes.c.raw).where(notes.c.record_id == parent)
        ).scalar_one_or_none()
        if note is not None:
            return Token(Note.parse(note), hops, transfer)
        raw = connection.execute(
            select(transfers.c.raw).where(transfers.c.record_id == parent)
        ).scalar_one_or_none()
        if raw is None:
            return None
        step = Transfer.parse(raw)
        holder = holder_row(connection, step.payee)
        assert holder is not None, "a transfer in the tree has a registered payee"
        hops.insert(0, (Certificate.parse(holder.raw), step))
        parent = step.parent
    return None


def _payer_serial(connection: Connection, transfer: Transfer) -> bytes:
    """The purse that held the parent and signed the transfer."""
    notes, transfers = schema.notes, schema.transfers
    certificates = schema.certificates
    serial = connection.execute(
        select(notes.c.serial).where(notes.c.record_id == transfer.parent)
    ).scalar_one_or_none()
    if serial is not None:
        return bytes(serial)
    return bytes(
        connection.execute(
            select(certificates.c.serial)
            .join(transfers, transfers.c.payee == certificates.c.record_id)
            .where(transfers.c.record_id == transfer.parent)
        ).scalar_one()
    )


def _was_paid_twice(connection: Connection, payment_id: bytes, payee: bytes) -> bool:
    """Whether more than one purse paid this payment to this payee, whichever came first.

    Nobody cheated: a tap was torn, and another card than the first was asked to pay again.
    """
    table = schema.transfers
    same = (table.c.payment_id == payment_id, table.c.payee == payee)
    payers = select(func.count(table.c.payer.distinct())).where(*same)
    return connection.execute(payers).scalar_one() > 1


def _rows(connection: Connection, transfer_ids: list[bytes]) -> list[Row[Any]]:
    table = schema.transfers
    wanted = select(table).where(table.c.record_id.in_(transfer_ids))
    return list(connection.execute(wanted).all())


def _result(connection: Connection, rows: list[Row[Any]]) -> SaleResult:
    """The state of one payment's transfers, as its merchant sees it."""
    amount = sum(row.end - row.start for row in rows)
    payment_id = rows[0].payment_id
    reasons = []
    if _was_paid_twice(connection, payment_id, rows[0].payee):
        reasons.append("Two cards paid for this sale: give one of them its money back.")
    withheld = sum(row.withheld for row in rows)
    unpaid = sum(row.claimed for row in rows if is_unpaid(connection, row.record_id))
    if any(is_disputed(connection, row.record_id) for row in rows):
        reasons.append("The payer spent this money twice.")
        if withheld:
            again = f"This till took {format_tiyn(withheld)} of it before and is not paid again."
            reasons.append(again)
        if unpaid:
            reasons.append(f"{format_tiyn(unpaid)} waits until the payer's bank can cover it.")
        if not withheld and not unpaid:
            reasons.append("You are paid in full.")
    if not reasons:
        return SaleResult(payment_id, SaleState.SYNCHRONISED, amount)
    reason = " ".join(reasons)
    return SaleResult(payment_id, SaleState.DISPUTED, amount, reason, withheld + unpaid)
