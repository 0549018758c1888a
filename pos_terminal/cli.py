# SPDX-License-Identifier: Apache-2.0
"""`qalta pos`: the till on the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from host_bridge.money import format_tiyn, parse_tiyn
from host_bridge.sync.client import HttpBank
from host_bridge.sync.port import BankPort
from host_bridge.transport.base import Transport
from host_bridge.transport.open import open_transport
from pos_terminal.book import Payment
from pos_terminal.cheque import Cheque
from pos_terminal.errors import TillError
from pos_terminal.install import install_till, read_package
from pos_terminal.payment import AskPin, OpenCard
from pos_terminal.states import PaymentState
from pos_terminal.till import Till, unix_time

app = typer.Typer(help="The till: sell, tap, receipt, sync.", no_args_is_help=True)
catalogue_app = typer.Typer(help="What the merchant sells.", no_args_is_help=True)
app.add_typer(catalogue_app, name="catalogue")

_NOT_PAID = 1  # exit codes; 2 is a wrong command line
_TORN = 3
_MAX_PIN_LINE = 64
_WAIT_S = 30.0  # for a card to be held to the reader
_STYLES = {
    PaymentState.PAID: "green",
    PaymentState.SYNCHRONISED: "bold green",
    PaymentState.TORN: "bold yellow",
    PaymentState.UNKNOWN: "yellow",
    PaymentState.PENDING: "yellow",
}

_Folder = Annotated[
    Path | None,
    typer.Option("--till", envvar="QALTA_TILL", help="The till's folder.", show_default=False),
]
_Card = Annotated[
    str,
    typer.Option(
        "--card", help="board:NAME, serial[:DEVICE], a device path, pcsc[:READER] or auto."
    ),
]
_Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds that a PC/SC reader waits for the card.")
]
_Pin = Annotated[
    bool, typer.Option("--pin-prompt", help="Ask for the PIN first; without a terminal, read it.")
]
_Which = Annotated[str, typer.Argument(help="A payment's number, or its id's first digits.")]
_Columns = Annotated[int, typer.Option(help="Columns of the receipt: 32 or 42.")]
_Bank = Annotated[str, typer.Option("--bank", help="The bank's URL; else the till's own.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The new till's folder.")],
    package: Annotated[Path, typer.Argument(help="The folder that the bank's clerk handed over.")],
) -> None:
    """Install a till from its bank's package."""
    setup, directory = read_package(package, unix_time())
    install_till(folder, setup, directory)
    typer.echo(f"{setup.certificate.name or 'The till'} is installed in {folder}.")


@app.command()
def sell(
    card: _Card,
    amount: Annotated[str | None, typer.Argument(help="Tenge, such as 12500 or 12500.50.")] = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", help="CODE[:QUANTITY] of the catalogue.")
    ] = None,
    pin_prompt: _Pin = False,
    columns: _Columns = 32,
    wait: _Wait = _WAIT_S,
    folder: _Folder = None,
) -> None:
    """Sell an amount, or items, to the card that is held to the reader."""
    with _till(folder) as till:
        cheque = _cheque(till, amount, item or [])
        pin = _given_pin(pin_prompt)
        payment = till.sell(cheque, _opener(card, wait), pin=pin, ask_pin=_pin_asker())
        _show_outcome(till, payment, columns)


@app.command()
def recover(
    which: _Which,
    card: _Card,
    pay_again: Annotated[
        bool, typer.Option("--pay-again", help="It is the same card: let it pay now.")
    ] = False,
    pin_prompt: _Pin = False,
    columns: _Columns = 32,
    wait: _Wait = _WAIT_S,
    folder: _Folder = None,
) -> None:
    """Hold the card again after a torn tap. It never pays twice."""
    with _till(folder) as till:
        payment_id = till.find(which).payment_id
        pin = _given_pin(pin_prompt)
        payment = till.recover(
            payment_id, _opener(card, wait), pay_again=pay_again, pin=pin, ask_pin=_pin_asker()
        )
        _show_outcome(till, payment, columns)


@app.command("give-up")
def give_up(which: _Which, folder: _Folder = None) -> None:
    """The card of a torn tap does not come back: leave it to the bank."""
    with _till(folder) as till:
        payment = till.give_up(till.find(which).payment_id)
        typer.echo(f"Payment {payment.short_id} is {payment.state}: {payment.reason}")


@app.command("payments")
def list_payments(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    folder: _Folder = None,
) -> None:
    """List the payments and their states."""
    with _till(folder) as till:
        payments = till.payments()
        if as_json:
            typer.echo(json.dumps([_document(payment) for payment in payments], indent=2))
            return
        table = Table("no.", "payment", "time (UTC)", "amount", "state", "remark")
        table.columns[3].justify = "right"
        for payment in payments:
            time = datetime.fromtimestamp(payment.time, UTC)
            table.add_row(
                str(payment.number),
                payment.short_id,
                f"{time:%Y-%m-%d %H:%M:%S}",
                format_tiyn(payment.amount_tiyn),
                Text(payment.state, style=_STYLES.get(payment.state, "red")),
                Text(payment.reason),
            )
        Console().print(table)


@app.command()
def receipt(which: _Which, columns: _Columns = 32, folder: _Folder = None) -> None:
    """Print a payment's receipt."""
    with _till(folder) as till:
        typer.echo(till.receipt(till.find(which).payment_id, columns), nl=False)


