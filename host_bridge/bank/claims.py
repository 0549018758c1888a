# SPDX-License-Identifier: Apache-2.0
"""Claims on those who spent units twice: their bank pays the payee and asks them for it.

That is the default rule of protocol section 5: a payee that followed the rules is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select

from firmware.wire.certificate import ROLE_TERMINAL
from host_bridge.bank import ledger, schema
from host_bridge.bank.ledger import DT, bank_book, credit, debit


def payee_account(role: int, serial: bytes, client_id: str) -> str:
    """Where digital tenge of a payee goes: the merchant's wallet, or into the purse."""
    return ledger.wallet(client_id) if role == ROLE_TERMINAL else ledger.purse(serial)


def book_claim(
    connection: Connection,
    transfer_id: bytes,
    bank_name: str,
    client_id: str,
    amount_tiyn: int,
    now: int,
) -> None:
    """Write down that `client_id` owes its bank the units, and pay if the reserve allows."""
    row = {"transfer": transfer_id, "bank": bank_name, "client_id": client_id}
    connection.execute(insert(schema.claims), row | {"amount": amount_tiyn})
    pay_open_claims(connection, bank_name, now)


def pay_open_claims(connection: Connection, bank_name: str, now: int) -> None:
    """Pay what waits for the bank's reserve, as far as it goes; the smallest first."""
    for claim in open_claims(connection, bank_name):
        if ledger.balance(connection, DT, ledger.reserve(bank_name)) < claim.amount:
            return
        account = payee_account(claim.role, claim.serial, claim.payee_client)
        lines = [
            debit(bank_book(bank_name), f"claims:{claim.client_id}", claim.amount),
            credit(bank_book(bank_name), "dt", claim.amount),
            debit(DT, account, claim.amount),
            credit(DT, ledger.reserve(bank_name), claim.amount),
        ]
        ledger.post(connection, ledger.CLAIM, claim.transfer, now, lines)


def is_unpaid(connection: Connection, transfer_id: bytes) -> bool:
    """Whether a transfer has a claim that its payer's bank has not covered yet."""
    table = schema.claims
    booked = connection.execute(
        select(table.c.amount).where(table.c.transfer == transfer_id)
    ).one_or_none()
    return booked is not None and not ledger.is_posted(connection, ledger.CLAIM, transfer_id)


def open_claims(connection: Connection, bank_name: str) -> Sequence[Row[Any]]:
    """The claims of a bank that are not paid out, each with its payee's certificate."""
    claims, transfers, postings = schema.claims, schema.transfers, schema.postings
    certificates = schema.certificates
    paid = and_(postings.c.kind == ledger.CLAIM, postings.c.reference == claims.c.transfer)
    return connection.execute(
        select(
            claims,
            certificates.c.role,
            certificates.c.serial,
            certificates.c.client_id.label("payee_client"),
        )
        .join(transfers, transfers.c.record_id == claims.c.transfer)
        .join(certificates, certificates.c.record_id == transfers.c.payee)
        .outerjoin(postings, paid)
        .where(claims.c.bank == bank_name, postings.c.id.is_(None))
        .order_by(claims.c.amount, claims.c.transfer)
    ).all()
