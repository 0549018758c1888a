# SPDX-License-Identifier: Apache-2.0
"""The books: double entry, each posting once, balanced in each book, chained by hash.

Books and their accounts (debit balances are assets of the book's owner, credit liabilities):

- `nbk`: `assets` (not considered), `corr:<bank>`, `cash` (outside NBK), `dt` (in circulation)
- `bank:<name>`: `corr`, `cash`, `dt` (its digital wallet), `claims:<client>`, `capital`,
  `current:<client>`, `budget:<authority>`
- `dt`: who holds the digital tenge: `issued`, `reserve:<bank>`, `purse:<serial>`,
  `wallet:<merchant>`
- `client:<id>`: `cash` (banknotes that the bank was told of), `elsewhere`
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from firmware.wire.layout import sha256
from host_bridge.bank import schema
from host_bridge.sync.port import BankRefused

NBK = "nbk"
DT = "dt"
MAX_POSTING_TIYN = 10**16  # more tenge than there are; sums stay far inside SQLite's 64 bits
GENESIS = bytes(32)  # stands before the first posting

# Kinds of postings; together with the reference each is posted at most once.
OPENING = "opening"
CASH = "cash"
DEPOSIT = "deposit"
BUDGET = "budget"
ISSUE = "issue"
LOAD = "load"  # reference: the note's RecordId
LABEL = "label"  # likewise
PASS_ON = "pass-on"  # likewise
TRANSFER = "transfer"  # reference: the transfer's RecordId
CLAIM = "claim"  # likewise: units that were spent before, paid by the spender's bank
REDEEM = "redeem"


@dataclass(frozen=True)
class Line:
    """One side of a posting, in tiyn; exactly one of `debit` and `credit` is not 0."""

    book: str
    account: str
    debit: int
    credit: int


def debit(book: str, account: str, amount_tiyn: int) -> Line:
    """A debit line."""
    return Line(book, account, amount_tiyn, 0)


def credit(book: str, account: str, amount_tiyn: int) -> Line:
    """A credit line."""
    return Line(book, account, 0, amount_tiyn)


def bank_book(bank_name: str) -> str:
    """The book of a second-tier bank."""
    return f"bank:{bank_name}"


def client_book(client_id: str) -> str:
    """The book of what a client holds beside the bank and the purse."""
    return f"client:{client_id}"


def current(client_id: str) -> str:
    """A client's current account in its bank's book."""
    return f"current:{client_id}"


def reserve(bank_name: str) -> str:
    """A bank's digital wallet in the book of digital tenge."""
    return f"reserve:{bank_name}"


def purse(serial: bytes) -> str:
    """What a purse has outstanding, in the book of digital tenge."""
    return f"purse:{serial.hex()}"


def wallet(merchant_id: str) -> str:
    """A merchant's digital wallet in the book of digital tenge."""
    return f"wallet:{merchant_id}"


def is_posted(connection: Connection, kind: str, reference: bytes) -> bool:
    """Whether this was posted already."""
    table = schema.postings
    known = select(table.c.id).where(table.c.kind == kind, table.c.reference == reference)
    return connection.execute(known).one_or_none() is not None


def repeats(connection: Connection, kind: str, reference: bytes, lines: Sequence[Line]) -> bool:
    """Whether exactly this was posted already. Raises BankRefused if something else was."""
    table = schema.lines
    posted = (
        select(table.c.book, table.c.account, table.c.debit, table.c.credit)
        .join(schema.postings, schema.postings.c.id == table.c.posting)
        .where(schema.postings.c.kind == kind, schema.postings.c.reference == reference)
        .order_by(table.c.id)
    )
    known = [Line(*row) for row in connection.execute(posted)]
    if known and known != list(lines):
        raise BankRefused("This reference was used for another posting already.")
    return bool(known)


def scoped(owner: str, reference: bytes | None, otherwise: bytes) -> bytes:
    """A caller's reference within its owner's own numbers; without one, `otherwise`."""
    return owner.encode() + b":" + (otherwise if reference is None else reference)


def post(
    connection: Connection, kind: str, reference: bytes, time: int, lines: Sequence[Line]
) -> bool:
    """Post `lines`, balanced in each book, unless (kind, reference) was posted before.

    Returns whether it was posted now. Lines of amount 0 are left out. Raises ValueError for
    lines that do not balance: that is a mistake in the bank, never in an upload. Raises
    BankRefused for a reference that stands for another posting.
    """
    kept = [line for line in lines if line.debit or line.credit]
    for book in {line.book for line in kept}:
        if sum(line.debit - line.credit for line in kept if line.book == book):
            raise ValueError(f"a posting of kind {kind} does not balance in book {book}")
    if not kept or repeats(connection, kind, reference, kept):
        return False
    table = schema.postings
    newest = select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    number, before = (row.id + 1, row.hash) if row else (1, GENESIS)
    connection.execute(
        insert(schema.lines),
        [
            {
                "posting": number,
                "book": line.book,
                "account": line.account,
                "debit": line.debit,
                "credit": line.credit,
            }
            for line in kept
        ],
    )
    values = {"id": number, "time": time, "kind": kind, "reference": reference}
    chained = posting_hash(before, number, time, kind, reference, kept)
    connection.execute(insert(table), values | {"hash": chained})
    return True


def posting_hash(
    before: bytes, number: int, time: int, kind: str, reference: bytes, lines: Iterable[Line]
) -> bytes:
    """The audit log's chain: SHA-256 over the hash before and everything in the posting."""
    rows = [[line.book, line.account, line.debit, line.credit] for line in lines]
    content = [number, time, kind, reference.hex(), rows]
    return sha256(before + json.dumps(content, separators=(",", ":")).encode())


def balance(connection: Connection, book: str, account: str) -> int:
    """Debits minus credits of one account."""
    table = schema.lines
    total = select(func.coalesce(func.sum(table.c.debit - table.c.credit), 0))
    wanted = total.where(table.c.book == book, table.c.account == account)
    return int(connection.execute(wanted).scalar_one())


def book_balances(connection: Connection, book: str) -> dict[str, int]:
    """Debits minus credits of every account of a book."""
    table = schema.lines
    net = func.sum(table.c.debit - table.c.credit).label("net")
    rows = select(table.c.account, net).where(table.c.book == book).group_by(table.c.account)
    return {row.account: int(row.net) for row in connection.execute(rows)}


def require(available: int, wanted: int, sentence: str) -> None:
    """Raises BankRefused with `sentence` unless `wanted` is positive, sane and available."""
    if not 0 < wanted <= MAX_POSTING_TIYN:
        raise BankRefused("The amount must be more than zero, and no more than all money.")
    if available < wanted:
        raise BankRefused(sentence)


@dataclass(frozen=True)
class Totals:
    """Where all digital tenge is, in tiyn."""

    issued: int
    reserves: int
    purses: int
    wallets: int

    @property
    def held(self) -> int:
        """In anybody's hands."""
        return self.reserves + self.purses + self.wallets

    @property
    def is_whole(self) -> bool:
        """Invariants I1 and I2: no value created, all value accounted for."""
        return self.issued == self.held


def totals(connection: Connection) -> Totals:
    """The book of digital tenge in four sums."""
    sums = {"reserve": 0, "purse": 0, "wallet": 0, "issued": 0}
    for account, amount in book_balances(connection, DT).items():
        sums[account.partition(":")[0]] += amount
    return Totals(-sums["issued"], sums["reserve"], sums["purse"], sums["wallet"])
