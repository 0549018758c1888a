# SPDX-License-Identifier: Apache-2.0
"""Reads of a card that pays no more whatever it still gives, into a rescue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from firmware.wire import status
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_BLANK
from firmware.wire.bundle import PurseExport
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import WireError
from firmware.wire.limits import JOURNAL_CAPACITY
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused
from host_bridge.session.purse import PurseSession, WrongPin
from host_bridge.sync.rescue_file import MAX_STORED, MAX_TEXTS, Rescue, Source, check_stored
from host_bridge.transport.base import TransportError

T = TypeVar("T")

MAX_BAD_IN_A_ROW = 32  # stored records that cannot be read, before the rest is given up
MAX_BAD_ENTRIES = 4  # likewise of entries: a card without its notes can give none


@dataclass
class _Reading:
    """What is read so far. A link that ends keeps it."""

    stored: list[tuple[int, bytes]] = field(default_factory=list)
    entries: list[JournalEntry] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    is_over: bool = False  # the card is gone

    def try_to(self, what: str, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None and a line that says why not."""
        if self.is_over:
            return None
        try:
            return read()
        except (CardRefused, CardMisbehaved, WireError) as error:
            self.miss(f"{what}: {error}")
        except TransportError as error:
            self.miss(f"{what}: {error}")
            self.is_over = True
        return None

    def miss(self, sentence: str) -> None:
        if len(self.unreadable) < MAX_TEXTS:
            self.unreadable.append(sentence)


def rescue_card(
    session: PurseSession,
    origin: str,
    now: int,
    challenge: bytes,
    ask_pin: Callable[[], str],
) -> Rescue:
    """Everything that a locked or damaged card gives; `ask_pin` is called where it wants the PIN.

    Raises CardError for a card that is in order or blank, and for a wrong PIN; TransportError
    if it does not even answer SELECT. Whatever comes later is kept as a line in the rescue.
    """
    lifecycle = session.select().lifecycle
    if lifecycle == LIFECYCLE_BLANK:
        raise CardError("This card is blank: there is nothing on it to rescue.")
    if lifecycle == LIFECYCLE_ACTIVE:
        raise CardError("This card is in order: sync it at a till, nothing is to be rescued.")
    reading = _Reading()
    _show_pin(session, reading, ask_pin)
    certificate = reading.try_to("the certificate", session.certificate)
    export: PurseExport | None = None
    if certificate is not None:
        export = reading.try_to("the statement", lambda: session.export(challenge))
    if export is None:
        _read_entries(session, reading)
    _read_stored(session, reading)
    return Rescue(
        source=Source.CARD,
        lifecycle=lifecycle,
        made_at=now,
        origin=origin,
        certificate=certificate,
        export=export,
        entries=tuple(reading.entries),
        stored=tuple(reading.stored),
        unreadable=tuple(reading.unreadable),
    )


def _show_pin(session: PurseSession, reading: _Reading, ask_pin: Callable[[], str]) -> None:
    """Shows the PIN if the card wants it; one that lost its PIN wants none."""
    try:
        next(session.stored_records(), None)
    except CardRefused as refused:
        if refused.word != status.NOT_AUTHENTICATED:
            return  # it is tried again, and then it is said
    except (CardMisbehaved, TransportError):
        return
    else:
        return
    pin = ask_pin()
    try:
        session.verify_pin(pin)
    except WrongPin:
        raise
    except CardRefused as refused:
        if refused.word == status.BLOCKED:
            raise
        reading.miss(f"the PIN: {refused}")


def _read_entries(session: PurseSession, reading: _Reading) -> None:
    """The entries one by one, each signed by the card if its key still lives."""
    bad = in_a_row = 0
    for index in range(JOURNAL_CAPACITY):
        if in_a_row == MAX_BAD_ENTRIES or reading.is_over:
            break
        try:
            reading.entries.append(session.entry(index))
            in_a_row = 0
        except CardRefused as refused:
            if refused.word != status.MEMORY_FAILURE:
                break  # behind the last one, or a card that gives none
            bad += 1
            in_a_row += 1
        except CardMisbehaved as error:
            reading.miss(f"entry {index}: {error}")
        except TransportError as error:
            reading.miss(f"entry {index}: {error}")
            reading.is_over = True
    if bad:
        given_up = ", and those behind them" if in_a_row == MAX_BAD_ENTRIES else ""
        reading.miss(f"{bad} of the entries{given_up}: the card's memory failed")


def _read_stored(session: PurseSession, reading: _Reading) -> None:
    """The journal's log, past records that cannot be read."""
    index, bad, in_a_row = 0, 0, 0
    while in_a_row < MAX_BAD_IN_A_ROW and index < MAX_STORED and not reading.is_over:
        before = len(reading.stored)
        try:
            for kind, payload in session.stored_records(index):
                check_stored(kind, payload)
                reading.stored.append((kind, payload))
            break
        except (CardRefused, CardMisbehaved, WireError):
            bad += 1
        except TransportError as error:
            reading.miss(f"stored records from number {index} on: {error}")
            reading.is_over = True
        got = len(reading.stored) - before
        in_a_row = 1 if got else in_a_row + 1
        index += got + 1
    if bad:
        given_up = ", and those behind them" if in_a_row == MAX_BAD_IN_A_ROW else ""
        reading.miss(f"{bad} of the stored records{given_up}")
