# SPDX-License-Identifier: Apache-2.0
"""`qalta card info|balance|pin|journal|recover`: looking into a card; nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firmware.purse.trust import Trust
from firmware.purse.verify import check_chain
from firmware.wire import status
from firmware.wire.apdu import (
    FLAG_JOURNAL_FULL,
    LIFECYCLE_ACTIVE,
    LIFECYCLE_BLANK,
    LIFECYCLE_DAMAGED,
    LIFECYCLE_SYNC_ONLY,
)
from firmware.wire.certificate import (
    CURRENCY_KZT,
    PURPOSE_GENERAL,
    ROLE_PURSE,
    ROLE_TERMINAL,
    Certificate,
)
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import WireError
from firmware.wire.limits import JOURNAL_CAPACITY
from firmware.wire.token import Token
from firmware.wire.transfer import PAYMENT_ID_SIZE
from host_bridge.cli.asking import CardOption, JsonOption, ask_pin, show_json
from host_bridge.cli.verify import certificates_in, read_root
from host_bridge.crypto import p256
from host_bridge.files import replace_file
from host_bridge.money import format_tiyn
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused
from host_bridge.session.purse import PurseInfo, PurseSession, WrongPin
from host_bridge.transport.open import open_transport

_LIFECYCLES = {
    LIFECYCLE_BLANK: ("blank", "blank"),
    LIFECYCLE_ACTIVE: ("active", "active"),
    LIFECYCLE_SYNC_ONLY: (
        "sync-only",
        "locked: its memory was put back to an older one; it can only be synced",
    ),
    LIFECYCLE_DAMAGED: (
        "damaged",
        "damaged: it cannot read a part of its memory; see 'qalta card rescue'",
    ),
}
_CURRENCIES = {0: "none yet", CURRENCY_KZT: "KZT"}
_TIERS = ("software", "microcontroller", "secure element", "certified card")
_TRIES_LEFT = {0: "The PIN is blocked.", 1: "One try is left."}
_AMOUNT_WIDTH = 15  # of 42 949 672,95 ₸, the largest amount
_SHORT = 16  # hex digits of an id that people compare

_Certificates = Annotated[
    list[Path] | None, typer.Option(help="A folder of certificates; may be given again.")
]
_Root = Annotated[str, typer.Option(help="The root's public key: a file, or 128 hex digits.")]


def info(card: CardOption, as_json: JsonOption = False) -> None:
    """What the card tells anybody: nothing that identifies it."""
    with open_transport(card) as transport:
        told = PurseSession(transport).select()
    if as_json:
        show_json(_info_data(told))
        return
    state = _LIFECYCLES.get(told.lifecycle, ("", f"unknown ({told.lifecycle})"))[1]
    full = "full: sync the card" if told.flags & FLAG_JOURNAL_FULL else "has room"
    table = Table(show_header=False)
    table.add_row("state", state)
    table.add_row("protocol", str(told.protocol))
    table.add_row("tier", f"{told.tier} ({_tier(told.tier)})")
    table.add_row("currency", _CURRENCIES.get(told.currency, str(told.currency)))
    table.add_row("policy", str(told.policy_version) if told.policy_version else "none yet")
    table.add_row("PIN", "blocked" if told.pin_blocked else "can be tried")
    table.add_row("journal", full)
    _console().print(table)


def balance(card: CardOption, as_json: JsonOption = False) -> None:
    """What is on the card, by purpose; the card asks for the PIN."""
    with _shown(card) as session:
        amounts = sorted(session.balance().items())
    total = sum(amount for _, amount in amounts)
    if as_json:
        rows = [{"purpose": purpose, "amount_tiyn": amount} for purpose, amount in amounts]
        show_json({"balances": rows, "total_tiyn": total})
        return
    table = Table(show_footer=len(amounts) > 1)
    table.add_column("purpose", "together")
    table.add_column("amount", format_tiyn(total), justify="right")
    for purpose, amount in amounts:
        table.add_row(_purpose(purpose), format_tiyn(amount))
    _console().print(table)


def pin(
    card: CardOption,
    tries: Annotated[
        bool, typer.Option("--tries", help="Ask only how many tries are left; none is taken.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Try the PIN, or ask how many tries are left. Exit code 1 if it was wrong or is blocked."""
    refused: CardError | None = None
    left: int | None = None
    given = "" if tries else ask_pin()
    with open_transport(card) as transport:
        session = PurseSession(transport)
        session.select()
        try:
            if tries:
                left = session.pin_tries()
            else:
                session.verify_pin(given)
        except WrongPin as error:
            refused, left = error, error.tries_left
        except CardRefused as error:
            if error.word != status.BLOCKED:
                raise
            refused, left = error, 0
    if as_json:
        show_json({"verified": None if tries else refused is None, "tries_left": left})
    elif refused is not None:
        raise refused
    elif tries:
        typer.echo(_TRIES_LEFT.get(left or 0, f"{left} tries are left."))
    else:
        typer.echo("The PIN is right.")
    if refused is not None or left == 0:
        raise typer.Exit(1)


