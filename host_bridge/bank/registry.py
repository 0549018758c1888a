# SPDX-License-Identifier: Apache-2.0
"""Who is who: clients after KYC, their purses and terminals, view keys, challenges."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from firmware.wire.certificate import (
    LABEL_SIZE,
    PURPOSE_BEST_MATCH,
    PURPOSE_SLOTS,
    ROLE_PURSE,
    ROLE_TERMINAL,
    TIER_CARD,
    TIER_MICROCONTROLLER,
    Certificate,
    label_bytes,
)
from firmware.wire.layout import SERIAL_SIZE, WireError
from firmware.wire.limits import CHALLENGE_SIZE, VIEW_KEY_SIZE
from host_bridge.bank import schema
from host_bridge.bank.office import Office
from host_bridge.sync.port import BankRefused

MAX_CHALLENGES = 4096  # open at a time; the oldest makes room, its holder asks for another

_HOLDER_SECONDS = 3 * 365 * 86_400
_CLOCK_SKEW_SECONDS = 86_400
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_MAX_TEXT = 64

ClientRow = Row[Any]


class Registry:
    """The register of clients, certificates and open challenges."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def add_client(self, bank_name: str, client_id: str, name: str, kyc_reference: str) -> None:
        """Register a person. The same again changes nothing; other data is refused."""
        self._add(bank_name, client_id, name, kyc_reference, is_merchant=0, mcc=0, purposes=())

    def add_merchant(
        self,
        bank_name: str,
        merchant_id: str,
        name: str,
        kyc_reference: str,
        mcc: int,
        purposes: tuple[int, ...],
    ) -> None:
        """Register a merchant with its category and the purposes that its tills accept."""
        if not 0 <= mcc <= 9999:
            raise BankRefused(f"{mcc} is not a merchant category code.")
        if len(purposes) > PURPOSE_SLOTS or not all(0 < p < PURPOSE_BEST_MATCH for p in purposes):
            raise BankRefused(f"A terminal accepts at most {PURPOSE_SLOTS} purposes, 1 to 65534.")
        if len(name.encode()) > LABEL_SIZE:
            raise BankRefused(f"'{name}' does not fit on a card's display: {LABEL_SIZE} bytes.")
        self._add(
            bank_name,
            merchant_id,
            name,
            kyc_reference,
            is_merchant=1,
            mcc=mcc,
            purposes=purposes,
        )

    def _add(
        self,
        bank_name: str,
        client_id: str,
        name: str,
        kyc_reference: str,
        *,
        is_merchant: int,
        mcc: int,
        purposes: tuple[int, ...],
    ) -> None:
        self._office.bank(bank_name)
        if not _CLIENT_ID.fullmatch(client_id):
            raise BankRefused(f"'{client_id}' is not a client's id (letters, digits, . _ -).")
        for text in (name, kyc_reference):
            if not text or len(text) > _MAX_TEXT or not text.isprintable():
                raise BankRefused(f"A name and a KYC reference have 1 to {_MAX_TEXT} characters.")
        row = {
            "client_id": client_id,
            "bank": bank_name,
            "name": name,
            "kyc_reference": kyc_reference,
            "is_merchant": is_merchant,
            "mcc": mcc,
            "purposes": json.dumps(purposes),
        }
        table = schema.clients
        with self._office.store.write() as connection:
            known = connection.execute(select(table).where(table.c.client_id == client_id)).first()
            if known is None:
                connection.execute(insert(table), row)
            elif dict(known._mapping) != row:
                raise BankRefused(f"'{client_id}' is registered already, with other data.")

    def certify_purse(
        self,
        bank_name: str,
        client_id: str,
        public_key: bytes,
        *,
        tier: int,
        view_key: bytes,
        now: int | None,
    ) -> Certificate:
        """A purse's identity certificate; the bank keeps the view key.

        A personalisation that was cut is begun anew, with a view key of its own: the newest one
        is kept until there is money on the purse, and is not to be changed from then on.
        """
        if len(view_key) != VIEW_KEY_SIZE:
            raise BankRefused(f"A view key has {VIEW_KEY_SIZE} bytes.")
        if not 0 <= tier <= TIER_CARD:
            raise BankRefused(f"There is no tier {tier}.")
        with self._office.store.write() as connection:
            client = _client_of(connection, bank_name, client_id)
            certificate, is_new = self._certify(
                connection, client, ROLE_PURSE, public_key, tier, now
            )
            if is_new:
                row = {"serial": certificate.serial, "view_key": view_key, "state": "active"}
                connection.execute(insert(schema.purses), row)
            else:
                _renew_view_key(connection, certificate.serial, view_key)
            return certificate

    def certify_terminal(
        self, bank_name: str, merchant_id: str, public_key: bytes, *, now: int | None
    ) -> Certificate:
        """A terminal's certificate, with its merchant's name, category and purposes."""
        with self._office.store.write() as connection:
            merchant = _client_of(connection, bank_name, merchant_id)
            if not merchant.is_merchant:
                raise BankRefused(f"'{merchant_id}' is not a merchant.")
            return self._certify(
                connection, merchant, ROLE_TERMINAL, public_key, TIER_MICROCONTROLLER, now
            )[0]

    def _certify(
        self,
        connection: Connection,
        client: ClientRow,
        role: int,
        public_key: bytes,
        tier: int,
        now: int | None,
    ) -> tuple[Certificate, bool]:
        table = schema.certificates
        known = connection.execute(
            select(table).where(table.c.public_key == public_key)
        ).one_or_none()
        if known is not None:
            if (known.role, known.client_id) != (role, client.client_id):
                raise BankRefused("This key is certified already, for somebody else.")
            return Certificate.parse(known.raw), False
        certificate = self._sign(client, role, public_key, tier, now)
        row = {
            "record_id": certificate.record_id,
            "role": role,
            "serial": certificate.serial,
            "public_key": public_key,
            "client_id": client.client_id,
            "raw": certificate.raw,
        }
        connection.execute(insert(table), row)
        return certificate, True

    def _sign(
        self, client: ClientRow, role: int, public_key: bytes, tier: int, now: int | None
    ) -> Certificate:
        bank = self._office.bank(client.bank)
        begin = self._office.clock() if now is None else now
        purposes = tuple(json.loads(client.purposes)) if role == ROLE_TERMINAL else ()
        try:
            certificate: Certificate = Certificate.issue(
                bank.key.sign,
                role=role,
                tier=tier,
                serial=self._office.random(SERIAL_SIZE),
                issuer=bank.key.key_id,
                public_key=public_key,
                not_before=max(begin - _CLOCK_SKEW_SECONDS, bank.certificate.not_before),
                not_after=min(begin + _HOLDER_SECONDS, bank.certificate.not_after),
                currency=self._office.currency,
                mcc=client.mcc if role == ROLE_TERMINAL else 0,
                purposes=purposes + (0,) * (PURPOSE_SLOTS - len(purposes)),
                label=label_bytes(client.name if role == ROLE_TERMINAL else ""),
            )
        except WireError as error:
            raise BankRefused(f"The key cannot be certified: {error}.") from None
        return certificate

    def challenge(self) -> bytes:
        """Fresh bytes that one export or one attestation may answer."""
        table = schema.challenges
        challenge = self._office.random(CHALLENGE_SIZE)
        with self._office.store.write() as connection:
            connection.execute(insert(table), {"challenge": challenge})
            newest = select(func.max(table.c.id)).scalar_subquery()
            connection.execute(delete(table).where(table.c.id <= newest - MAX_CHALLENGES))
        return challenge


