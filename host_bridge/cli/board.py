# SPDX-License-Identifier: Apache-2.0
"""`qalta board`: virtual boards by name."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from boards.VIRTUAL import named
from boards.VIRTUAL.board import BoardError
from boards.VIRTUAL.runtime import RuntimeMissing
from host_bridge.transport.base import TransportError
from host_bridge.transport.open import open_transport
from provisioning.image import ImageError, build_image, refresh_firmware

app = typer.Typer(help="Virtual boards: real MicroPython cards on this PC.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="The board's name.")]


@app.command()
def start(
    name: _Name,
    bits: Annotated[int, typer.Option(help="Which MicroPython: 64 or 32 bits.")] = 64,
    heap: Annotated[int | None, typer.Option(help="Heap in KiB.", min=32, max=65536)] = None,
) -> None:
    """Switch a board on (the first time its flash image is made) and print its port."""
    with _one_sentence_errors():
        board = named.start_named(name, build_image, bits=bits, heap_kib=heap)
        try:
            open_transport(f"board:{name}").close()
        except TransportError as error:
            with suppress(BoardError):  # it may be off already
                named.stop_named(name)
            raise BoardError(f"Board '{name}' did not boot ({error}) See {board.log}.") from None
        typer.echo(board.port)


@app.command()
def stop(name: _Name) -> None:
    """Switch a board off."""
    with _one_sentence_errors():
        named.stop_named(name)


@app.command()
def kill(name: _Name) -> None:
    """Pull a board's power, whatever it is doing."""
    with _one_sentence_errors():
        named.kill_named(name)


@app.command()
def refresh(name: _Name) -> None:
    """Put the current firmware into a stopped board's image; its money stays."""
    with _one_sentence_errors():
        named.refresh_named(name, refresh_firmware)


@app.command("list")
def list_boards() -> None:
    """List the boards."""
    table = Table("board", "port", "process", "image")
    for board in named.list_named():
        pid = str(board.pid) if board.pid else "off"
        table.add_row(board.name, board.port or "", pid, str(board.image))
    Console().print(table)


@contextmanager
def _one_sentence_errors() -> Iterator[None]:
    try:
        yield
    except (BoardError, ImageError, RuntimeMissing, ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