def journal(
    card: CardOption, certificates: _Certificates = None, as_json: JsonOption = False
) -> None:
    """The payments that wait for the bank's acknowledgement; the card asks for the PIN."""
    names = _names_in(certificates or ())
    with _shown(card) as session:
        entries = list(_entries(session))
    total = sum(entry.amount for entry in entries)
    if as_json:
        rows = [_entry_data(entry, names) for entry in entries]
        show_json({"entries": rows, "total_tiyn": total})
        return
    if not entries:
        typer.echo("No payment waits for the bank.")
        return
    console = _console()
    for entry in entries:
        payee = names.get(entry.payee, entry.payee.hex()[:_SHORT])
        amount = f"{format_tiyn(entry.amount):>{_AMOUNT_WIDTH}}"
        console.print(
            f"{entry.counter:>4}  {_when(entry.time)}  {amount}  {payee}", soft_wrap=True
        )
        purpose = _purpose(entry.purpose)
        # On a line of its own it can be copied, however narrow the terminal is.
        console.print(
            f"      {entry.payment_id.hex()}  {purpose}, {_state(entry)}", soft_wrap=True
        )
    what = "One payment" if len(entries) == 1 else f"{len(entries)} payments"
    waits = "waits" if len(entries) == 1 else "wait"
    console.print(f"{what}, {format_tiyn(total)}, {waits} for the bank.", soft_wrap=True)


