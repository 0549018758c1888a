# SPDX-License-Identifier: Apache-2.0
"""Settles what was read of a purse that pays no more (docs/protocol/rescue.md).

A payment in a rescue file is believed for one reason: the signature of the key that owns its
note. So it does not matter who brings the file, how much of it is missing, or how often it comes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from firmware.wire.apdu import LIFECYCLE_SYNC_ONLY
from firmware.wire.certificate import ROLE_PURSE
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import sha256
from firmware.wire.transfer import Transfer
from host_bridge.bank import rollback, runs
from host_bridge.bank.journal import JournalDesk
from host_bridge.bank.notary import is_known
from host_bridge.bank.office import Finding, Office
from host_bridge.bank.registry import holder_row, purse_row
from host_bridge.bank.remains import NoteLeft, notes_left
from host_bridge.bank.rescue_log import StoredJournal, put_together
from host_bridge.bank.rescue_proof import Piece, guess, prove, serial_of, signed_by_owner
from host_bridge.bank.settle import Loose, Settlement
from host_bridge.money import format_tiyn
from host_bridge.sync.port import BankRefused
from host_bridge.sync.rescue_file import Rescue, Source

RESCUE = "rescue"


class Rescued(enum.StrEnum):
    """What became of a payment that a rescue file holds."""

    SETTLED = "settled"
    KNOWN = "known already"
    WAITING = "waiting"  # what it came from has not been uploaded
    REFUSED = "refused"
    UNSIGNED = "committed, not signed"  # it was made, and nothing proves it yet
    BEGUN = "not made"  # an intent whose counter, by all that can be read, was never taken
    FOREIGN = "unknown note"


@dataclass(frozen=True)
class RescuedPayment:
    """One payment of the purse; `counter` is its number there."""

    counter: int
    payment_id: bytes
    amount_tiyn: int
    state: Rescued
    sentence: str = ""


@dataclass(frozen=True)
class RescuedPurse:
    """What is left on a purse's notes; `explanation` is what the bank says is missing."""

    serial: bytes
    client_id: str
    bank: str
    notes: tuple[NoteLeft, ...]
    explanation: str


@dataclass(frozen=True)
class RescueReport:
    """The bank's word on a rescue file; the same file gets the same, all of it known by then."""

    payments: tuple[RescuedPayment, ...]
    purses: tuple[RescuedPurse, ...]
    unreadable: tuple[str, ...]

    def amount_tiyn(self, state: Rescued) -> int:
        """What the payments in one state come to."""
        return sum(one.amount_tiyn for one in self.payments if one.state is state)


@dataclass
class _Case:
    counter: int
    payment_id: bytes
    amount: int
    pieces: list[Piece]
    is_committed: bool
    was_known: bool = False
    sentence: str = ""
    outcomes: list[Loose] = field(default_factory=list)


