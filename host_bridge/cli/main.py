# SPDX-License-Identifier: Apache-2.0
"""`qalta`: every sub-command in one place, and every refusal as one sentence."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from boards.VIRTUAL.board import BoardError
from firmware.purse.trust import Rejected
from firmware.wire.layout import WireError
from host_bridge.bench.table import BenchError
from host_bridge.cli import bank, bench, board, card, handover, reader
from host_bridge.cli.apdu import apdu
from host_bridge.cli.demo import demo
from host_bridge.cli.doctor import doctor
from host_bridge.cli.readers import readers
from host_bridge.cli.verify import verify
from host_bridge.crypto.keys import KeyFileError
from host_bridge.demo.checks import Broken
from host_bridge.demo.player import Unexpected
from host_bridge.demo.scenario import ScenarioError
from host_bridge.money import AmountError
from host_bridge.pcscd.entry import InstallError
from host_bridge.pcscd.ports import PortError
from host_bridge.session.exchange import CardError
from host_bridge.sync.port import BankRefused, BankUnreachable
from host_bridge.transport.base import TransportError
from host_bridge.transport.trace import show_traffic
from pos_terminal import cli as pos
from pos_terminal.errors import TillError
from provisioning.image import ImageError

_EXPECTED = (
    AmountError,
    BankRefused,
    BankUnreachable,
    BenchError,
    BoardError,
    Broken,
    CardError,
    ImageError,
    InstallError,
    KeyFileError,
    PortError,
    Rejected,
    ScenarioError,
    TillError,
    TransportError,
    Unexpected,
    WireError,
)
_TRACE = "QALTA_TRACE"  # set to anything, an inner failure shows its traceback
_FAILED_INSIDE = 70  # EX_SOFTWARE
_INTERRUPTED = 130

app = typer.Typer(
    name="qalta",
    help="Offline money on secure cards and tills.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(verify)
app.command()(readers)
app.command()(apdu)
app.command()(doctor)
app.add_typer(pos.app, name="pos")
app.add_typer(card.app, name="card")
app.add_typer(reader.app, name="reader")
bank.app.command()(handover.till)
bank.app.command()(handover.root)
app.add_typer(bank.app, name="bank")
app.add_typer(board.app, name="board")
app.add_typer(bench.app, name="bench")


@app.callback()
def options(
    traffic: Annotated[
        bool,
        typer.Option("--traffic", help="Print what goes to cards and back; no PINs, no keys."),
    ] = False,
) -> None:
    """Offline money on secure cards and tills."""
    if traffic:
        show_traffic(sys.stderr)


def main() -> None:
    """Runs the command line; a refusal is one sentence on stderr and exit code 1."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except _EXPECTED as error:
        text = str(error)
        errors.print(text if text.endswith(".") else f"{text}.", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if os.environ.get(_TRACE):
            raise
        errors.print(
            f"qalta failed inside ({type(error).__name__}: {error}). "
            f"Nothing was lost; {_TRACE}=1 shows where.",
            style="red",
            markup=False,
        )
        sys.exit(_FAILED_INSIDE)
