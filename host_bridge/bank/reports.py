# SPDX-License-Identifier: Apache-2.0
"""What the books say: T-accounts, aggregates, balances, and what was caught."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from firmware.wire.certificate import Certificate
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.layout import key_id
from host_bridge.bank import ledger, rollback, schema
from host_bridge.bank.ledger import DT, NBK, Totals, bank_book, client_book, current
from host_bridge.bank.office import Finding, Office
from host_bridge.sync.port import BankRefused

MIN_PREFIX = 4  # bytes of a proof's id that name it

Side = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class TAccount:
    """One participant's balance sheet: (label, tiyn) on each side; empty is "not considered"."""

    title: str
    assets: Side
    liabilities: Side


@dataclass(frozen=True)
class Aggregates:
    """Monetary aggregates in tiyn, as the white paper counts them (seed checklist NUM-AGG).

    `rm` counts as cash outside NBK only what banks were given, as the paper prints it;
    `rm_strict` counts the clients' banknotes as well.
    """

    rm: int
    m0: int
    m0_dt: int
    c: int
    rm_strict: int

    @property
    def m1(self) -> int:
        """M1 = M0 + M0_dt + C."""
        return self.m0 + self.m0_dt + self.c


@dataclass(frozen=True)
class Balance:
    """What one client or merchant has, and owes after a double spend."""

    client_id: str
    bank: str
    name: str
    is_merchant: bool
    current_tiyn: int
    cash_tiyn: int
    purses_tiyn: int
    wallet_tiyn: int
    claims_tiyn: int


@dataclass(frozen=True)
class PurseLine:
    """One purse: `outstanding_tiyn` is what it could still spend, as far as the bank knows."""

    serial: bytes
    client_id: str
    bank: str
    tier: int
    state: str
    outstanding_tiyn: int
    counter: int


@dataclass(frozen=True)
class FraudCase:
    """One proved double spend.

    `serial`, `client_id` and `name` are None for all but the spender's own bank.
    """

    proof_id: bytes
    key_id: bytes
    note_id: bytes
    bank: str
    overlap_tiyn: int
    payees: tuple[str, str]
    found_at: int
    serial: bytes | None
    client_id: str | None
    name: str | None