class RescueDesk:
    """Takes rescue files."""

    def __init__(self, office: Office, settlement: Settlement, journals: JournalDesk) -> None:
        self._office = office
        self._settlement = settlement
        self._journals = journals

    def settle(self, rescue: Rescue) -> RescueReport:
        """Everything in the file that proves itself. Idempotent; raises BankRefused."""
        unreadable = list(rescue.unreadable)
        with self._office.store.read() as connection:
            own = _own_serial(connection, rescue)
            journal = put_together(rescue.stored)
            cases = self._cases(connection, rescue, journal, own, unreadable)
            serials = _serials(connection, rescue, own, cases)
            if not serials:
                raise BankRefused("Nothing in this rescue file is of a purse of this bank.")
            unreadable += _holes(connection, serials[0], cases, journal)
            for case in cases:
                ids = [sha256(piece.body) for piece in case.pieces if piece.body]
                whole = len(ids) == len(case.pieces)
                case.was_known = whole and all(is_known(connection, one) for one in ids)
        if rescue.export is not None:
            has_locked = rescue.lifecycle == LIFECYCLE_SYNC_ONLY
            unreadable += self._journals.take_rescued(rescue.export, has_locked=has_locked)
        # Refusals leave evidence, and that stays: nothing in here raises for what is in the file.
        with self._office.store.write() as connection:
            for case in cases:
                self._settle_case(connection, case)
            payments = tuple(_result(connection, case) for case in cases)
            # A payee has seen the note as well: knowing it is no word about its purse.
            if own is not None or any(piece.transfer for case in cases for piece in case.pieces):
                self._note(connection, rescue, serials, payments)
            purses = tuple(self._purse(connection, serial, cases, payments) for serial in serials)
        return RescueReport(payments, purses, tuple(unreadable))

    # ------------------------------------------------------------------ finding the payments

    def _cases(
        self,
        connection: Connection,
        rescue: Rescue,
        journal: StoredJournal,
        own: bytes | None,
        unreadable: list[str],
    ) -> list[_Case]:
        """Each payment once, whether it came as an entry or as records of the log, or as both."""
        cases: dict[tuple[int, bytes], _Case] = {}
        proved, lost = prove(self._office, connection, journal, own)
        for kept in journal.payments:
            pieces = proved.get(kept) or list(guess(connection, kept, own))
            case = _Case(
                kept.payment.counter,
                kept.payment.payment_id,
                max(0, kept.payment.amount),
                pieces,
                kept.is_committed,
            )
            _merge(cases, case)
        exported = rescue.export.entries if rescue.export is not None else []
        for entry in (*exported, *rescue.entries):
            _merge(cases, self._case_of_entry(connection, entry))
        if lost:
            unreadable.append(f"{lost} signatures fit no payment that could be read")
        if journal.unreadable:
            unreadable.append(f"{journal.unreadable} stored records are no part of a payment")
        return sorted(cases.values(), key=lambda case: (case.counter, case.payment_id))

    def _case_of_entry(self, connection: Connection, entry: JournalEntry) -> _Case:
        pieces = []
        for body in entry.transfer_bodies:
            fields = Transfer.fields_of(body)
            pieces.append(Piece((fields["start"], fields["end"]), body))
        if entry.is_signed:
            for piece, transfer in zip(pieces, entry.transfers, strict=True):
                if signed_by_owner(self._office, connection, transfer):
                    piece.transfer = transfer
                    piece.serial = serial_of(connection, transfer.parent)
        return _Case(entry.counter, entry.payment_id, entry.amount, pieces, is_committed=True)

    # ------------------------------------------------------------------ settling them

    def _settle_case(self, connection: Connection, case: _Case) -> None:
        for piece in case.pieces:
            if piece.transfer is not None:
                outcome, sentence = self._settlement.judge_loose(connection, piece.transfer)
                case.outcomes.append(outcome)
                case.sentence = case.sentence or sentence

    def _note(
        self,
        connection: Connection,
        rescue: Rescue,
        serials: list[bytes],
        payments: Iterable[RescuedPayment],
    ) -> None:
        """Findings that stay: that the purse gave up, and what nothing proves yet."""
        subject = serials[0].hex()
        if rescue.source is Source.IMAGE:
            sentence = "The purse's flash was read by a rescue, for its board answers no more."
        elif rescue.lifecycle == LIFECYCLE_SYNC_ONLY:
            sentence = "The purse has locked itself, for its memory is not its own any more."
        else:
            sentence = "The purse cannot read a part of its memory, and pays no more."
        self._office.note_finding(connection, Finding(RESCUE, subject, sentence))
        for payment in payments:
            if payment.state is Rescued.UNSIGNED:
                amount = format_tiyn(payment.amount_tiyn)
                sentence = (
                    f"Payment {payment.counter}, {amount}, was committed, and no signature of it"
                    " could be read: it settles once its till brings it, or the card signs it."
                )
                self._office.note_finding(connection, Finding(RESCUE, subject, sentence))

    def _purse(
        self,
        connection: Connection,
        serial: bytes,
        cases: list[_Case],
        payments: tuple[RescuedPayment, ...],
    ) -> RescuedPurse:
        purse = purse_row(connection, serial)
        seen = [
            (Transfer.fields_of(piece.body)["parent"], piece.run)
            for case, payment in zip(cases, payments, strict=True)
            for piece in case.pieces
            if payment.state is Rescued.UNSIGNED and piece.body
        ]
        return RescuedPurse(
            serial,
            purse.client_id,
            purse.bank,
            tuple(notes_left(connection, serial, self._office.grace_seconds, seen)),
            rollback.explanation(connection, self._office, serial),
        )


