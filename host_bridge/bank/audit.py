# SPDX-License-Identifier: Apache-2.0
"""The audit: everything checked again from the signed records alone.

Nothing that settlement computed is believed. Signatures are verified and the tree is built
again here; `audit_money` derives what follows from them and holds it against the postings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from firmware.purse.fraud import verify_proof
from firmware.purse.trust import Rejected
from firmware.purse.verify import check_chain
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.journal import JournalEntry, KeyAttestation, Statement
from firmware.wire.layout import Record, WireError, key_id, sha256
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.token import Token
from firmware.wire.transfer import Transfer
from host_bridge.bank import schema
from host_bridge.bank.audit_money import MoneyAudit, Records, mirror_findings
from host_bridge.bank.office import Finding, Office

_Signed = TypeVar("_Signed", bound=Record)


class Auditor:
    """One run over the whole database, within one read transaction."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._trust = office.trust
        self._findings: list[Finding] = []
        self._records = Records()

    def run(self) -> list[Finding]:
        """The findings; an empty list is a clean audit."""
        try:
            with self._office.store.read() as connection:
                self._check_all(connection)
        except DatabaseError as error:
            self._find(
                "database", self._office.store.path.name, f"it cannot be read: {error.orig}"
            )
        return self._findings

    def _check_all(self, connection: Connection) -> None:
        self._check_holders(connection)
        self._check_notes(connection)
        self._check_transfers(connection)
        self._check_signed_lists(connection)
        self._check_journals(connection)
        self._check_proofs(connection)
        self._findings += MoneyAudit(connection, self._records).run()
        self._findings += mirror_findings(connection, self._office)

    def _find(self, kind: str, subject: str, sentence: str) -> None:
        self._findings.append(Finding(kind, subject, sentence))

    # ------------------------------------------------------------------ records

    def _check_holders(self, connection: Connection) -> None:
        for row in connection.execute(select(schema.certificates)).all():
            subject = f"certificate {row.record_id.hex()[:16]}"
            try:
                certificate = Certificate.parse(row.raw)
                self._trust.check_holder(certificate, row.role, certificate.not_before)
            except (WireError, Rejected) as error:
                self._find("certificate", subject, str(error))
                continue
            stored = (row.record_id, row.serial, row.public_key)
            signed = (certificate.record_id, certificate.serial, certificate.public_key)
            if stored != signed:
                self._find("certificate", subject, "its row differs from what was signed")
            self._records.holders[certificate.record_id] = certificate
            self._records.clients[certificate.serial] = row.client_id

    def _check_notes(self, connection: Connection) -> None:
        identities = {holder.serial: holder for holder in self._records.holders.values()}
        for row in connection.execute(select(schema.notes)).all():
            subject = f"note {row.note_id.hex()[:16]}"
            try:
                note = Note.parse(row.raw)
                self._trust.check_note(note)
                attestation = KeyAttestation.parse(row.attestation)
            except (WireError, Rejected) as error:
                self._find("note", subject, str(error))
                continue
            stored = (row.record_id, row.note_id, row.owner, row.value)
            if stored != (note.record_id, note.note_id, note.owner, note.value):
                self._find("note", subject, "its row differs from what was signed")
            identity = identities.get(row.serial)
            vouched = identity is not None and self._trust.signed(identity.public_key, attestation)
            if not vouched or (attestation.serial, attestation.public_key) != (
                row.serial,
                note.owner,
            ):
                self._find("note", subject, "no purse vouches for the key that owns it")
            self._records.notes[note.record_id] = note
            self._records.serials[note.record_id] = row.serial

    def _check_transfers(self, connection: Connection) -> None:
        rows = connection.execute(select(schema.transfers)).all()
        for row in rows:
            try:
                transfer = Transfer.parse(row.raw)
            except WireError as error:
                self._find("transfer", row.record_id.hex()[:16], str(error))
                continue
            self._records.transfers[transfer.record_id] = transfer
            stored = (row.record_id, row.parent, row.start, row.end, row.payee, row.payment_id)
            signed = (transfer.record_id, transfer.parent, transfer.start, transfer.end)
            if stored != (*signed, transfer.payee, transfer.payment_id):
                self._find(
                    "transfer", row.record_id.hex()[:16], "its row differs from what was signed"
                )
        bad = set()
        for record_id, transfer in self._records.transfers.items():
            try:
                if transfer.payee not in self._records.holders:
                    raise Rejected("payee", "its payee is not in the books")
                check_chain(self._trust, self._token(transfer))
            except Rejected as error:
                self._find("transfer", record_id.hex()[:16], error.sentence)
                bad.add(record_id)
        for record_id in bad:
            del self._records.transfers[record_id]

    def _token(self, transfer: Transfer) -> Token:
        """The transfer with its chain, back to a note. Raises Rejected if there is none.

        The chain is verified whole, so a transfer behind a bad one is bad as well.
        """
        hops: list[tuple[Certificate, Transfer]] = []
        step = transfer
        while step.parent not in self._records.notes:  # ends: a hash cannot be its own ancestor
            before = self._records.transfers.get(step.parent)
            if before is None or before.payee not in self._records.holders:
                raise Rejected("chain", "what it came from is not in the books")
            hops.insert(0, (self._records.holders[before.payee], before))
            step = before
        return Token(self._records.notes[step.parent], hops, transfer)

    def _check_signed_lists(self, connection: Connection) -> None:
        notary = self._office.certificate("notary")
        banks = {bank.certificate.key_id: bank.certificate for bank in self._office.banks}
        for raw in connection.execute(select(schema.policies.c.raw)).scalars():
            self._check_signed("policy", raw, Policy.parse, lambda policy: banks[policy.bank])
        for raw in connection.execute(select(schema.acknowledgements.c.raw)).scalars():
            self._check_signed(
                "acknowledgement", raw, Acknowledgement.parse, lambda word: banks[word.bank]
            )
        for raw in connection.execute(select(schema.denylists.c.raw)).scalars():
            self._check_signed("denylist", raw, Denylist.parse, lambda _: notary)

    def _check_signed(
        self,
        kind: str,
        raw: bytes,
        parse: Callable[[bytes], _Signed],
        signer_of: Callable[[_Signed], Certificate],
    ) -> None:
        try:
            record = parse(raw)
            is_signed = self._trust.signed(signer_of(record).public_key, record)
        except (WireError, KeyError):
            is_signed = False
        if not is_signed:
            self._find(kind, sha256(raw)[:8].hex(), "it is not what its author signed")

    def _check_journals(self, connection: Connection) -> None:
        identities = {holder.serial: holder for holder in self._records.holders.values()}
        points: dict[bytes, set[bytes]] = defaultdict(set)
        for row in connection.execute(select(schema.journal)).all():
            try:
                entry = JournalEntry.parse(row.body)
                good = (entry.chained(row.before), entry.counter) == (row.chain, row.counter)
            except WireError:
                good = False
            if not good:
                self._find("journal", row.serial.hex(), f"entry {row.counter} was changed")
            points[row.serial].add(row.chain)
        for row in connection.execute(select(schema.statements)).all():
            subject = f"statement {row.record_id.hex()[:16]}"
            try:
                statement = Statement.parse(row.raw)
            except WireError as error:
                self._find("statement", subject, str(error))
                continue
            identity = identities.get(statement.serial)
            if identity is None or not self._trust.signed(identity.public_key, statement):
                self._find("statement", subject, "it is not signed by its purse")
            elif statement.entries and statement.head not in points[statement.serial]:
                self._find("statement", subject, "the entries that it states are gone")

    def _check_proofs(self, connection: Connection) -> None:
        denied = {row.id for row in connection.execute(select(schema.denied)).all()}
        for row in connection.execute(select(schema.proofs)).all():
            subject = f"proof {row.proof_id.hex()[:16]}"
            try:
                proof = FraudProof.parse(row.raw)
                signer = verify_proof(self._trust.root, self._trust.verify, proof)
            except (WireError, Rejected) as error:
                self._find("proof", subject, str(error))
                continue
            if key_id(signer) not in denied:
                self._find("proof", subject, "the key that spent twice is not denied")