class Reports:
    """Read-only views. Nothing here is stored: everything follows from the postings."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def totals(self) -> Totals:
        """Where all digital tenge is."""
        with self._office.store.read() as connection:
            return ledger.totals(connection)

    def accounts(self) -> list[TAccount]:
        """NBK, the banks, then the clients."""
        with self._office.store.read() as connection:
            accounts = [self._nbk(connection)]
            accounts += [self._bank(connection, bank.name) for bank in self._office.banks]
        return accounts + [_client_account(balance) for balance in self.balances()]

    def _nbk(self, connection: Connection) -> TAccount:
        book = ledger.book_balances(connection, NBK)
        banks = [
            (f"Corr. account of {bank.name}", -book.get(f"corr:{bank.name}", 0))
            for bank in self._office.banks
        ]
        cash = ("Cash outside NBK", -book.get("cash", 0))
        issued = ("DT in circulation (reserves)", -book.get("dt", 0))
        return TAccount("NBK", (), (*banks, cash, issued))

    def _bank(self, connection: Connection, name: str) -> TAccount:
        book = ledger.book_balances(connection, bank_book(name))
        assets = [
            ("Corr. account", book.pop("corr", 0)),
            ("Cash", book.pop("cash", 0)),
            ("Digital wallet (DT)", book.pop("dt", 0)),
        ]
        liabilities = []
        for account, amount in sorted(book.items()):
            kind, _, owner = account.partition(":")
            if kind == "claims":
                assets.append((f"Claim on {owner}", amount))
            else:
                label = {"current": f"Current account of {owner}", "budget": f"Budget of {owner}"}
                liabilities.append((label.get(kind, "Capital"), -amount))
        return TAccount(name, tuple(assets), tuple(liabilities))

    def aggregates(self) -> Aggregates:
        """RM, M0, M0_dt, C and M1."""
        with self._office.store.read() as connection:
            nbk = ledger.book_balances(connection, NBK)
            totals = ledger.totals(connection)
            books = [
                ledger.book_balances(connection, bank_book(bank.name))
                for bank in self._office.banks
            ]
        balances = self.balances()
        m0 = sum(balance.cash_tiyn for balance in balances)
        vaults = sum(book.get("cash", 0) for book in books)
        reserves = -sum(amount for account, amount in nbk.items() if account.startswith("corr:"))
        return Aggregates(
            rm=nbk.get("assets", 0),
            m0=m0,
            m0_dt=totals.purses + totals.wallets,
            c=sum(balance.current_tiyn for balance in balances),
            rm_strict=reserves + totals.issued + vaults + m0,
        )

    def balances(self) -> list[Balance]:
        """One line for each client and merchant."""
        clients = schema.clients
        with self._office.store.read() as connection:
            rows = connection.execute(select(clients).order_by(clients.c.client_id)).all()
            digital = ledger.book_balances(connection, DT)
            banks = {row.bank for row in rows}
            books = {name: ledger.book_balances(connection, bank_book(name)) for name in banks}
            owners = _owners(connection)
            cash = {
                row.client_id: ledger.balance(connection, client_book(row.client_id), "cash")
                for row in rows
            }
        purses = {
            row.client_id: sum(
                digital.get(ledger.purse(serial), 0)
                for serial, owner in owners.items()
                if owner == row.client_id
            )
            for row in rows
        }
        return [
            Balance(
                client_id=row.client_id,
                bank=row.bank,
                name=row.name,
                is_merchant=bool(row.is_merchant),
                current_tiyn=-books[row.bank].get(current(row.client_id), 0),
                cash_tiyn=cash[row.client_id],
                purses_tiyn=purses[row.client_id],
                wallet_tiyn=digital.get(ledger.wallet(row.client_id), 0),
                claims_tiyn=books[row.bank].get(f"claims:{row.client_id}", 0),
            )
            for row in rows
        ]

    def purses(self) -> list[PurseLine]:
        """One line for each purse, by holder."""
        purses, certificates = schema.purses, schema.certificates
        clients, journal = schema.clients, schema.journal
        with self._office.store.read() as connection:
            digital = ledger.book_balances(connection, DT)
            counters: dict[bytes, int] = {}
            for serial, counter in connection.execute(
                select(journal.c.serial, journal.c.counter).order_by(journal.c.counter)
            ):
                counters[serial] = counter
            rows = connection.execute(
                select(purses.c.serial, purses.c.state, certificates.c.raw, clients)
                .join(certificates, certificates.c.serial == purses.c.serial)
                .join(clients, clients.c.client_id == certificates.c.client_id)
                .order_by(clients.c.client_id, purses.c.serial)
            ).all()
        return [
            PurseLine(
                serial=row.serial,
                client_id=row.client_id,
                bank=row.bank,
                tier=Certificate.parse(row.raw).tier,
                state=row.state,
                outstanding_tiyn=digital.get(ledger.purse(row.serial), 0),
                counter=counters.get(row.serial, 0),
            )
            for row in rows
        ]

    def fraud_cases(self, viewer: str | None) -> list[FraudCase]:
        """The proofs, oldest first; only the spender's own bank sees who it was."""
        proofs, certificates, clients = schema.proofs, schema.certificates, schema.clients
        with self._office.store.read() as connection:
            rows = connection.execute(
                select(proofs, clients.c.bank, clients.c.client_id, clients.c.name)
                .join(certificates, certificates.c.serial == proofs.c.payer)
                .join(clients, clients.c.client_id == certificates.c.client_id)
                .order_by(proofs.c.found_at, proofs.c.proof_id)
            ).all()
            names = _payee_names(connection)
            notes = _note_ids(connection)
        cases = []
        for row in rows:
            proof = FraudProof.parse(row.raw)
            first, second = proof.first, proof.second
            is_own = viewer == row.bank
            cases.append(
                FraudCase(
                    proof_id=row.proof_id,
                    key_id=key_id(proof.signer),
                    note_id=notes[row.first],
                    bank=row.bank,
                    overlap_tiyn=min(first.end, second.end) - max(first.start, second.start),
                    payees=(names[first.payee], names[second.payee]),
                    found_at=row.found_at,
                    serial=row.payer if is_own else None,
                    client_id=row.client_id if is_own else None,
                    name=row.name if is_own else None,
                )
            )
        return cases

    def fraud_proof(self, proof_id: bytes) -> FraudProof:
        """The proof whose id begins so. Raises BankRefused unless there is exactly one."""
        if len(proof_id) < MIN_PREFIX:
            raise BankRefused(f"Give at least {MIN_PREFIX} bytes of the proof's id.")
        table = schema.proofs
        with self._office.store.read() as connection:
            rows = connection.execute(select(table.c.proof_id, table.c.raw)).all()
        found = [row.raw for row in rows if row.proof_id.startswith(proof_id)]
        if len(found) != 1:
            raise BankRefused(f"There are {len(found)} fraud proofs called {proof_id.hex()}.")
        return FraudProof.parse(found[0])

    def findings(self) -> list[Finding]:
        """What uploads brought that was not as it should be, oldest first.

        Then the purses whose memory went back, as far as that is explained by now.
        """
        findings, evidence = schema.findings, schema.evidence
        with self._office.store.read() as connection:
            seen = connection.execute(select(findings).order_by(findings.c.id)).all()
            kept = connection.execute(
                select(evidence).order_by(evidence.c.seen_at, evidence.c.evidence_id)
            ).all()
            forgotten = rollback.findings(connection, self._office)
        refused = [
            Finding(f"refused: {row.reason}", row.evidence_id.hex()[:16], row.sentence)
            for row in kept
        ]
        found = [Finding(row.kind, row.subject, row.sentence) for row in seen]
        return [*found, *refused, *forgotten]


def _client_account(balance: Balance) -> TAccount:
    assets = [
        (f"Current account at {balance.bank}", balance.current_tiyn),
        ("Cash", balance.cash_tiyn),
        ("Digital wallet", balance.purses_tiyn + balance.wallet_tiyn),
    ]
    owed = ((f"Claim of {balance.bank}", balance.claims_tiyn),) if balance.claims_tiyn else ()
    return TAccount(balance.name, tuple(assets), owed)


def _owners(connection: Connection) -> dict[bytes, str]:
    """Client by purse serial."""
    purses, certificates = schema.purses, schema.certificates
    rows = select(purses.c.serial, certificates.c.client_id).join(
        certificates, certificates.c.serial == purses.c.serial
    )
    return {row.serial: row.client_id for row in connection.execute(rows)}


def _payee_names(connection: Connection) -> dict[bytes, str]:
    """A merchant's name by its terminal's RecordId; a purse stays nameless, as at a tap."""
    certificates = schema.certificates
    rows = connection.execute(select(certificates.c.record_id, certificates.c.raw))
    return {record: Certificate.parse(raw).name or "a purse" for record, raw in rows}


def _note_ids(connection: Connection) -> dict[bytes, bytes]:
    """Note id by transfer."""
    transfers, notes = schema.transfers, schema.notes
    rows = select(transfers.c.record_id, notes.c.note_id).join(
        notes, notes.c.record_id == transfers.c.note
    )
    return {row.record_id: row.note_id for row in connection.execute(rows)}