def recover(
    payment: Annotated[str, typer.Argument(help="The payment's id, 32 hex digits.")],
    card: CardOption,
    root: _Root,
    certificates: _Certificates = None,
    out: Annotated[Path | None, typer.Option(help="A new file, for `qalta verify`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The tokens of a payment that the card made, the same again, verified. Nothing is paid."""
    payment_id = _payment_id(payment)
    trust = Trust(read_root(root), p256.verify)
    _believe(trust, certificates or ())
    names = _names_in(certificates or ())
    if out is not None and out.exists():
        raise CardError(f"{out} exists already.")
    with open_transport(card) as transport:
        session = PurseSession(transport)
        session.select()
        tokens = session.recover(payment_id)
    for token in tokens:
        if token.transfer.payment_id != payment_id:
            raise CardMisbehaved("the card answered with another payment")
        check_chain(trust, token)
    if out is not None:
        _write(out, trust, tokens)
    total = sum(token.amount_tiyn for token in tokens)
    if as_json:
        show_json(_tokens_data(payment_id, tokens, total))
        return
    first = tokens[0].transfer
    payee = names.get(first.payee, first.payee.hex()[:_SHORT])
    typer.echo(f"verified: {format_tiyn(total)} to {payee}, {_when(first.time)}")
    for token in tokens:
        note = token.note.note_id.hex()
        typer.echo(f"token: {format_tiyn(token.amount_tiyn)} of note {note}")
    if out is not None:
        typer.echo(f"The tokens are in {out}.")


@contextmanager
def _shown(card: str) -> Iterator[PurseSession]:
    """The card in its reader, with the PIN shown."""
    given = ask_pin()
    with open_transport(card) as transport:
        session = PurseSession(transport)
        session.select()
        session.verify_pin(given)
        yield session


def _entries(session: PurseSession) -> Iterator[JournalEntry]:
    """What waits for its acknowledgement, the oldest first."""
    for index in range(JOURNAL_CAPACITY):
        try:
            yield session.entry(index)
        except CardRefused as refused:
            if refused.word != status.NOT_FOUND:
                raise
            return


def _certificates(folders: Iterable[Path]) -> Iterator[Certificate]:
    for folder in folders:
        yield from certificates_in(folder)


def _names_in(folders: Iterable[Path]) -> dict[bytes, str]:
    """The names in the certificates of folders, by RecordId."""
    return {found.record_id: found.name for found in _certificates(folders) if found.name}


def _believe(trust: Trust, folders: Iterable[Path]) -> None:
    """Takes those that are under the root; a terminal's own is there for its name only."""
    for certificate in _certificates(folders):
        if certificate.role not in (ROLE_PURSE, ROLE_TERMINAL):
            trust.add(certificate)


def _payment_id(text: str) -> bytes:
    try:
        payment_id = bytes.fromhex(text)
    except ValueError:
        payment_id = b""
    if len(payment_id) != PAYMENT_ID_SIZE:
        raise CardError(f"'{text}' is no payment's id: it has {2 * PAYMENT_ID_SIZE} hex digits.")
    return payment_id


def _write(out: Path, trust: Trust, tokens: list[Token]) -> None:
    parts = [certificate.raw for certificate in trust.known]
    parts += [token.raw for token in tokens]
    try:
        replace_file(out, b"".join(parts))
    except OSError as error:
        raise WireError(f"{out} cannot be written: {error.strerror}") from None


def _info_data(told: PurseInfo) -> dict[str, object]:
    return {
        "state": _LIFECYCLES.get(told.lifecycle, (f"unknown-{told.lifecycle}", ""))[0],
        "protocol": told.protocol,
        "tier": told.tier,
        "currency": told.currency,
        "policy_version": told.policy_version,
        "pin_blocked": told.pin_blocked,
        "journal_full": bool(told.flags & FLAG_JOURNAL_FULL),
    }


def _entry_data(entry: JournalEntry, names: dict[bytes, str]) -> dict[str, object]:
    return {
        "number": entry.counter,
        "time": _iso(entry.time),
        "amount_tiyn": entry.amount,
        "purpose": entry.purpose,
        "payment_id": entry.payment_id.hex(),
        "payee": entry.payee.hex(),
        "payee_name": names.get(entry.payee),
        "signed": entry.is_signed,
    }


def _tokens_data(payment_id: bytes, tokens: list[Token], total: int) -> dict[str, object]:
    return {
        "payment_id": payment_id.hex(),
        "verified": True,
        "amount_tiyn": total,
        "payee": tokens[0].transfer.payee.hex(),
        "time": _iso(tokens[0].transfer.time),
        "tokens": [
            {"note": token.note.note_id.hex(), "amount_tiyn": token.amount_tiyn}
            for token in tokens
        ],
    }


def _console() -> Console:
    return Console(highlight=False, markup=False)  # people's names may have brackets in them


def _state(entry: JournalEntry) -> str:
    return "paid, waits for the bank" if entry.is_signed else "paid, not signed yet"


def _purpose(purpose: int) -> str:
    return "general" if purpose == PURPOSE_GENERAL else str(purpose)


def _tier(tier: int) -> str:
    return _TIERS[tier] if tier < len(_TIERS) else "unknown"


def _when(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
