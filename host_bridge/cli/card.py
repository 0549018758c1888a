# SPDX-License-Identifier: Apache-2.0
"""`qalta card`: a card in the reader: made, loaded, its PIN changed; looked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from firmware.wire.apdu import LIFECYCLE_BLANK
from firmware.wire.certificate import PURPOSE_GENERAL
from host_bridge.bank import ReferenceBank
from host_bridge.cli import card_views
from host_bridge.cli.asking import PIN_VARIABLE, CardOption, ask_pin, ask_secret
from host_bridge.cli.rescue import from_card, from_image
from host_bridge.money import format_tiyn, parse_tiyn
from host_bridge.session.exchange import CardError
from host_bridge.session.purse import PurseSession, pin_bytes, puk_bytes
from host_bridge.sync.port import BankRefused
from host_bridge.transport.open import open_transport
from provisioning.master_key import read_or_make
from provisioning.personalise import Order, Wanted, random_puk
from provisioning.personalise import load as load_note
from provisioning.personalise import personalise as make_purse

app = typer.Typer(
    help="A card in the reader: make it, load it, look into it. "
    f"A PIN is asked for, hidden; or it is read from {PIN_VARIABLE}, or from a pipe.",
    no_args_is_help=True,
)
app.command()(card_views.info)
app.command()(card_views.balance)
app.command()(card_views.pin)
app.command()(card_views.journal)
app.command()(card_views.recover)

BankOption = Annotated[Path, typer.Option("--bank", help="The reference bank's folder.")]


@app.command()
def personalise(
    card: CardOption,
    bank: BankOption,
    bank_name: Annotated[str, typer.Option(help="Which of its banks serves the client.")],
    client: Annotated[str, typer.Option(help="The client whose card it will be.")],
) -> None:
    """Make a blank card a client's purse. Asks for the PIN; prints the PUK once."""
    pin = ask_pin("new PIN", twice=True)
    pin_bytes(pin)
    puk = random_puk()
    with open_transport(card) as transport:
        if PurseSession(transport).select().lifecycle != LIFECYCLE_BLANK:
            raise CardError("This card is a purse already: it is not in a state that allows this.")
        reference = ReferenceBank(bank)
        try:
            order = Order(bank_name, client, pin, puk, read_or_make(bank / "keys"))
            certificate = make_purse(transport, reference, order)
        finally:
            reference.close()
    typer.echo(f"Purse {certificate.serial.hex()} of {client} is active.")
    typer.echo(f"PUK {puk}: write it down for the client; it is shown once.")


@app.command()
def load(
    amount: Annotated[str, typer.Argument(help="Tenge, such as 12500 or 12500.50.")],
    card: CardOption,
    bank: BankOption,
    bank_name: Annotated[str, typer.Option(help="The bank that serves the card's client.")],
    purpose: Annotated[
        int, typer.Option(help="0 for general money; else a purpose of --authority's.")
    ] = PURPOSE_GENERAL,
    authority: Annotated[str, typer.Option(help="Who labels money of a purpose.")] = "",
) -> None:
    """Load money: from the client's account, or of a purpose from an authority's budget."""
    wanted = Wanted(parse_tiyn(amount), purpose, authority)
    if bool(purpose) is not bool(authority):
        raise BankRefused("Money of a purpose needs both --purpose and --authority.")
    pin = ask_pin()
    reference = ReferenceBank(bank)
    try:
        with open_transport(card) as transport:
            note = load_note(transport, reference, bank_name, pin, wanted)
    finally:
        reference.close()
    typer.echo(f"Loaded {format_tiyn(note.value)}.")


@contextmanager
def _selected(card: str) -> Iterator[PurseSession]:
    with open_transport(card) as transport:
        session = PurseSession(transport)
        session.select()
        yield session


@app.command("change-pin")
def change_pin(card: CardOption) -> None:
    """A new PIN, by who knows the old one; through a pipe: the old one, then the new one."""
    old = ask_secret("old PIN")
    new = ask_secret("new PIN", twice=True)
    with _selected(card) as session:
        session.change_pin(old, new)
    typer.echo("The card has its new PIN.")


@app.command()
def unblock(card: CardOption) -> None:
    """A new PIN, by who has the PUK; through a pipe: the PUK, then the new PIN."""
    puk = ask_secret("PUK")
    puk_bytes(puk)
    new = ask_secret("new PIN", twice=True)
    with _selected(card) as session:
        session.unblock_pin(puk, new)
    typer.echo("The card has its new PIN.")


@app.command()
def rescue(
    out: Annotated[Path, typer.Argument(help="A new file, for `qalta bank rescue`.")],
    card: Annotated[
        str, typer.Option("--card", help="A locked or damaged card: board:NAME, serial:/dev/…")
    ] = "",
    image: Annotated[
        Path | None, typer.Option(help="The flash image of a board that answers no more.")
    ] = None,
) -> None:
    """Read what can be read of a purse that pays no more, for its bank to settle."""
    if bool(card) is (image is not None):
        raise CardError("Say what to read: either --card or --image.")
    found = from_card(card, out, ask_pin) if image is None else from_image(image, out)
    for line in found:
        typer.echo(line)
