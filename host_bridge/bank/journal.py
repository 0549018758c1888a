# SPDX-License-Identifier: Apache-2.0
"""Purses' journals: continuity, forks, acknowledgements, and what they say was paid.

A journal is the purse's own word, signed over its hash chain. Two successors of one point of
the chain are a fork: the purse was cloned or its memory put back, and it is quarantined. Its
transfers are settled all the same, since each stands on its own signature.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from firmware.purse.trust import Rejected
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import ITEM_EXPORT, ITEM_SALE, Bundle, PurseExport
from firmware.wire.certificate import ROLE_TERMINAL, Certificate
from firmware.wire.journal import CHAIN_START, JournalEntry
from firmware.wire.layout import WireError, key_id, sha256
from firmware.wire.token import parse_tokens
from firmware.wire.transfer import PAYMENT_ID_SIZE
from host_bridge.bank import schema
from host_bridge.bank.notary import Notary, is_known
from host_bridge.bank.office import Finding, Office
from host_bridge.bank.policies import current_policy
from host_bridge.bank.registry import holder_row, purse_row, take_challenge
from host_bridge.bank.rollback import note_missing
from host_bridge.bank.seals import Seal, unsealed
from host_bridge.bank.settle import Loose, Settlement
from host_bridge.sync.port import BankRefused, PurseSync, SaleResult, SaleState

FORK = "fork"

_SEAL_CHAIN_SIZE = 8
_BLOCKED = "This card is blocked; its holder should ask the bank that gave it out."


class JournalDesk:
    """Takes exports and bundles, gives acknowledgements."""

    def __init__(self, office: Office, notary: Notary, settlement: Settlement) -> None:
        self._office = office
        self._notary = notary
        self._settlement = settlement

    def upload(self, export: PurseExport) -> PurseSync:
        """One purse's export over a fresh challenge. Raises BankRefused."""
        return self._take(export, in_bundle=False)

    def upload_bundle(self, bundle: Bundle) -> list[SaleResult]:
        """Every item in a transaction of its own, so that a bad one spoils no other (B07)."""
        self._check_bundle(bundle)
        results = []
        for kind, raw in bundle.items:
            if kind == ITEM_SALE:
                results.append(self._bundled_sale(raw))
            elif kind == ITEM_EXPORT:
                self._bundled_export(raw)
        return results  # certificates are for other readers: the bank has its own

    def _check_bundle(self, bundle: Bundle) -> None:
        trust = self._office.trust
        with self._office.store.read() as connection:
            holder = holder_row(connection, bundle.terminal.record_id)
        if holder is None or holder.role != ROLE_TERMINAL:
            raise BankRefused("The bundle's terminal is not registered.")
        if not trust.verify(bundle.terminal.public_key, sha256(bundle.body), bundle.signature):
            raise BankRefused("The bundle is not signed by its terminal.")

    def _bundled_sale(self, raw: bytes) -> SaleResult:
        try:
            return self._settlement.upload_sale(parse_tokens(raw))
        except WireError as error:
            sentence = f"The payment cannot be read: {error}."
            with self._office.store.write() as connection:
                self._office.keep_evidence(connection, "format", sentence, raw)
            return SaleResult(bytes(PAYMENT_ID_SIZE), SaleState.REFUSED, 0, sentence)

    def _bundled_export(self, raw: bytes) -> None:
        try:
            self._take(PurseExport.parse(raw), in_bundle=True)
        except (WireError, BankRefused) as error:
            with self._office.store.write() as connection:
                self._office.keep_evidence(connection, "bundled export", str(error), raw)

    def take_rescued(self, export: PurseExport, *, has_locked: bool) -> list[str]:
        """An export out of a rescue file; the sentences of what was refused.

        has_locked: the purse says that it locked itself.
        """
        try:
            self._take(export, in_bundle=True)
        except BankRefused as error:
            return [f"the card's export was refused: {error}"]
        with self._office.store.write() as connection:
            note_missing(connection, export, self._office.clock(), has_locked=has_locked)
        return []

    def newest(self, serial: bytes) -> PurseSync | None:
        """The acknowledgement that covers most of the purse's journal."""
        acks, statements = schema.acknowledgements, schema.statements
        with self._office.store.read() as connection:
            row = connection.execute(
                select(acks.c.raw, statements.c.policy_version)
                .join(statements, statements.c.record_id == acks.c.statement)
                .where(acks.c.serial == serial)
                .order_by(acks.c.counter.desc(), acks.c.time.desc())
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            purse = purse_row(connection, serial)
            return self._answer(connection, purse, row.raw, row.policy_version)

    def _take(self, export: PurseExport, *, in_bundle: bool) -> PurseSync:
        # A refusal is an answer, not an accident: what was learned is committed before it is said.
        with self._office.store.write() as connection:
            answer = self._judge(connection, export, in_bundle)
        if isinstance(answer, BankRefused):
            raise answer
        return answer

    def _judge(
        self, connection: Connection, export: PurseExport, in_bundle: bool
    ) -> PurseSync | BankRefused:
        statement = export.statement
        purse = purse_row(connection, statement.serial)
        fault = self._fault_of_papers(purse, export)
        if fault is not None:
            self._keep(connection, fault, export)
            return BankRefused(fault.sentence)
        table = schema.statements
        known = connection.execute(
            select(table.c.record_id).where(table.c.record_id == statement.record_id)
        ).first()
        if known is None and not take_challenge(connection, statement.challenge) and not in_bundle:
            return BankRefused("The challenge is unknown or was used: export the card again.")
        fault = _fault_of_history(connection, export)
        done = self._settle_entries(connection, purse, export)
        if fault is not None:
            self._keep(connection, fault, export)
            if fault.reason == FORK:
                self._quarantine(connection, purse)
            return BankRefused(fault.sentence)
        is_its_newest = known is None and not in_bundle
        now = self._office.clock()
        note_missing(connection, export, now, is_its_newest=is_its_newest)
        if purse.state != "active":
            return BankRefused(_BLOCKED)
        self._store(connection, export)
        raw = self._acknowledge(connection, purse, export, done)
        return self._answer(connection, purse, raw, statement.policy_version)

    def _keep(self, connection: Connection, fault: Rejected, export: PurseExport) -> None:
        self._office.keep_evidence(connection, fault.reason, fault.sentence, export.raw)
        finding = Finding(fault.reason, export.statement.serial.hex(), fault.sentence)
        self._office.note_finding(connection, finding)

    def _fault_of_papers(self, purse: Row[Any], export: PurseExport) -> Rejected | None:
        """Whether certificate, signature and hash chain are of one piece.

        Only then are the entries the purse's own word; a carrier may have changed them.
        """
        statement = export.statement
        identity = Certificate.parse(purse.raw)
        if export.certificate.record_id != identity.record_id:
            return Rejected("certificate", "The certificate is not this card's.")
        if not self._office.trust.signed(identity.public_key, statement):
            return Rejected("statement", "The statement is not signed by this card.")
        if not export.is_whole:
            return Rejected("entries", "The entries are not those that the card signed.")
        return None

    def _settle_entries(
        self, connection: Connection, purse: Row[Any], export: PurseExport
    ) -> list[bool]:
        """Settle each entry's transfers; which entries the purse need not bring again."""
        before = export.statement.anchor
        done = []
        for entry in export.entries:
            self._check_seals(connection, purse, entry, before)
            if entry.is_signed:
                outcomes = [
                    self._settlement.settle_loose(connection, transfer)
                    for transfer in entry.transfers
                ]
                done.append(not {Loose.UNSIGNED, Loose.WAITING} & set(outcomes))
            else:
                bodies = entry.transfer_bodies
                done.append(all(is_known(connection, sha256(body)) for body in bodies))
            before = entry.chained(before)
        return done

    def _check_seals(
        self, connection: Connection, purse: Row[Any], entry: JournalEntry, before: bytes
    ) -> None:
        """What the purse sealed for its bank must be the entry's place in the journal."""
        for body in entry.transfer_bodies:
            if unsealed(purse.view_key, body) != Seal(entry.counter, before[:_SEAL_CHAIN_SIZE]):
                sentence = f"The seal of payment {entry.counter} names another place."
                finding = Finding("seal", purse.serial.hex(), sentence)
                self._office.note_finding(connection, finding)

    def _quarantine(self, connection: Connection, purse: Row[Any]) -> None:
        table, notes = schema.purses, schema.notes
        connection.execute(
            update(table).where(table.c.serial == purse.serial).values(state="quarantined")
        )
        owners = connection.execute(
            select(notes.c.owner).where(notes.c.serial == purse.serial)
        ).scalars()
        identity = Certificate.parse(purse.raw)
        keys = [identity.key_id, *(key_id(owner) for owner in owners)]
        self._notary.deny(connection, keys=keys)

    def _store(self, connection: Connection, export: PurseExport) -> None:
        statement = export.statement
        row = {
            "record_id": statement.record_id,
            "serial": statement.serial,
            "policy_version": statement.policy_version,
            "raw": statement.raw,
        }
        connection.execute(insert(schema.statements).on_conflict_do_nothing(), row)
        chain = statement.anchor
        for entry in export.entries:
            before, chain = chain, entry.chained(chain)
            values = {
                "serial": statement.serial,
                "counter": entry.counter,
                "before": before,
                "chain": chain,
                "body": entry.body,
            }
            connection.execute(insert(schema.journal).on_conflict_do_nothing(), values)

    def _acknowledge(
        self, connection: Connection, purse: Row[Any], export: PurseExport, done: list[bool]
    ) -> bytes:
        """The acknowledgement up to the first entry that is not settled, stored."""
        statement, bank = export.statement, self._office.bank(purse.bank)
        counter, chain = statement.acknowledged, statement.anchor
        for entry, is_done in zip(export.entries, done, strict=True):
            if not is_done:
                break
            counter, chain = entry.counter, entry.chained(chain)
        table = schema.acknowledgements
        known = connection.execute(
            select(table.c.raw).where(
                table.c.statement == statement.record_id, table.c.counter == counter
            )
        ).scalar_one_or_none()
        if known is not None:
            return bytes(known)
        now = self._office.clock()
        acknowledgement: Acknowledgement = Acknowledgement.issue(
            bank.key.sign,
            serial=purse.serial,
            bank=bank.key.key_id,
            counter=counter,
            time=now,
            policy_version=current_policy(connection, purse.bank).policy_version,
            chain=chain,
        )
        row = {"statement": statement.record_id, "counter": counter, "serial": purse.serial}
        connection.execute(insert(table), row | {"time": now, "raw": acknowledgement.raw})
        return bytes(acknowledgement.raw)

    def _answer(
        self, connection: Connection, purse: Row[Any], raw: bytes, policy_version: int
    ) -> PurseSync:
        """The acknowledgement, with the policy if it is newer and for purses of this tier."""
        policy = current_policy(connection, purse.bank)
        fits = policy.tier == Certificate.parse(purse.raw).tier
        newer = policy if fits and policy.policy_version > policy_version else None
        return PurseSync(Acknowledgement.parse(raw), newer)


def _fault_of_history(connection: Connection, export: PurseExport) -> Rejected | None:
    """Whether the entries continue what the bank knows of this purse, and fork nothing."""
    statement, table = export.statement, schema.journal
    mine = select(table.c.chain).where(table.c.serial == statement.serial)
    if statement.anchor != CHAIN_START:
        if connection.execute(mine.where(table.c.chain == statement.anchor)).first() is None:
            at = mine.where(table.c.counter == statement.acknowledged)
            if connection.execute(at).first() is not None:
                return _forked()
            return Rejected("gap", "The card's journal begins where the bank knows nothing.")
    chain, counter = statement.anchor, statement.acknowledged
    for entry in export.entries:
        if entry.counter <= counter:
            return Rejected("order", "The card's journal is not in order.")
        before, chain, counter = chain, entry.chained(chain), entry.counter
        same = mine.where(or_(table.c.before == before, table.c.counter == counter))
        if any(known != chain for known in connection.execute(same).scalars()):
            return _forked()
    if counter > statement.counter:
        return Rejected("order", "The card's counter is behind its journal.")
    return None


def _forked() -> Rejected:
    return Rejected(FORK, "This card has two histories, as a copied card has. It is blocked.")
