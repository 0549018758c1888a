# SPDX-License-Identifier: Apache-2.0
"""Digital tenge into the world and back: issue to banks, load, label, redeem."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from firmware.wire.certificate import PURPOSE_GENERAL, ROLE_AUTHORITY, Certificate
from firmware.wire.denylist import NOTE_ID_SIZE
from firmware.wire.journal import KeyAttestation
from firmware.wire.note import NOTE_NO_PURSE_TO_PURSE, Note
from firmware.wire.policy import BAN_LOAD
from host_bridge.bank import ledger, schema
from host_bridge.bank.claims import pay_open_claims
from host_bridge.bank.ledger import DT, NBK, bank_book, client_book, credit, current, debit
from host_bridge.bank.office import Office, Participant
from host_bridge.bank.policies import current_policy
from host_bridge.bank.registry import client_row, purse_row, take_challenge
from host_bridge.money import MAX_TIYN, format_tiyn
from host_bridge.sync.port import BankRefused

_REFERENCE_BYTES = 16


class Issuing:
    """What creates digital tenge and notes, and what takes them back at par."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def issue(self, bank_name: str, amount_tiyn: int, reference: bytes | None) -> None:
        """Reserves at NBK become digital tenge in the bank's digital wallet (NUM-T2)."""
        office = self._office
        office.bank(bank_name)
        book = bank_book(bank_name)
        name = ledger.scoped(bank_name, reference, office.random(_REFERENCE_BYTES))
        lines = [
            debit(NBK, f"corr:{bank_name}", amount_tiyn),
            credit(NBK, "dt", amount_tiyn),
            debit(book, "dt", amount_tiyn),
            credit(book, "corr", amount_tiyn),
            debit(DT, ledger.reserve(bank_name), amount_tiyn),
            credit(DT, "issued", amount_tiyn),
        ]
        with office.store.write() as connection:
            if ledger.repeats(connection, ledger.ISSUE, name, lines):
                return
            available = ledger.balance(connection, book, "corr")
            ledger.require(
                available, amount_tiyn, f"'{bank_name}' has {format_tiyn(available)} at NBK."
            )
            ledger.post(connection, ledger.ISSUE, name, office.clock(), lines)
            pay_open_claims(connection, bank_name, office.clock())

    def load(
        self,
        bank_name: str,
        serial: bytes,
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int,
        *,
        from_cash: bool,
    ) -> Note:
        """General money for a client of the bank; see `ReferenceBank.load`."""
        if purpose != PURPOSE_GENERAL:
            raise BankRefused("Only a public authority may label money with a purpose.")
        office = self._office
        bank = office.bank(bank_name)
        with office.store.write() as connection:
            purse = purse_row(connection, serial)
            if purse.bank != bank_name:
                raise BankRefused(f"The purse {serial.hex()} is not served by '{bank_name}'.")
            known = self._known_note(connection, purse, attestation)
            if known is not None:
                return known
            book = bank_book(bank_name)
            if from_cash:
                source = (client_book(purse.client_id), "cash")
                available = ledger.balance(connection, *source)
                paid = [
                    debit(client_book(purse.client_id), "elsewhere", amount_tiyn),
                    credit(*source, amount_tiyn),
                    debit(book, "cash", amount_tiyn),
                ]
            else:
                available = -ledger.balance(connection, book, current(purse.client_id))
                paid = [debit(book, current(purse.client_id), amount_tiyn)]
            ledger.require(
                available, amount_tiyn, f"'{purse.client_id}' has only {format_tiyn(available)}."
            )
            paid += _from_reserve(connection, bank, amount_tiyn)
            note = self._note(connection, "issuer", purse, attestation, amount_tiyn, purpose)
            self._post(connection, ledger.LOAD, note, purse, paid)
            return note

    def pass_on(
        self, merchant_id: str, serial: bytes, attestation: KeyAttestation, amount_tiyn: int
    ) -> Note:
        """A wallet's digital tenge as a note for a purse; see `ReferenceBank.pass_on`."""
        office = self._office
        with office.store.write() as connection:
            client_row(connection, merchant_id)
            purse = purse_row(connection, serial)
            known = self._known_note(connection, purse, attestation)
            if known is not None:
                return known
            wallet = ledger.wallet(merchant_id)
            available = ledger.balance(connection, DT, wallet)
            ledger.require(
                available,
                amount_tiyn,
                f"The wallet of '{merchant_id}' has only {format_tiyn(available)}.",
            )
            note = self._note(
                connection, "issuer", purse, attestation, amount_tiyn, PURPOSE_GENERAL
            )
            paid = [credit(DT, wallet, amount_tiyn)]
            self._post(connection, ledger.PASS_ON, note, purse, paid)
            return note

    def label(
        self,
        authority_name: str,
        serial: bytes,
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int,
    ) -> Note:
        """Money of a purpose, out of an authority's budget; see `ReferenceBank.label`."""
        office = self._office
        authority = office.participant(authority_name, ROLE_AUTHORITY)
        if purpose == PURPOSE_GENERAL or purpose not in authority.certificate.purposes:
            raise BankRefused(f"'{authority_name}' may not label money with purpose {purpose}.")
        bank = office.bank(authority.bank)
        with office.store.write() as connection:
            purse = purse_row(connection, serial)
            known = self._known_note(connection, purse, attestation)
            if known is not None:
                return known
            budget = (bank_book(bank.name), f"budget:{authority_name}")
            available = -ledger.balance(connection, *budget)
            ledger.require(
                available, amount_tiyn, f"'{authority_name}' has only {format_tiyn(available)}."
            )
            paid = [debit(*budget, amount_tiyn)]
            paid += _from_reserve(connection, bank, amount_tiyn)
            note = self._note(connection, authority_name, purse, attestation, amount_tiyn, purpose)
            self._post(connection, ledger.LABEL, note, purse, paid)
            return note

    def _known_note(
        self, connection: Connection, purse: Row[Any], attestation: KeyAttestation
    ) -> Note | None:
        """The note that this key has already; otherwise the attestation's challenge is used up.

        Raises BankRefused unless the purse's identity key vouches for the token key.
        """
        identity = Certificate.parse(purse.raw)
        signed = self._office.trust.signed(identity.public_key, attestation)
        if attestation.serial != purse.serial or not signed:
            raise BankRefused("The key's attestation is not by this purse.")
        table = schema.notes
        known = connection.execute(
            select(table).where(table.c.owner == attestation.public_key)
        ).one_or_none()
        if known is not None:
            if known.serial != purse.serial:
                raise BankRefused("This key holds a note of another purse.")
            note: Note = Note.parse(known.raw)
            return note
        if purse.state != "active" or _has_spent_twice(connection, purse.serial):
            raise BankRefused("This purse is blocked; it gets no new money.")
        if not take_challenge(connection, attestation.challenge):
            raise BankRefused("The attestation's challenge is unknown or was used already.")
        return None

    def _note(
        self,
        connection: Connection,
        signer_name: str,
        purse: Row[Any],
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int,
    ) -> Note:
        """Sign and store a note for an attested key, with the caps of the purse's bank."""
        office, now = self._office, self._office.clock()
        signer = office.participants[signer_name]
        _check_room(connection, purse, amount_tiyn)
        caps = office.bank(purse.bank).note_caps
        note: Note = Note.issue(
            signer.key.sign,
            currency=office.currency,
            note_id=office.random(NOTE_ID_SIZE),
            value=amount_tiyn,
            purpose=purpose,
            hop_limit=caps.hop_limit,
            min_tier=caps.min_tier,
            max_payment=caps.max_payment_tiyn,
            max_transfers=caps.max_transfers,
            flags=NOTE_NO_PURSE_TO_PURSE if purpose else 0,
            issued_at=now,
            expires_at=now + caps.validity_seconds,
            issuer=signer.key.key_id,
            owner=attestation.public_key,
        )
        row = {
            "record_id": note.record_id,
            "note_id": note.note_id,
            "owner": note.owner,
            "serial": purse.serial,
            "value": note.value,
            "attestation": attestation.raw,
            "raw": note.raw,
        }
        connection.execute(insert(schema.notes), row)
        return note

    def _post(
        self,
        connection: Connection,
        kind: str,
        note: Note,
        purse: Row[Any],
        paid: list[ledger.Line],
    ) -> None:
        """Post what a note moved into a purse; `paid` says where it came from."""
        lines = [*paid, debit(DT, ledger.purse(purse.serial), note.value)]
        ledger.post(connection, kind, note.record_id, self._office.clock(), lines)

    def redeem(self, merchant_id: str, amount_tiyn: int, reference: bytes | None) -> None:
        """Digital wallet to current account, at par, at the merchant's own bank."""
        office = self._office
        name = ledger.scoped(merchant_id, reference, office.random(_REFERENCE_BYTES))
        with office.store.write() as connection:
            bank_name = client_row(connection, merchant_id).bank
            lines = [
                debit(bank_book(bank_name), "dt", amount_tiyn),
                credit(bank_book(bank_name), current(merchant_id), amount_tiyn),
                debit(DT, ledger.reserve(bank_name), amount_tiyn),
                credit(DT, ledger.wallet(merchant_id), amount_tiyn),
            ]
            if ledger.repeats(connection, ledger.REDEEM, name, lines):
                return
            available = ledger.balance(connection, DT, ledger.wallet(merchant_id))
            ledger.require(
                available,
                amount_tiyn,
                f"The wallet of '{merchant_id}' has only {format_tiyn(available)}.",
            )
            ledger.post(connection, ledger.REDEEM, name, office.clock(), lines)
            pay_open_claims(connection, bank_name, office.clock())


