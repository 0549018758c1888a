# SPDX-License-Identifier: Apache-2.0
"""`qalta reader`: tells pcscd of the reader board at a serial port, or of it no longer."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from host_bridge.pcscd import entry
from host_bridge.pcscd.driver import NAME, find_driver
from host_bridge.pcscd.ports import holders, serial_port, usb_identity
from host_bridge.pcscd.service import find_service, restart, run_command

_UDEV = Path("/run/udev/control")
_NOT_ROOT = "Nothing was changed: this needs root."

app = typer.Typer(
    help="The reader board, as pcscd is told of it. See docs/readers.md.",
    no_args_is_help=True,
)

_Show = Annotated[bool, typer.Option("--show", help="Say what would be done, and do nothing.")]
_Etc = Annotated[Path, typer.Option(help="Another folder than /etc, for the image of a disk.")]


@app.command()
def install(
    port: Annotated[str, typer.Argument(help="The reader's serial port, such as /dev/ttyUSB0.")],
    show: _Show = False,
    etc: _Etc = entry.ETC,
) -> None:
    """Make the board at PORT a reader for every PC/SC program. Needs root; twice is fine."""
    planned = _plan(port, etc)
    if entry.is_in_place(planned, etc):
        typer.echo(f"The reader at {port} is installed already: {entry.entry_path(etc)}")
        return
    if show or not _writable(planned):
        for path, text in planned.items():
            typer.echo(f"# {path}\n{text}")
        _typed_by_hand(("install", port), etc, show)
        return
    entry.write(planned, etc)
    for path in planned:
        typer.echo(f"Written: {path}")
    _tell(etc, port)


@app.command()
def remove(show: _Show = False, etc: _Etc = entry.ETC) -> None:
    """Tell pcscd of the reader no longer. Needs root; twice is fine."""
    there = [path for path in (entry.entry_path(etc), entry.rule_path(etc)) if path.exists()]
    if not there:
        typer.echo("No reader is installed.")
        return
    if show or not _writable(there):
        for path in there:
            typer.echo(f"# to be removed: {path}")
        _typed_by_hand(("remove",), etc, show)
        return
    for path in entry.remove(etc):
        typer.echo(f"Removed: {path}")
    _tell(etc)


def _plan(port: str, etc: Path) -> dict[Path, str]:
    device = serial_port(port)
    driver = find_driver(program=find_service().program)
    if driver is None:
        raise entry.InstallError(
            f"There is no {NAME}, the driver for serial readers: sudo apt install libccid"
        )
    wanted = entry.Wanted(
        port, device, usb_identity(device), driver, _UDEV.exists(), entry.port_group()
    )
    entry.require_free(wanted, holders(device), etc)
    return entry.plan(wanted, etc)


def _writable(paths: list[Path] | dict[Path, str]) -> bool:
    """Whether all of these can be written here, by this user."""
    folders = (next(parent for parent in path.parents if parent.exists()) for path in paths)
    return all(os.access(folder, os.W_OK) for folder in folders)


def _typed_by_hand(words: tuple[str, ...], etc: Path, shown: bool) -> None:
    """The command that does it. Exit code 1 where it should have been done now."""
    more = () if etc == entry.ETC else ("--etc", str(etc))
    typer.echo(f"sudo {shlex.join((*_myself(), 'reader', *words, *more))}")
    if not shown:
        typer.echo(_NOT_ROOT, err=True)
        raise typer.Exit(1)


def _myself() -> tuple[str, ...]:
    """This program as root would have to call it: root's PATH is another one."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "qalta":
        return (str(program),)
    return (sys.executable, "-m", "host_bridge.cli")


def _tell(etc: Path, port: str | None = None) -> None:
    """Lets udev and pcscd know, where it was this machine's folder that changed."""
    if etc != entry.ETC:
        return
    if _UDEV.exists():
        run_command(("udevadm", "control", "--reload"))
        which = () if port is None else (f"--name-match={port}",)
        run_command(("udevadm", "trigger", "--subsystem-match=tty", *which))
        run_command(("udevadm", "settle"))
    typer.echo(restart(find_service()))
