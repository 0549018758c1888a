# SPDX-License-Identifier: Apache-2.0
"""The records of a purse's journal as they were stored, put together to payments again.

Some may be missing. So what belongs together by its place is a first guess only; whether a
signature is of a payment, its verification says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from firmware.purse.stored import (
    COMMIT,
    COMMIT_SIZE,
    DONE,
    INTENT,
    SIGNED,
    VOID,
    VOID_SIZE,
    StoredPayment,
    signatures_of,
)
from firmware.wire.layout import WireError
from host_bridge.bank.runs import Run

MAX_GUESSES = 8  # other payments that signatures are tried at


@dataclass(eq=False)
class Kept:
    """An intent that could be read, and whether its commit was there."""

    payment: StoredPayment
    is_committed: bool = False


@dataclass
class Signed:
    """Signatures, and the payment that they stand behind, if that could be read."""

    signatures: list[bytes]
    at: int  # how many payments were stored before them
    expected: Kept | None


@dataclass
class StoredJournal:
    """Payments in the order of the log, signatures, and how many records were unreadable.

    `unused` are runs of counters that no payment carries: the chip's counter had jumped.
    """

    payments: list[Kept] = field(default_factory=list)
    signed: list[Signed] = field(default_factory=list)
    unused: list[Run] = field(default_factory=list)
    unreadable: int = 0

    def guesses(self, signed: Signed) -> Iterator[Kept]:
        """The payments that signatures may be of: the likeliest, then its neighbours."""
        pieces = len(signed.signatures)
        if signed.expected is not None and len(signed.expected.payment.pieces) == pieces:
            yield signed.expected
        others = [
            (abs(signed.at - 1 - index), index)
            for index, kept in enumerate(self.payments)
            if kept is not signed.expected and len(kept.payment.pieces) == pieces
        ]
        for _, index in sorted(others)[:MAX_GUESSES]:
            yield self.payments[index]


def put_together(records: Iterable[tuple[int, bytes]]) -> StoredJournal:
    """The payments in the records of a journal's log, (kind, payload), the oldest first."""
    journal = StoredJournal()
    committed: list[Kept] = []
    begun: Kept | None = None  # the intent that no commit or void has followed yet
    for kind, payload in records:
        try:
            if kind == INTENT:
                begun = Kept(StoredPayment(payload))
                journal.payments.append(begun)
            elif kind == COMMIT and len(payload) == COMMIT_SIZE:
                if begun is not None:
                    begun.is_committed = True
                    committed.append(begun)
                    counter = begun.payment.counter
                    journal.unused.append((counter + 1, counter + 1 + payload[0]))
                begun = None
            elif kind == SIGNED:
                ago, signatures = signatures_of(payload)
                expected = committed[-1 - ago] if ago < len(committed) else None
                journal.signed.append(Signed(signatures, len(journal.payments), expected))
            elif kind == VOID and len(payload) == VOID_SIZE:
                if begun is not None:
                    stands = int.from_bytes(payload, "big")
                    journal.unused.append((begun.payment.counter, stands + 1))
                begun = None
            elif kind != DONE:  # which names payments that their bank has long had
                journal.unreadable += 1
        except WireError:
            journal.unreadable += 1
    return journal
