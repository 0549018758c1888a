# SPDX-License-Identifier: Apache-2.0
"""A purse whose memory went back: what is missing, and what the bank can say about it.

A purse's counter never goes back, so a statement that shows a counter ahead of its journal, or
a journal that ends before one that the bank has seen, tells of payments that the purse forgot.
What is known of them grows as tills bring them: each transfer has its counter sealed in it. The
sentences are therefore made anew each time that somebody looks, from the records alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects.sqlite import insert

from firmware.wire.bundle import PurseExport
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import SIGNATURE_SIZE, sha256
from firmware.wire.limits import COUNTER_JUMP
from host_bridge.bank import runs, schema
from host_bridge.bank.notary import is_known
from host_bridge.bank.office import Finding, Office
from host_bridge.bank.registry import purse_row
from host_bridge.bank.remains import day, notes_left
from host_bridge.bank.runs import Run
from host_bridge.bank.seals import unsealed
from host_bridge.money import format_tiyn

ROLLBACK = "rollback"

# How counters were found to be missing.
BY_COUNTER = "counter"  # the purse's counter is ahead of its journal; it may have jumped
BY_JOURNAL = "journal"  # the bank knows its journal further than it does
BY_PURSE = "purse"  # its counter is ahead, and it locked itself: of a jump it would know

MAX_SHOWN = 12  # runs of counters that one sentence names


@dataclass(frozen=True)
class Missing:
    """Counters that one purse forgot, as runs [first, last + 1), and what is known of them.

    `settled` and `unsigned` are tiyn by counter; `open` are the runs that nobody has brought.
    """

    counters: list[Run]
    settled: dict[int, int]
    unsigned: dict[int, int]
    open: list[Run]
    is_locked: bool  # its counter stands ahead, so the purse itself noticed


def note_missing(
    connection: Connection,
    export: PurseExport,
    now: int,
    *,
    is_its_newest: bool = False,
    has_locked: bool = False,
) -> None:
    """Write down which counters a genuine, whole export does not account for.

    is_its_newest: the statement was made just now. Only then does a journal that ends early tell
    of a memory that went back; an older export that comes late tells nothing. has_locked: the
    purse says that it locked itself.
    """
    statement, table, journal = export.statement, schema.missing_counters, schema.journal
    newest = export.entries[-1].counter if export.entries else statement.acknowledged
    known = connection.execute(
        select(func.max(journal.c.counter)).where(journal.c.serial == statement.serial)
    ).scalar_one()
    ends = {BY_COUNTER: statement.counter}
    if has_locked:
        ends[BY_PURSE] = statement.counter
    if is_its_newest and known is not None:
        ends[BY_JOURNAL] = known
    row = {
        "serial": statement.serial,
        "first": newest + 1,
        "head": statement.head,
        "seen_at": now,
    }
    for how, last in ends.items():
        if last > newest:
            values = row | {"last": last, "how": how}
            connection.execute(insert(table).on_conflict_do_nothing(), values)


def findings(connection: Connection, office: Office) -> list[Finding]:
    """One for each purse whose memory went back, the earliest noticed first."""
    table = schema.missing_counters
    serials = connection.execute(
        select(table.c.serial).group_by(table.c.serial).order_by(func.min(table.c.seen_at))
    ).scalars()
    found = []
    for serial in list(serials):
        sentence = explanation(connection, office, serial)
        if sentence:
            found.append(Finding(ROLLBACK, serial.hex(), sentence))
    return found


def explanation(connection: Connection, office: Office, serial: bytes) -> str:
    """What is missing on a purse, what of it is known, what to do; empty if nothing is."""
    purse = purse_row(connection, serial)
    missing = what_is_missing(connection, purse)
    if missing is None:
        return ""
    lines = [
        f"The purse of {purse.client_id} at {purse.bank} has forgotten"
        f" {numbers(missing.counters)}: an older memory was put back, or it lost a part of its"
        " own.",
        "Its counter went on, so it has locked itself and pays no more."
        if missing.is_locked
        else "Its counter went back as well, so it may pay again; money that was spent before"
        " shows as spent twice.",
    ]
    if missing.settled:
        lines.append(f"Known here, and settled: {_payments(missing.settled)}.")
    if missing.unsigned:
        lines.append(
            "In its earlier journal, and not settled until a till brings them:"
            f" {_payments(missing.unsigned)}."
        )
    lines.append(_what_is_open(missing.open))
    left = notes_left(connection, serial, office.grace_seconds, ())
    amount = sum(note.left_tiyn for note in left)
    lines.append("Its holder needs a new card.")
    if amount:
        lines.append(
            f"Of its notes at most {format_tiyn(amount)} are left; they wait until"
            f" {day(max(note.settles_at for note in left))}, when no payment of them is taken"
            " any more."
        )
    return " ".join(lines)


def what_is_missing(connection: Connection, purse: Row[Any]) -> Missing | None:
    """What a purse forgot; None where nothing is missing, or a jump of its counter explains it."""
    settled, unsigned = known_payments(connection, purse)
    counters: list[Run] = []
    is_locked = False
    table = schema.missing_counters
    rows = connection.execute(select(table).where(table.c.serial == purse.serial)).all()
    for row in rows:
        run = (row.first, row.last + 1)
        is_paid = any(row.first <= counter <= row.last for counter in (*settled, *unsigned))
        is_too_far = row.how != BY_COUNTER or runs.size([run]) > COUNTER_JUMP
        if is_paid or (is_too_far and not _goes_on(connection, row)):
            counters.append(run)
            is_locked = is_locked or row.how != BY_JOURNAL
    if not counters:
        return None
    counters = _united(counters)
    mine = {counter for counter in (*settled, *unsigned) if _is_in(counter, counters)}
    taken = [(counter, counter + 1) for counter in mine]
    return Missing(
        counters=counters,
        settled={counter: settled[counter] for counter in sorted(mine & settled.keys())},
        unsigned={counter: unsigned[counter] for counter in sorted(mine & unsigned.keys())},
        open=[left for run in counters for left in runs.without(run, taken)],
        is_locked=is_locked,
    )


def _goes_on(connection: Connection, missing: Row[Any]) -> bool:
    """Whether the purse's chain goes on behind the gap: then its chip had only jumped."""
    table = schema.journal
    behind = select(table.c.counter).where(
        table.c.serial == missing.serial,
        table.c.before == missing.head,
        table.c.counter > missing.last,
    )
    return connection.execute(behind).first() is not None


