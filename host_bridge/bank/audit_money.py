# SPDX-License-Identifier: Apache-2.0
"""The audit of the money: what the signed records are worth, against what was posted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from firmware.wire.certificate import ROLE_TERMINAL, Certificate
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer
from host_bridge.bank import ledger, runs, schema
from host_bridge.bank.claims import payee_account
from host_bridge.bank.ledger import DT, NBK, Line, bank_book
from host_bridge.bank.office import Finding, Office

_OF_NOTES = (ledger.LOAD, ledger.LABEL, ledger.PASS_ON)


@dataclass
class Records:
    """What was found good by its signatures."""

    holders: dict[bytes, Certificate] = field(default_factory=dict)  # by RecordId
    clients: dict[bytes, str] = field(default_factory=dict)  # by the certificate's serial
    notes: dict[bytes, Note] = field(default_factory=dict)  # by RecordId
    serials: dict[bytes, bytes] = field(default_factory=dict)  # purse, by a note's RecordId
    transfers: dict[bytes, Transfer] = field(default_factory=dict)  # by RecordId

    def payer(self, parent: bytes) -> bytes:
        """The serial of the purse that held `parent` (a note or a transfer)."""
        if parent in self.serials:
            return self.serials[parent]
        return self.holders[self.transfers[parent].payee].serial

    def payee_account(self, transfer: Transfer) -> str:
        """The account that a transfer goes to."""
        payee = self.holders[transfer.payee]
        return payee_account(payee.role, payee.serial, self.clients[payee.serial])


class MoneyAudit:
    """Postings walked, balances derived."""

    def __init__(self, connection: Connection, records: Records) -> None:
        self._connection = connection
        self._records = records
        self._findings: list[Finding] = []
        self._postings: dict[tuple[str, bytes], list[Line]] = {}
        self._due: Counter[str] = Counter()  # what purses and wallets should hold

    def run(self) -> list[Finding]:
        """The findings; an empty list is clean."""
        self._walk_postings()
        self._derive_notes()
        self._derive_transfers()
        self._check_backing()
        held = ledger.book_balances(self._connection, DT)
        for account in sorted({*self._due, *held}):
            is_holder = account.startswith(("purse:", "wallet:"))
            if is_holder and self._due[account] != held.get(account, 0):
                sentence = f"it holds {held.get(account, 0)} tiyn, not {self._due[account]}"
                self._find("balance", account, sentence)
        return self._findings

    def _find(self, kind: str, subject: str, sentence: str) -> None:
        self._findings.append(Finding(kind, subject, sentence))

    def _walk_postings(self) -> None:
        """The chain of hashes, one posting after the other, each balanced."""
        by_posting: dict[int, list[Line]] = defaultdict(list)
        table = schema.lines
        for row in self._connection.execute(select(table).order_by(table.c.id)):
            by_posting[row.posting].append(Line(row.book, row.account, row.debit, row.credit))
        before, expected = ledger.GENESIS, 1
        rows = select(schema.postings).order_by(schema.postings.c.id)
        for row in self._connection.execute(rows):
            lines = by_posting.pop(row.id, [])
            subject = f"posting {row.id}"
            chained = ledger.posting_hash(before, row.id, row.time, row.kind, row.reference, lines)
            if row.id != expected:
                self._find("posting", subject, f"posting {expected} is missing before it")
            if chained != row.hash:
                self._find("posting", subject, "it was changed: its hash does not fit")
            if not _balances(lines):
                self._find("posting", subject, "its debits and credits differ")
            self._postings[(row.kind, row.reference)] = lines
            before, expected = row.hash, row.id + 1
        for number in by_posting:
            self._find("posting", f"posting {number}", "its lines belong to no posting")

    def _derive_notes(self) -> None:
        for record_id, note in self._records.notes.items():
            self._due[ledger.purse(self._records.serials[record_id])] += note.value
            kinds = (ledger.LABEL,) if note.purpose else (ledger.LOAD, ledger.PASS_ON)
            posted = sum(_moved(self._postings.get((kind, record_id), [])) for kind in kinds)
            if posted != note.value:
                sentence = f"{posted} tiyn were posted for it, not {note.value}"
                self._find("note", note.note_id.hex()[:16], sentence)

    def _derive_transfers(self) -> None:
        """What the children of each parent are worth: to payees, from the purse, as claims.

        Which sibling carries a claim depends on the order of arrival; how much there is of it
        does not, and only that is compared.
        """
        children: dict[bytes, list[Transfer]] = defaultdict(list)
        for transfer in self._records.transfers.values():
            children[transfer.parent].append(transfer)
        for parent, siblings in children.items():
            union: list[runs.Run] = []
            by_till: dict[bytes, list[runs.Run]] = defaultdict(list)
            worth = 0
            for transfer in siblings:
                run = (transfer.start, transfer.end)
                is_till = self._records.holders[transfer.payee].role == ROLE_TERMINAL
                amount = runs.size(runs.without(run, by_till[transfer.payee] if is_till else []))
                self._due[self._records.payee_account(transfer)] += amount
                worth += amount
                fresh = runs.without(run, union)
                self._due[ledger.purse(self._records.payer(parent))] -= runs.size(fresh)
                union += fresh
                by_till[transfer.payee].append(run)
            self._compare(parent, siblings, runs.size(union), worth)

    def _compare(self, parent: bytes, siblings: list[Transfer], spent: int, worth: int) -> None:
        """Claims and spent units of one parent, as booked; claims not yet paid are not due."""
        subject = f"units of {parent.hex()[:16]}"
        table, units = schema.claims, schema.spent
        claimed = 0
        for transfer in siblings:
            row = self._connection.execute(
                select(table.c.amount).where(table.c.transfer == transfer.record_id)
            ).one_or_none()
            if row is None:
                continue
            claimed += row.amount
            posted = self._postings.get((ledger.CLAIM, transfer.record_id))
            if posted is None:
                self._due[self._records.payee_account(transfer)] -= row.amount
            elif _moved(posted) != row.amount:
                self._find("claim", subject, "another amount was posted than was claimed")
        if claimed != worth - spent:
            self._find("claim", subject, f"{claimed} tiyn are claimed, not {worth - spent}")
        booked = self._connection.execute(
            select(func.coalesce(func.sum(units.c.end - units.c.start), 0)).where(
                units.c.parent == parent
            )
        ).scalar_one()
        if booked != spent:
            self._find("tree", subject, f"{booked} are marked as spent, not {spent}")

    def _check_backing(self) -> None:
        """No posting of digital tenge without a record behind it.

        What was redeemed or passed on is in its wallet no more.
        """
        records = self._records
        for (kind, reference), lines in self._postings.items():
            if kind in _OF_NOTES and reference not in records.notes:
                self._find("posting", reference.hex()[:16], "no note stands behind it")
            if kind in (ledger.TRANSFER, ledger.CLAIM) and reference not in records.transfers:
                self._find("posting", reference.hex()[:16], "no transfer stands behind it")
            if kind in (ledger.REDEEM, ledger.PASS_ON):
                for line in lines:
                    if line.account.startswith("wallet:"):
                        self._due[line.account] -= line.credit


def mirror_findings(connection: Connection, office: Office) -> list[Finding]:
    """The same money in two books: NBK's, the banks', and that of digital tenge."""
    nbk = ledger.book_balances(connection, NBK)
    digital = ledger.book_balances(connection, DT)
    findings = []
    if nbk.get("dt", 0) != digital.get("issued", 0):
        findings.append(Finding("mirror", "NBK", "DT in circulation is not what was issued"))
    for bank in office.banks:
        book = ledger.book_balances(connection, bank_book(bank.name))
        if book.get("corr", 0) != -nbk.get(f"corr:{bank.name}", 0):
            sentence = "its correspondent account is another one at NBK"
            findings.append(Finding("mirror", bank.name, sentence))
        if book.get("dt", 0) != digital.get(ledger.reserve(bank.name), 0):
            findings.append(Finding("mirror", bank.name, "its digital wallet is not its reserve"))
    if not ledger.totals(connection).is_whole:
        sentence = "more or less is held than was issued"
        findings.append(Finding("mirror", "digital tenge", sentence))
    return findings


def _moved(lines: list[Line]) -> int:
    return sum(line.debit for line in lines if line.book == DT)


def _balances(lines: list[Line]) -> bool:
    net: Counter[str] = Counter()
    for line in lines:
        net[line.book] += line.debit - line.credit
    return bool(lines) and not any(net.values())
