# SPDX-License-Identifier: Apache-2.0
"""`qalta demo`: scenarios on real cards, worth watching."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host_bridge.demo import scenario as plan
from host_bridge.demo.cards import BoardMaker
from host_bridge.demo.run import run


def demo(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Names or TOML files; all three if none."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder to leave everything in; it must be empty.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="Say which scenarios there are.")] = False,
) -> None:
    """Play a scenario: cards pay tills with no network, and the bank settles afterwards.

    Every card is a real MicroPython process on a flash image of its own.
    """
    console = Console(highlight=False, markup=False)
    if names:
        for name in plan.built_in():
            console.print(f"{name:<16}{plan.read(plan.find(name)).title}")
        return
    paths = [plan.find(name) for name in scenarios or plan.built_in()]
    parts = [(path.stem, plan.read(path)) for path in paths]
    folder = _folder(keep)
    for name, scenario in parts:
        place = folder / name
        (place / "cards").mkdir(parents=True)
        run(scenario, place, BoardMaker(place / "cards"), console)
        if keep is None:  # the proofs are what people want to look at afterwards
            for part in ("cards", "tills", "bank"):
                shutil.rmtree(place / part)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="qalta-demo-"))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise plan.ScenarioError(f"{keep} is not an empty folder.")
    return keep
