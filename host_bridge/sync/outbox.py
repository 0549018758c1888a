# SPDX-License-Identifier: Apache-2.0
"""The outbox: what a till owes the bank, kept until the bank's own word on it has come.

An item is put in by the transaction that makes it true (a payment becomes `paid`), and taken
out by the one that writes down the bank's answer. A crash between the two sends it again, and
the bank answers the same again (protocol section 5; reliability cases B01, B02, B07).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from firmware.wire.bundle import ITEM_EXPORT, ITEM_SALE, MAX_ITEMS, Bundle, PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.layout import SIGNATURE_SIZE, WireError
from firmware.wire.token import parse_tokens
from host_bridge.sync.port import (
    MAX_BUNDLE_BYTES,
    BankPort,
    BankRefused,
    BankUnreachable,
    PurseSync,
    SaleResult,
)

FLUSH_LIMIT = 1000  # items that one flush sends
MAX_CARRIED = 64  # certificates that a bundle carries besides
MAX_PARCEL = MAX_ITEMS - MAX_CARRIED
_ITEM_HEAD = 4  # bytes before each item of a bundle
MAX_PARCEL_BYTES = (
    MAX_BUNDLE_BYTES
    - (Bundle.HEAD.size + SIGNATURE_SIZE)
    - MAX_CARRIED * (_ITEM_HEAD + Certificate.LAYOUT.size)
)

Transaction = Callable[[], AbstractContextManager[Connection]]
Word = SaleResult | PurseSync  # what the bank says to an item: of a sale, of a purse's export


def outbox_table(metadata: MetaData) -> Table:
    """The outbox's table, for the schema of the books that it lives in."""
    return Table(
        "outbox",
        metadata,
        Column("item", Integer, primary_key=True),
        Column("kind", Integer, nullable=False),  # ITEM_SALE or ITEM_EXPORT
        Column("key", LargeBinary, nullable=False, unique=True),
        Column("data", LargeBinary, nullable=False),
        Column("created", Integer, nullable=False),  # Unix seconds
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("error", Text, nullable=False, server_default=""),  # the bank's last refusal
    )


@dataclass(frozen=True)
class Item:
    """Something owed: tokens of one sale under its payment_id, or one purse's export."""

    number: int
    kind: int
    key: bytes
    data: bytes


@dataclass
class FlushReport:
    """What a flush did. `unreachable` is why it stopped early; empty if it did not."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    unreachable: str = ""


class Outbox:
    """A durable queue in the books of a till.

    transaction opens one on those books. make_bundle signs (kind, bytes) items as the terminal.
    """

    def __init__(
        self,
        table: Table,
        transaction: Transaction,
        make_bundle: Callable[[list[tuple[int, bytes]]], Bundle],
    ) -> None:
        self._table = table
        self._transaction = transaction
        self._make_bundle = make_bundle

    def put(self, connection: Connection, item: Item, now: int) -> None:
        """Adds `item` within the caller's transaction; its number is given here.

        The same key again changes nothing.
        """
        values = {"kind": item.kind, "key": item.key, "data": item.data, "created": now}
        connection.execute(insert(self._table).values(values).on_conflict_do_nothing())

    def waiting(self) -> int:
        """How many items the bank has not given its word on."""
        with self._transaction() as connection:
            count = connection.scalar(select(func.count()).select_from(self._table))
        return int(count or 0)

    def flush(
        self,
        port: BankPort,
        keep: Callable[[Connection, Word], None],
        limit: int = FLUSH_LIMIT,
    ) -> FlushReport:
        """Sends up to `limit` items, those that failed least often first, each once.

        `keep` writes the bank's word down in the transaction that takes the item out. A bad
        item stays and does not stop the others; a lost line stops the flush.
        """
        report = FlushReport()
        for number in self._numbers(limit):
            item = self._item(number)
            try:
                word = self._send(port, item)
            except BankUnreachable as error:
                # It may be this item that the bank stumbles over: next time it goes last.
                self._note_failure(item, str(error))
                report.unreachable = str(error) or "the bank cannot be reached"
                break
            except (BankRefused, WireError) as error:
                report.failed.append(str(error))
                self._note_failure(item, str(error))
                continue
            with self._transaction() as connection:
                keep(connection, word)
                connection.execute(delete(self._table).where(self._table.c.item == number))
            report.sent += 1
        return report

    def bundles(self) -> list[Bundle]:
        """Everything that waits, oldest first, in as few signed bundles as hold it.

        The items stay: a stick may be lost, only the bank's word takes them out.
        """
        parcels: list[list[tuple[int, bytes]]] = []
        room = 0
        with self._transaction() as connection:
            columns = (self._table.c.kind, self._table.c.data)
            for kind, data in connection.execute(select(*columns).order_by(self._table.c.item)):
                size = _ITEM_HEAD + len(data)
                if not parcels or size > room or len(parcels[-1]) == MAX_PARCEL:
                    parcels.append([])
                    room = MAX_PARCEL_BYTES
                parcels[-1].append((kind, data))
                room -= size
        return [self._make_bundle(parcel) for parcel in parcels]

    def _send(self, port: BankPort, item: Item) -> Word:
        if item.kind == ITEM_SALE:
            result = port.upload_sale(parse_tokens(item.data))
            if result.payment_id != item.key:
                raise BankRefused("the bank answered about another payment")
            return result
        export = PurseExport.parse(item.data)
        # Its challenge is the till's own, which the bank takes in a signed bundle alone.
        port.upload_bundle(self._make_bundle([(ITEM_EXPORT, item.data)]))
        sync = port.acknowledgement(export.statement.serial)
        if sync is None or not is_whole(sync, export):
            raise BankRefused("the bank has not acknowledged a card's journal")
        return sync

    def _numbers(self, limit: int) -> list[int]:
        columns = self._table.c
        query = select(columns.item).order_by(columns.attempts, columns.item).limit(limit)
        with self._transaction() as connection:
            return list(connection.scalars(query))

    def _item(self, number: int) -> Item:
        columns = self._table.c
        query = select(columns.item, columns.kind, columns.key, columns.data)
        with self._transaction() as connection:
            return Item(*connection.execute(query.where(columns.item == number)).one())

    def _note_failure(self, item: Item, sentence: str) -> None:
        values = {"attempts": self._table.c.attempts + 1, "error": sentence}
        which = self._table.c.item == item.number
        with self._transaction() as connection:
            connection.execute(update(self._table).where(which).values(values))


def is_whole(sync: PurseSync, export: PurseExport) -> bool:
    """Whether the bank's acknowledgement covers all of a purse's export."""
    last = export.entries[-1].counter if export.entries else export.statement.acknowledged
    return sync.acknowledgement.counter >= last