def known_payments(
    connection: Connection, purse: Row[Any]
) -> tuple[dict[int, int], dict[int, int]]:
    """Tiyn by counter of the purse's payments: settled, and in its journal alone."""
    transfers, journal = schema.transfers, schema.journal
    settled: dict[int, int] = defaultdict(int)
    own = select(transfers.c.raw, transfers.c.start, transfers.c.end)
    for row in connection.execute(own.where(transfers.c.payer == purse.serial)):
        seal = unsealed(purse.view_key, row.raw[:-SIGNATURE_SIZE])
        settled[seal.counter] += row.end - row.start
    unsigned = {}
    bodies = select(journal.c.body).where(journal.c.serial == purse.serial)
    for body in list(connection.execute(bodies).scalars()):
        entry = JournalEntry.parse(body)
        if all(is_known(connection, sha256(body)) for body in entry.transfer_bodies):
            settled[entry.counter] = entry.amount  # whatever its seal says
        else:
            settled.pop(entry.counter, None)
            unsigned[entry.counter] = entry.amount
    return settled, unsigned


def _united(found: Iterable[Run]) -> list[Run]:
    """Runs that overlap or touch, as one."""
    united: list[Run] = []
    for start, end in sorted(found):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _is_in(counter: int, found: Iterable[Run]) -> bool:
    return any(start <= counter < end for start, end in found)


def numbers(found: list[Run]) -> str:
    """Runs of counters as people read them: "payments 4 to 9 and 11"."""
    shown = [
        str(start) if end == start + 1 else f"{start} to {end - 1}"
        for start, end in found[:MAX_SHOWN]
    ]
    if len(found) > MAX_SHOWN:
        shown.append("others")
    *first, last = shown
    many = "payment" if runs.size(found) == 1 else "payments"
    return f"{many} {', '.join(first)} and {last}" if first else f"{many} {last}"


def _payments(found: dict[int, int]) -> str:
    many = "1 payment" if len(found) == 1 else f"{len(found)} payments"
    return f"{many}, {format_tiyn(sum(found.values()))}"


def _what_is_open(found: list[Run]) -> str:
    if not found:
        return "None of them is open any more."
    return (
        f"Still open: {numbers(found)}, at tills that have not synced, or never made;"
        " each settles when its till brings it."
    )
