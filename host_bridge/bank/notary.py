# SPDX-License-Identifier: Apache-2.0
"""The notary: the tree of transfers under each note, double spends, and the denylist.

A transfer is new, known, or in conflict with a sibling (protocol section 5). What a conflict
costs does not depend on which sibling came first: of all units that the siblings claim, each
is paid out of the parent once, and every further time out of the spender's bank.

A terminal must refuse units that it has taken before (protocol section 4), so the same
terminal is never paid for the same units twice: that part is withheld.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from firmware.wire.certificate import (
    ROLE_AUTHORITY,
    ROLE_BANK,
    ROLE_ISSUER,
    ROLE_TERMINAL,
    Certificate,
)
from firmware.wire.denylist import MAX_DENIED, Denylist
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.layout import key_id, sha256
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer
from host_bridge.bank import runs, schema
from host_bridge.bank.office import Office

MAX_PROOFS = 64  # kept for one parent: more of them accuse the same key of the same thing

KEY = "key"
NOTE = "note"


@dataclass(frozen=True)
class Entered:
    """What one new transfer moves, in units: out of the parent, and over and above it."""

    from_purse: int
    claimed: int
    withheld: int


class Notary:
    """The tree and the denylist."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def enter(
        self,
        connection: Connection,
        note: Note,
        transfer: Transfer,
        payer: bytes,
        payee: Row[Any],
    ) -> Entered:
        """Put a verified transfer, not known before, under its parent; `payer` is a serial."""
        table = schema.transfers
        siblings = connection.execute(
            select(table).where(
                table.c.parent == transfer.parent,
                table.c.start < transfer.end,
                table.c.end > transfer.start,
            )
        ).all()
        run = (transfer.start, transfer.end)
        fresh = runs.without(run, self._spent(connection, transfer))
        own = [
            (row.start, row.end)
            for row in siblings
            if payee.role == ROLE_TERMINAL and row.payee == payee.record_id
        ]
        payable = runs.size(runs.without(run, own))
        from_purse = runs.size(fresh)
        entered = Entered(from_purse, payable - from_purse, transfer.amount_tiyn - payable)
        self._insert(connection, note, transfer, payer, entered, fresh)
        if siblings:
            self._accuse(connection, note, transfer, payer, siblings)
        return entered

    def _spent(self, connection: Connection, transfer: Transfer) -> list[runs.Run]:
        table = schema.spent
        rows = select(table.c.start, table.c.end).where(
            table.c.parent == transfer.parent,
            table.c.start < transfer.end,
            table.c.end > transfer.start,
        )
        return [(start, end) for start, end in connection.execute(rows)]

    def _insert(
        self,
        connection: Connection,
        note: Note,
        transfer: Transfer,
        payer: bytes,
        entered: Entered,
        fresh: list[runs.Run],
    ) -> None:
        row = {
            "record_id": transfer.record_id,
            "note": note.record_id,
            "parent": transfer.parent,
            "start": transfer.start,
            "end": transfer.end,
            "payee": transfer.payee,
            "payment_id": transfer.payment_id,
            "payer": payer,
            "from_purse": entered.from_purse,
            "claimed": entered.claimed,
            "withheld": entered.withheld,
            "raw": transfer.raw,
        }
        connection.execute(insert(schema.transfers), row)
        for start, end in fresh:
            values = {"parent": transfer.parent, "start": start, "end": end}
            connection.execute(insert(schema.spent), values | {"transfer": transfer.record_id})

    def _accuse(
        self,
        connection: Connection,
        note: Note,
        transfer: Transfer,
        payer: bytes,
        siblings: Sequence[Row[Any]],
    ) -> None:
        """Keep a proof for each pair that overlaps, and deny the key and the note."""
        table = schema.proofs
        first = schema.transfers
        kept = connection.execute(
            select(func.count())
            .select_from(table.join(first, first.c.record_id == table.c.first))
            .where(first.c.parent == transfer.parent)
        ).scalar_one()
        authority, evidence = self._evidence(connection, note, transfer)
        for sibling in siblings[: max(0, MAX_PROOFS - kept)]:
            proof = FraudProof(authority, evidence, Transfer.parse(sibling.raw), transfer)
            row = {
                "proof_id": sha256(proof.raw),
                "first": proof.first.record_id,
                "second": proof.second.record_id,
                "payer": payer,
                "found_at": self._office.clock(),
                "raw": proof.raw,
            }
            connection.execute(insert(table), row)
        signer = evidence.owner if isinstance(evidence, Note) else evidence.public_key
        self.deny(connection, keys=[key_id(signer)], notes=[note.note_id])

    def _evidence(
        self, connection: Connection, note: Note, transfer: Transfer
    ) -> tuple[Certificate, Note | Certificate]:
        """What ties the signer of `transfer` to the root."""
        trust = self._office.trust
        if transfer.parent == note.record_id:
            return trust.find(note.issuer, ROLE_ISSUER, ROLE_AUTHORITY), note
        certificates, transfers = schema.certificates, schema.transfers
        raw = connection.execute(
            select(certificates.c.raw)
            .join(transfers, transfers.c.payee == certificates.c.record_id)
            .where(transfers.c.record_id == transfer.parent)
        ).scalar_one()
        holder = Certificate.parse(raw)
        return trust.find(holder.issuer, ROLE_BANK), holder

    def deny(
        self, connection: Connection, *, keys: Iterable[bytes] = (), notes: Iterable[bytes] = ()
    ) -> None:
        """Put KeyIds and note ids on the denylist; a new epoch if any of them is new."""
        table = schema.denied
        epoch = 1 + self._newest_epoch(connection)
        wanted = [(KEY, one) for one in keys] + [(NOTE, one) for one in notes]
        added = 0
        for kind, one in wanted:
            row = {"kind": kind, "id": one, "epoch": epoch}
            added += connection.execute(
                sqlite_insert(table).on_conflict_do_nothing(), row
            ).rowcount
        if added:
            self._publish(connection, epoch)

    def _newest_epoch(self, connection: Connection) -> int:
        newest = select(func.coalesce(func.max(schema.denylists.c.epoch), 0))
        return int(connection.execute(newest).scalar_one())

    def _publish(self, connection: Connection, epoch: int) -> None:
        notary = self._office.participants["notary"]
        table = schema.denied

        def newest(kind: str) -> set[bytes]:
            # A terminal holds MAX_DENIED of a kind; the oldest belong to notes long expired.
            ids = select(table.c.id).where(table.c.kind == kind).order_by(table.c.epoch.desc())
            return set(connection.execute(ids.limit(MAX_DENIED)).scalars())

        denylist = Denylist.issue_list(
            notary.key.sign,
            notary.key.key_id,
            epoch,
            self._office.clock(),
            newest(KEY),
            newest(NOTE),
        )
        connection.execute(insert(schema.denylists), {"epoch": epoch, "raw": denylist.raw})

    def denylist(self) -> Denylist | None:
        """The newest epoch."""
        table = schema.denylists
        with self._office.store.read() as connection:
            newest = select(table.c.raw).order_by(table.c.epoch.desc()).limit(1)
            raw = connection.execute(newest).scalar_one_or_none()
        return None if raw is None else Denylist.parse(raw)


def is_known(connection: Connection, transfer_id: bytes) -> bool:
    """Whether a transfer is in the tree."""
    table = schema.transfers
    known = select(table.c.record_id).where(table.c.record_id == transfer_id)
    return connection.execute(known).one_or_none() is not None


def is_disputed(connection: Connection, transfer_id: bytes) -> bool:
    """Whether a sibling claims some of the same units: true for both, whichever came first."""
    this, other = schema.transfers.alias(), schema.transfers.alias()
    overlapping = (
        select(other.c.record_id)
        .join(this, this.c.parent == other.c.parent)
        .where(
            this.c.record_id == transfer_id,
            other.c.record_id != transfer_id,
            other.c.start < this.c.end,
            other.c.end > this.c.start,
        )
    )
    return connection.execute(overlapping.limit(1)).first() is not None
