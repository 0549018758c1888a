# SPDX-License-Identifier: Apache-2.0
"""`qalta readers`: every way to a card that this machine has, by the name that --card takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from boards.VIRTUAL.named import list_named
from host_bridge.cli.asking import JsonOption, show_json
from host_bridge.transport.pcsc_context import PcscContext, PcscError, ReaderInfo
from host_bridge.transport.ports import Candidate, candidates, cards_at

NOTHING = (
    "There is no reader, no board on a serial port and no virtual board: plug one in, or start "
    "a virtual board with 'qalta board start NAME'; 'qalta doctor' says what may be wrong."
)
_STATES = {"card": "card", "none": "no card", "mute": "does not answer"}


@dataclass(frozen=True)
class Ways:
    """What was found. `pcsc_error` says why PC/SC readers could not be asked, if they could not.

    `answering` are the serial ports at which a card answered; None where none was asked.
    """

    readers: tuple[ReaderInfo, ...] = ()
    pcsc_error: str = ""
    ports: tuple[Candidate, ...] = ()
    answering: frozenset[str] | None = None
    boards: tuple[tuple[str, str], ...] = ()  # name, port

    @property
    def is_empty(self) -> bool:
        """Whether there is no way at all."""
        return not (self.readers or self.ports or self.boards)


def readers(
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask each serial port for a card; it resets the board.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List PC/SC readers and their cards, boards on serial ports, virtual boards that run."""
    ways = find_ways(ask=ask)
    if as_json:
        show_json(as_data(ways))
        return
    console = Console(highlight=False, markup=False)
    if not ways.is_empty:
        console.print(_table(ways))
    if ways.pcsc_error:
        console.print(ways.pcsc_error, soft_wrap=True)
    if ways.is_empty:
        console.print(NOTHING, soft_wrap=True)


def find_ways(*, ask: bool) -> Ways:
    """Looks; nothing is sent to a serial port unless `ask` says so."""
    found: tuple[ReaderInfo, ...] = ()
    error = ""
    try:
        with PcscContext() as context:
            found = tuple(context.readers())
    except PcscError as failed:
        error = str(failed)
    ports = tuple(candidates())
    answering = frozenset(cards_at(ports)) if ask else None
    running = tuple((board.name, board.port) for board in list_named() if board.port)
    return Ways(found, error, ports, answering, running)


def as_data(ways: Ways) -> dict[str, object]:
    """The same for machines."""
    return {
        "readers": [
            {
                "card": f"pcsc:{reader.number}",
                "name": reader.name,
                "state": _state(reader),
                "in_use": reader.in_use,
                "atr": reader.atr.hex(),
            }
            for reader in ways.readers
        ],
        "serial": [
            {
                "card": f"serial:{port.device}",
                "chip": port.chip,
                "answers": None if ways.answering is None else port.device in ways.answering,
            }
            for port in ways.ports
        ],
        "boards": [{"card": f"board:{name}", "port": port} for name, port in ways.boards],
        "pcsc_error": ways.pcsc_error or None,
    }


def _table(ways: Ways) -> Table:
    # What is typed after --card stays whole on its line, and narrow terminals fold the rest.
    folded = (Column(name, overflow="fold") for name in ("what", "state", "ATR"))
    table = Table(Column("--card", no_wrap=True), *folded)
    for reader in ways.readers:
        state = _STATES[_state(reader)]
        state = f"{state}, in use" if reader.in_use else state
        atr = reader.atr.hex(" ").upper()
        table.add_row(f"pcsc:{reader.number}", reader.name, state, atr)
    for port in ways.ports:
        answers = "not asked"
        if ways.answering is not None:
            answers = "a card answers" if port.device in ways.answering else "no card answers"
        table.add_row(f"serial:{port.device}", port.chip, answers, "")
    for name, device in ways.boards:
        table.add_row(f"board:{name}", f"virtual board at {device}", "runs", "")
    return table


def _state(reader: ReaderInfo) -> str:
    if reader.is_mute:
        return "mute"
    return "card" if reader.has_card else "none"