def take_challenge(connection: Connection, challenge: bytes) -> bool:
    """Use a challenge up; whether it was open."""
    table = schema.challenges
    gone = connection.execute(delete(table).where(table.c.challenge == challenge))
    return gone.rowcount == 1


def client_row(connection: Connection, client_id: str) -> ClientRow:
    """A client or merchant. Raises BankRefused."""
    table = schema.clients
    row = connection.execute(select(table).where(table.c.client_id == client_id)).one_or_none()
    if row is None:
        raise BankRefused(f"There is no client called '{client_id}'.")
    return row


def _client_of(connection: Connection, bank_name: str, client_id: str) -> ClientRow:
    row = client_row(connection, client_id)
    if row.bank != bank_name:
        raise BankRefused(f"'{client_id}' is no client of '{bank_name}'.")
    return row


def _renew_view_key(connection: Connection, serial: bytes, view_key: bytes) -> None:
    table, notes = schema.purses, schema.notes
    if purse_row(connection, serial).view_key == view_key:
        return
    if connection.execute(select(notes.c.note_id).where(notes.c.serial == serial)).first():
        raise BankRefused("This purse is in use already; its view key is not changed any more.")
    connection.execute(update(table).where(table.c.serial == serial).values(view_key=view_key))


def purse_row(connection: Connection, serial: bytes) -> Row[Any]:
    """A purse with its certificate (`raw`), client and bank. Raises BankRefused."""
    certificates, clients, purses = schema.certificates, schema.clients, schema.purses
    row = connection.execute(
        select(
            purses,
            certificates.c.record_id,
            certificates.c.raw,
            clients.c.client_id,
            clients.c.bank,
        )
        .join(certificates, certificates.c.serial == purses.c.serial)
        .join(clients, clients.c.client_id == certificates.c.client_id)
        .where(purses.c.serial == serial)
    ).one_or_none()
    if row is None:
        raise BankRefused(f"There is no purse with the serial {serial.hex()}.")
    return row


def holder_row(connection: Connection, record_id: bytes) -> Row[Any] | None:
    """The certificate that a transfer names as its payee, with its client, or None."""
    certificates, clients = schema.certificates, schema.clients
    return connection.execute(
        select(certificates, clients.c.bank)
        .join(clients, clients.c.client_id == certificates.c.client_id)
        .where(certificates.c.record_id == record_id)
    ).one_or_none()
