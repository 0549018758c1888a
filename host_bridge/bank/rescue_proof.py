# SPDX-License-Identifier: Apache-2.0
"""Proves stored payments: finds the notes that they are of, and verifies under their keys.

A stored payment names a note by its slot and the first bytes of its RecordId. That is a hint: the
body is built again with each note that it may be, and the signature says which one is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from firmware.wire.journal import KeyAttestation
from firmware.wire.layout import RECORD_ID_SIZE, SIGNATURE_SIZE, WireError
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer
from host_bridge.bank import schema
from host_bridge.bank.office import Office
from host_bridge.bank.rescue_log import Kept, StoredJournal
from host_bridge.bank.runs import Run

MAX_CANDIDATES = 16  # notes whose RecordIds begin alike


@dataclass
class Piece:
    """One transfer of a payment: its body once its note is found, signed once that is proved."""

    run: Run
    body: bytes = b""
    serial: bytes | None = None
    transfer: Transfer | None = None


def prove(
    office: Office, connection: Connection, journal: StoredJournal, own: bytes | None
) -> tuple[dict[Kept, list[Piece]], int]:
    """The pieces of each stored payment that signatures are good for.

    own: the serial of the purse, if it is known. Also how many signatures fit nothing.
    """
    proved: dict[Kept, list[Piece]] = {}
    lost = 0
    for signed in journal.signed:
        for kept in journal.guesses(signed):
            if kept in proved:
                continue
            pieces = _verified(office, connection, kept, signed.signatures, own)
            if pieces is not None:
                proved[kept] = pieces
                break
        else:
            lost += not _is_repeated(proved, signed.signatures)
    return proved, lost


def _verified(
    office: Office,
    connection: Connection,
    kept: Kept,
    signatures: list[bytes],
    own: bytes | None,
) -> list[Piece] | None:
    """The payment's pieces with their signatures; None where not one of them is good."""
    pieces = []
    for index, signature in enumerate(signatures):
        guesses = list(_bodies(connection, kept, index, own))
        piece = guesses[0] if guesses else Piece(_run(kept, index))
        for likely in guesses:
            likely.transfer = _signed(office, connection, likely, signature)
            if likely.transfer is not None:
                piece = likely
                break
        pieces.append(piece)
    return pieces if any(piece.transfer for piece in pieces) else None


def guess(connection: Connection, kept: Kept, own: bytes | None) -> Iterator[Piece]:
    """The pieces of a payment that nothing proves, each with the likeliest note."""
    for index in range(len(kept.payment.pieces)):
        bodies = list(_bodies(connection, kept, index, own))
        yield bodies[0] if bodies else Piece(_run(kept, index))


def _bodies(connection: Connection, kept: Kept, index: int, own: bytes | None) -> Iterator[Piece]:
    """One piece, with each note that it may come from; the likeliest first."""
    table, stored = schema.notes, kept.payment.pieces[index]
    rest = RECORD_ID_SIZE - len(stored["parent"])
    first, last = stored["parent"] + bytes(rest), stored["parent"] + b"\xff" * rest
    rows = connection.execute(
        select(table.c.record_id, table.c.serial, table.c.attestation)
        .where(table.c.record_id.between(first, last))
        .limit(MAX_CANDIDATES)
    ).all()
    ranked = sorted(
        rows,
        key=lambda row: (
            row.serial != own,
            KeyAttestation.parse(row.attestation).slot != stored["slot"],
        ),
    )
    for row in ranked:
        parents = [bytes(RECORD_ID_SIZE)] * len(kept.payment.pieces)
        parents[index] = row.record_id
        try:
            body = kept.payment.entry(parents, []).transfer_bodies[index]
        except WireError:
            continue  # runs that no payment has
        yield Piece(_run(kept, index), body, row.serial)


def signed_by_owner(office: Office, connection: Connection, transfer: Transfer) -> bool:
    """Whether the key that owns the transfer's note has signed it; False if it is of no note."""
    table = schema.notes
    raw = connection.execute(
        select(table.c.raw).where(table.c.record_id == transfer.parent)
    ).scalar_one_or_none()
    return raw is not None and office.trust.signed(Note.parse(raw).owner, transfer)


def serial_of(connection: Connection, note: bytes) -> bytes | None:
    """The serial of the purse that a note was issued to; None if it was never issued here."""
    table = schema.notes
    return connection.execute(
        select(table.c.serial).where(table.c.record_id == note)
    ).scalar_one_or_none()


def _signed(
    office: Office, connection: Connection, piece: Piece, signature: bytes
) -> Transfer | None:
    try:
        transfer: Transfer = Transfer.parse(piece.body + signature)
    except WireError:
        return None  # a run that no payment has
    return transfer if signed_by_owner(office, connection, transfer) else None


def _is_repeated(proved: dict[Kept, list[Piece]], signatures: list[bytes]) -> bool:
    """Whether these signatures are those of a payment that is proved already."""
    return any(
        [piece.transfer.raw[-SIGNATURE_SIZE:] for piece in pieces if piece.transfer] == signatures
        for pieces in proved.values()
    )


def _run(kept: Kept, index: int) -> Run:
    piece = kept.payment.pieces[index]
    return piece["start"], piece["end"]