def _own_serial(connection: Connection, rescue: Rescue) -> bytes | None:
    """The serial of the certificate, if there is one. Raises BankRefused for a stranger's."""
    papers = [rescue.certificate] if rescue.certificate is not None else []
    if rescue.export is not None:
        papers.append(rescue.export.certificate)
    for certificate in papers:
        row = holder_row(connection, certificate.record_id)
        if row is None or row.role != ROLE_PURSE:
            raise BankRefused("This rescue file is of a purse that no bank here has certified.")
    if len({certificate.serial for certificate in papers}) > 1:
        raise BankRefused("This rescue file is of two purses at once.")
    return papers[0].serial if papers else None


def _serials(
    connection: Connection, rescue: Rescue, own: bytes | None, cases: list[_Case]
) -> list[bytes]:
    """The purses that the file is about: by certificate, by proved payments, by notes."""
    found = [own]
    for case in cases:
        found += [piece.serial for piece in case.pieces if piece.transfer is not None]
    found += [serial_of(connection, note.record_id) for note in rescue.notes]
    return [serial for serial in dict.fromkeys(found) if serial is not None]


def _holes(
    connection: Connection, serial: bytes, cases: list[_Case], journal: StoredJournal
) -> list[str]:
    """Which numbers between the payments of the file nothing here speaks of."""
    counters = [case.counter for case in cases]
    if not counters:
        return []
    settled, unsigned = rollback.known_payments(connection, purse_row(connection, serial))
    taken = [(counter, counter + 1) for counter in (*counters, *settled, *unsigned)]
    found = runs.without((min(counters), max(counters) + 1), [*taken, *journal.unused])
    if not found:
        return []
    return [f"nothing is left here of {rollback.numbers(found)}, which may be at tills"]


def _merge(cases: dict[tuple[int, bytes], _Case], case: _Case) -> None:
    """Puts a payment in, or what it adds to the same one that is there."""
    known = cases.setdefault((case.counter, case.payment_id), case)
    known.is_committed = known.is_committed or case.is_committed
    if [piece.run for piece in known.pieces] != [piece.run for piece in case.pieces]:
        return
    for mine, other in zip(known.pieces, case.pieces, strict=True):
        if mine.transfer is None and other.transfer is not None:
            mine.body, mine.serial, mine.transfer = other.body, other.serial, other.transfer


def _result(connection: Connection, case: _Case) -> RescuedPayment:
    state, sentence = _state(connection, case)
    return RescuedPayment(case.counter, case.payment_id, case.amount, state, sentence)


def _state(connection: Connection, case: _Case) -> tuple[Rescued, str]:
    if case.was_known:
        return Rescued.KNOWN, ""
    if Loose.REFUSED in case.outcomes:
        return Rescued.REFUSED, case.sentence
    if Loose.WAITING in case.outcomes:
        return Rescued.WAITING, case.sentence
    if case.outcomes and set(case.outcomes) == {Loose.SETTLED}:
        if len(case.outcomes) == len(case.pieces):
            return Rescued.SETTLED, ""
        done = sum(
            end - start for piece in case.pieces if piece.transfer for start, end in [piece.run]
        )
        return Rescued.UNSIGNED, f"only {format_tiyn(done)} of it are proved, and settled"
    if any(not piece.body for piece in case.pieces):
        return Rescued.FOREIGN, "its note was never issued here"
    if case.is_committed:
        return Rescued.UNSIGNED, case.sentence
    return Rescued.BEGUN, "its number was never taken, by all that can be read"
