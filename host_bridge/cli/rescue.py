# SPDX-License-Identifier: Apache-2.0
"""Behind `qalta card rescue` and `qalta bank rescue`: a rescue file is made, and settled."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firmware.wire.limits import CHALLENGE_SIZE
from host_bridge.bank.remains import day
from host_bridge.bank.rescue import Rescued, RescuedPurse, RescueReport
from host_bridge.money import format_tiyn
from host_bridge.session.purse import PurseSession
from host_bridge.sync.rescue_card import rescue_card
from host_bridge.sync.rescue_file import Rescue, RescueFileError, Source, write_rescue
from host_bridge.transport.open import open_transport
from provisioning.rescue_image import rescue_image


def from_card(card: str, out: Path, ask_pin: Callable[[], str]) -> list[str]:
    """Writes what a card still gives to the new file `out`; returns what to tell people.

    Raises CardError, TransportError, RescueFileError.
    """
    _must_be_new(out)
    with open_transport(card) as transport:
        session = PurseSession(transport)
        challenge = secrets.token_bytes(CHALLENGE_SIZE)
        rescue = rescue_card(session, card, int(time.time()), challenge, ask_pin)
    return _written(out, rescue)


def from_image(image: Path, out: Path) -> list[str]:
    """Writes what a flash image still holds to the new file `out`; returns what to tell people.

    Raises ImageError, RescueFileError.
    """
    _must_be_new(out)
    return _written(out, rescue_image(image, int(time.time())))


def _must_be_new(out: Path) -> None:
    if out.exists():  # before a PIN is asked for
        raise RescueFileError(f"{out} exists already.")


def _written(out: Path, rescue: Rescue) -> list[str]:
    entries = len(rescue.entries) + (len(rescue.export.entries) if rescue.export else 0)
    write_rescue(out, rescue)
    whose = rescue.certificate.serial.hex() if rescue.certificate else "that cannot be named"
    return [
        f"Purse {whose}: {len(rescue.stored)} stored records and {entries} entries are in {out}.",
        *(f"Unreadable: {sentence}." for sentence in rescue.unreadable),
        f"Bring it to the bank: qalta bank rescue FOLDER {out}",
    ]


def show_report(console: Console, rescue: Rescue, report: RescueReport) -> None:
    """The bank's word on a rescue file, as people read it."""
    source = "a card" if rescue.source is Source.CARD else "a flash image"
    console.print(f"Read from {source}, {rescue.origin}, on {day(rescue.made_at)}.")
    table = Table("number", "payment", "state", "remark", title="Rescued payments")
    table.add_column("amount", justify="right")
    for payment in report.payments:
        table.add_row(
            str(payment.counter),
            payment.payment_id.hex(),
            payment.state.value,
            payment.sentence,
            format_tiyn(payment.amount_tiyn),
        )
    console.print(table)
    sums = [
        f"{state.value} {format_tiyn(report.amount_tiyn(state))}"
        for state in Rescued
        if any(payment.state is state for payment in report.payments)
    ]
    console.print(f"Found {len(report.payments)} payments: {', '.join(sums) or 'none'}.")
    for sentence in report.unreadable:
        console.print(f"Unreadable: {sentence}.", soft_wrap=True)
    for purse in report.purses:
        _show_purse(console, purse)


def _show_purse(console: Console, purse: RescuedPurse) -> None:
    title = f"Notes of purse {purse.serial.hex()}, {purse.client_id} at {purse.bank}"
    table = Table("note", title=title)
    for column in ("value", "left", "open", "refund from"):
        table.add_column(column, justify="right")
    for note in purse.notes:
        table.add_row(
            note.note_id.hex(),
            format_tiyn(note.value_tiyn),
            format_tiyn(note.left_tiyn),
            format_tiyn(note.open_tiyn),
            day(note.settles_at),
        )
    console.print(table)
    left = format_tiyn(sum(note.left_tiyn for note in purse.notes))
    opened = format_tiyn(sum(note.open_tiyn for note in purse.notes))
    console.print(f"Left on this purse: {left}, and {opened} in payments that are still open.")
    if purse.explanation:
        console.print(purse.explanation, soft_wrap=True)