@app.command()
def sync(bank: _Bank = "", folder: _Folder = None) -> None:
    """Send the bank what it is owed, and fetch its news."""
    with _till(folder) as till:
        line = _line(till, bank)
        if line is None:
            raise TillError("The till does not know where its bank is: use --bank URL.")
        report = till.sync(line)
        typer.echo(f"{report.sent} sent, {report.resolved} resolved, {report.waiting} waiting.")
        for trouble in [*report.failed, report.unreachable]:
            if trouble:
                typer.echo(trouble, err=True)
        if report.failed or report.unreachable:
            raise typer.Exit(1)


@app.command("sync-card")
def sync_card(card: _Card, bank: _Bank = "", folder: _Folder = None) -> None:
    """Sync a card: its journal to the bank, the bank's word to the card. Asks for its PIN."""
    with _till(folder) as till:
        result = till.sync_card(_opener(card), _given_pin(True) or "", _line(till, bank))
        told = f"Payments of the card: {result.entries}."
        if result.queued:
            typer.echo(f"{told} They wait for a line: sync the till, then the card.")
        else:
            typer.echo(f"{told} They are with the bank; the card knows.")


@app.command()
def bundle(
    file: Annotated[Path, typer.Argument(help="The file, on a USB stick for instance.")],
    folder: _Folder = None,
) -> None:
    """Write all that the bank is owed into one signed file."""
    with _till(folder) as till:
        count = till.write_bundle(file)
        typer.echo(f"{file}: {count} in it; they stay in the outbox for the bank's word.")


@app.command()
def token(
    which: _Which,
    file: Annotated[Path, typer.Argument(help="A new file, for `qalta verify`.")],
    folder: _Folder = None,
) -> None:
    """Write a payment's tokens to a file, with the certificates that they stand on."""
    with _till(folder) as till:
        payment = till.find(which)
        till.write_tokens(payment.payment_id, file)
        typer.echo(f"The tokens of payment {payment.short_id} are in {file}.")


@catalogue_app.command("import")
def import_catalogue(
    file: Annotated[Path, typer.Argument(help="CSV with the columns code, name, price.")],
    folder: _Folder = None,
) -> None:
    """Replace the catalogue by a CSV file."""
    with _till(folder) as till:
        typer.echo(f"{till.catalogue.load(file)} items.")


@contextmanager
def _till(folder: Path | None) -> Iterator[Till]:
    with Till.open(folder or _default_folder()) as till:
        yield till


def _default_folder() -> Path:
    home = os.environ.get("QALTA_HOME")
    return (Path(home) if home else platformdirs.user_state_path("qalta")) / "till"


def _cheque(till: Till, amount: str | None, items: list[str]) -> Cheque:
    if (amount is None) is (not items):
        raise TillError("Give either an amount or items (--item CODE).")
    if amount is not None:
        return Cheque.of_amount(parse_tiyn(amount))
    return Cheque(tuple([till.catalogue.line(item) for item in items]))


def _opener(card: str, wait_s: float = _WAIT_S) -> OpenCard:
    def open_card() -> Transport:
        if card.startswith("pcsc"):
            typer.echo("Hold the card to the reader.", err=True)
        return open_transport(card, wait_s=wait_s)

    return open_card


def _line(till: Till, url: str) -> BankPort | None:
    """The bank at `url`, or where the till was told it is; None if it was not told."""
    where = url or till.bank_url
    return HttpBank(where) if where else None


def _given_pin(prompt: bool) -> str | None:
    """The PIN from the environment, or asked for without an echo, or read from a pipe."""
    if "QALTA_PIN" in os.environ:
        return os.environ["QALTA_PIN"]
    if not prompt:
        return None
    if not sys.stdin.isatty():
        return sys.stdin.readline(_MAX_PIN_LINE).rstrip("\n")
    return str(typer.prompt("PIN", hide_input=True, err=True))


def _pin_asker() -> AskPin | None:
    """Asks the holder when the card wants a PIN, where there is a terminal to ask at."""
    if not sys.stdin.isatty():
        return None

    def ask(what: str) -> str | None:
        pin = typer.prompt(f"{what} PIN, empty to stop", "", hide_input=True, err=True)
        return str(pin) or None

    return ask


def _show_outcome(till: Till, payment: Payment, columns: int) -> None:
    if payment.state is PaymentState.PAID:
        typer.echo(till.receipt(payment.payment_id, columns), nl=False)
        return
    typer.echo(f"Payment {payment.short_id} is {payment.state}: {payment.reason}", err=True)
    if payment.state in (PaymentState.TORN, PaymentState.UNKNOWN):
        typer.echo(
            f"Hold the card again: 'qalta pos recover {payment.number}'. If the same card does "
            "not know the payment, add --pay-again: it was never asked, and pays now.",
            err=True,
        )
        raise typer.Exit(_TORN)
    raise typer.Exit(_NOT_PAID)


def _document(payment: Payment) -> dict[str, object]:
    return {
        "number": payment.number,
        "payment_id": payment.payment_id.hex(),
        "state": payment.state,
        "amount_tiyn": payment.amount_tiyn,
        "time": payment.time,
        "reason": payment.reason,
        "apdus": payment.tap.apdus,
        "bytes_out": payment.tap.bytes_out,
        "bytes_in": payment.tap.bytes_in,
        "wall_ms": payment.tap.wall_ms,
    }