def _from_reserve(
    connection: Connection, bank: Participant, amount_tiyn: int
) -> list[ledger.Line]:
    """The lines that take digital tenge out of a bank's own wallet. Raises BankRefused."""
    available = ledger.balance(connection, DT, ledger.reserve(bank.name))
    ledger.require(
        available, amount_tiyn, f"'{bank.name}' has {format_tiyn(available)} of digital tenge."
    )
    return [
        credit(bank_book(bank.name), "dt", amount_tiyn),
        credit(DT, ledger.reserve(bank.name), amount_tiyn),
    ]


def _check_room(connection: Connection, purse: Row[Any], amount_tiyn: int) -> None:
    """Refuses what the purse itself would refuse, before its money is in a note."""
    if amount_tiyn > MAX_TIYN:
        raise BankRefused(f"A note holds at most {format_tiyn(MAX_TIYN)}.")
    policy = current_policy(connection, purse.bank)
    if policy.bans(BAN_LOAD):
        raise BankRefused(f"'{purse.bank}' allows no loading now.")
    held = ledger.balance(connection, DT, ledger.purse(purse.serial))
    if held + amount_tiyn > policy.limits.max_balance:
        limit = format_tiyn(policy.limits.max_balance)
        raise BankRefused(
            f"The purse would hold more than {limit}; it has {format_tiyn(held)} outstanding."
        )


def _has_spent_twice(connection: Connection, serial: bytes) -> bool:
    table = schema.proofs
    found = connection.execute(select(table.c.proof_id).where(table.c.payer == serial).limit(1))
    return found.first() is not None
