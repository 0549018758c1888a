# SPDX-License-Identifier: Apache-2.0
"""What is left of a purse: the records of its journal's log, and rescues made of them."""

from __future__ import annotations

from firmware.purse.stored import COMMIT, INTENT, SIGNED, VOID, intent_of
from firmware.wire.apdu import LIFECYCLE_DAMAGED
from firmware.wire.certificate import Certificate
from firmware.wire.journal import JournalEntry
from host_bridge.sync.rescue_file import Rescue, Source
from tests.doubles.paper_purse import PaperPurse
from tests.platform.town import START

Record = tuple[int, bytes]

COMMITTED: Record = (COMMIT, b"\0")


def intent(entry: JournalEntry, slot: int = 1) -> Record:
    """The INTENT of an entry; every note of the town's purses has slot 1."""
    return INTENT, intent_of(entry, [slot] * entry.pieces)


def signed(entry: JournalEntry, ago: int = 0) -> Record:
    """Its SIGNED, that many payments later."""
    return SIGNED, bytes([ago]) + b"".join(entry.signatures)


def void(counter: int) -> Record:
    """The VOID that leaves the element's counter where it stands."""
    return VOID, counter.to_bytes(4, "big")


def payment(entry: JournalEntry) -> list[Record]:
    """A payment that ran to its end."""
    return [intent(entry), COMMITTED, signed(entry)]


def log_of(purse: PaperPurse) -> list[Record]:
    """All of a purse's payments, as its card would have stored them."""
    return [record for entry in purse.entries for record in payment(entry)]


def rescue_of(
    records: list[Record], certificate: Certificate | None = None, **others: object
) -> Rescue:
    """A rescue from a damaged card that gave these records."""
    fields: dict[str, object] = {
        "source": Source.CARD,
        "lifecycle": LIFECYCLE_DAMAGED,
        "made_at": START,
        "origin": "board:alice",
        "certificate": certificate,
        "stored": tuple(records),
    }
    # By way of the file: what a test hands to the bank is what a clerk would.
    return Rescue.parse(Rescue(**(fields | others)).raw)  # type: ignore[arg-type]
