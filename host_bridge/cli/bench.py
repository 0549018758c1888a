# SPDX-License-Identifier: Apache-2.0
"""`qalta bench`: what a payment costs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from host_bridge.bench.report import as_data, run
from host_bridge.bench.screen import show
from host_bridge.bench.table import BenchError, Profile, Table, read_table
from host_bridge.bench.tap import Wish

_WIDTH = 100

app = typer.Typer(help="What a payment costs, counted and reckoned.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """What a payment costs, counted and reckoned."""


@app.command()
def tap(
    board: Annotated[
        list[str] | None, typer.Option(help="A board of the table; all that it has if none.")
    ] = None,
    card: Annotated[list[str] | None, typer.Option(help="A card of the table.")] = None,
    rate: Annotated[
        int | None, typer.Option(help="In the air: 106, 212, 424, 848 kbit/s.")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="The PIN is shown first.")] = False,
    pin_asked: Annotated[
        bool, typer.Option("--pin-asked", help="The till learns from the card that it wants it.")
    ] = False,
    first_time: Annotated[
        bool, typer.Option("--first-time", help="At a till of a bank that the card has not met.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Count one sale on a virtual board, and reckon how long it takes on real ones.

    APDUs and bytes are the virtual board's. Signatures, hashes, flash and the commands of the
    chip are counted on the same firmware in this process. Times are a table's, with its sources.
    """
    table = read_table()
    profiles = _chosen(table, board or [], card or [], rate)
    wish = Wish("asked" if pin_asked else "shown" if pin else "", first_time)
    errors = Console(stderr=True, highlight=False, markup=False)
    with errors.status("a tap") as status:
        report = run(table, profiles, wish, rate, status.update)
    if as_json:
        typer.echo(json.dumps(as_data(report), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, markup=False)
    console.width = min(console.width, _WIDTH)
    show(console, report)


def _chosen(table: Table, boards: list[str], cards: list[str], rate: int | None) -> list[Profile]:
    """The profiles that were named, else all that go at the rate. Raises BenchError for none."""
    chosen = [table.profile(name, "board") for name in boards]
    chosen += [table.profile(name, "card") for name in cards]
    if not chosen:
        chosen = [one for one in table.profiles.values() if rate is None or rate in one.rates]
    if not chosen:
        raise BenchError(f"No profile of the table goes at {rate} kbit/s.")
    for profile in chosen:
        table.rate_of(profile, rate)  # refused before anything is sold
    return chosen
