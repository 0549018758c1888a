# SPDX-License-Identifier: Apache-2.0
"""Money as it was before digital tenge: opening balances, cash, deposits, budgets."""

from __future__ import annotations

from sqlalchemy import Connection

from firmware.wire.certificate import ROLE_AUTHORITY
from host_bridge.bank import ledger
from host_bridge.bank.ledger import NBK, bank_book, client_book, credit, current, debit
from host_bridge.bank.office import Office
from host_bridge.bank.registry import client_row
from host_bridge.sync.port import BankRefused

_REFERENCE_BYTES = 16


class Books:
    """The clerk's postings that move no digital tenge."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def open_bank(
        self,
        bank_name: str,
        correspondent_tiyn: int,
        cash_tiyn: int,
        current_tiyn: dict[str, int],
        reference: bytes | None,
    ) -> None:
        """Opening balances of a bank; the difference to its clients' accounts is capital."""
        office = self._office
        with office.store.write() as connection:
            for client_id in current_tiyn:
                if client_row(connection, client_id).bank != bank_name:
                    raise BankRefused(f"'{client_id}' has no account at '{bank_name}'.")
            open_bank(
                connection,
                office,
                bank_name,
                correspondent_tiyn,
                cash_tiyn,
                current_tiyn,
                ledger.scoped(bank_name, reference, office.random(_REFERENCE_BYTES)),
            )

    def hold_cash(self, client_id: str, amount_tiyn: int, reference: bytes | None) -> None:
        """Banknotes that a client has at the beginning."""
        lines = [
            debit(client_book(client_id), "cash", amount_tiyn),
            credit(client_book(client_id), "elsewhere", amount_tiyn),
        ]
        self._post_for(client_id, ledger.CASH, reference, amount_tiyn, lines)

    def deposit(self, client_id: str, amount_tiyn: int, reference: bytes | None) -> None:
        """Cash from outside the model onto a current account; the monetary base grows by it."""
        with self._office.store.read() as connection:
            book = bank_book(client_row(connection, client_id).bank)
        lines = [
            debit(NBK, "assets", amount_tiyn),
            credit(NBK, "cash", amount_tiyn),
            debit(book, "cash", amount_tiyn),
            credit(book, current(client_id), amount_tiyn),
        ]
        self._post_for(client_id, ledger.DEPOSIT, reference, amount_tiyn, lines)

    def fund_authority(self, name: str, amount_tiyn: int, reference: bytes | None) -> None:
        """Money on an authority's budget account."""
        ledger.require(amount_tiyn, amount_tiyn, "")
        with self._office.store.write() as connection:
            put_budget(
                connection,
                self._office,
                name,
                amount_tiyn,
                ledger.scoped(name, reference, self._office.random(_REFERENCE_BYTES)),
            )

    def _post_for(
        self,
        client_id: str,
        kind: str,
        reference: bytes | None,
        amount_tiyn: int,
        lines: list[ledger.Line],
    ) -> None:
        ledger.require(amount_tiyn, amount_tiyn, "")
        office = self._office
        with office.store.write() as connection:
            client_row(connection, client_id)
            name = ledger.scoped(client_id, reference, office.random(_REFERENCE_BYTES))
            ledger.post(connection, kind, name, office.clock(), lines)


def open_bank(
    connection: Connection,
    office: Office,
    bank_name: str,
    correspondent_tiyn: int,
    cash_tiyn: int,
    current_tiyn: dict[str, int],
    reference: bytes | None = None,
) -> None:
    """Opening balances, within a transaction."""
    office.bank(bank_name)
    owed = sum(current_tiyn.values())
    capital = correspondent_tiyn + cash_tiyn - owed
    if min(correspondent_tiyn, cash_tiyn, capital, *current_tiyn.values(), 0) < 0:
        raise BankRefused(f"The opening balances of '{bank_name}' do not cover its accounts.")
    book = bank_book(bank_name)
    lines = [
        debit(NBK, "assets", correspondent_tiyn + cash_tiyn),
        credit(NBK, f"corr:{bank_name}", correspondent_tiyn),
        credit(NBK, "cash", cash_tiyn),
        debit(book, "corr", correspondent_tiyn),
        debit(book, "cash", cash_tiyn),
        credit(book, "capital", capital),
    ]
    lines += [credit(book, current(name), amount) for name, amount in current_tiyn.items()]
    name = reference or b"founding " + bank_name.encode()
    ledger.post(connection, ledger.OPENING, name, office.clock(), lines)


def put_budget(
    connection: Connection, office: Office, name: str, amount_tiyn: int, reference: bytes
) -> None:
    """Money on an authority's budget account, within a transaction: NBK is the state's bank."""
    authority = office.participant(name, ROLE_AUTHORITY)
    book = bank_book(authority.bank)
    lines = [
        debit(NBK, "assets", amount_tiyn),
        credit(NBK, f"corr:{authority.bank}", amount_tiyn),
        debit(book, "corr", amount_tiyn),
        credit(book, f"budget:{name}", amount_tiyn),
    ]
    ledger.post(connection, ledger.BUDGET, reference, office.clock(), lines)
