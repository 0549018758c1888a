# SPDX-License-Identifier: Apache-2.0
"""What is left on a purse's notes, as far as the bank has seen: value less every run spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from firmware.wire.note import Note
from host_bridge.bank import runs, schema
from host_bridge.bank.runs import Run


@dataclass(frozen=True)
class NoteLeft:
    """One note: tiyn that nobody was paid, and tiyn of payments that were seen and not settled.

    `settles_at`, Unix seconds: from then on no payment of it is taken any more, and what is left
    may be given back.
    """

    note_id: bytes
    value_tiyn: int
    left_tiyn: int
    open_tiyn: int
    settles_at: int


def notes_left(
    connection: Connection, serial: bytes, grace_seconds: int, seen: Iterable[tuple[bytes, Run]]
) -> list[NoteLeft]:
    """The notes of a purse, the oldest first.

    `seen` are runs that were committed and are not settled, each with its note's RecordId.
    """
    notes, spent = schema.notes, schema.spent
    opened = list(seen)
    rows = connection.execute(
        select(notes.c.record_id, notes.c.raw).where(notes.c.serial == serial)
    ).all()
    found = []
    for row in rows:
        note = Note.parse(row.raw)
        taken: list[Run] = [
            (start, end)
            for start, end in connection.execute(
                select(spent.c.start, spent.c.end).where(spent.c.parent == row.record_id)
            )
        ]
        unpaid = runs.size(runs.without((0, note.value), taken))
        mine = [run for parent, run in opened if parent == row.record_id]
        left = runs.size(runs.without((0, note.value), [*taken, *mine]))
        until = note.expires_at + grace_seconds + 1
        found.append(NoteLeft(note.note_id, note.value, left, unpaid - left, until))
    return sorted(found, key=lambda one: (one.settles_at, one.note_id))


def day(time: int) -> str:
    """A date as the bank's sentences give it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
