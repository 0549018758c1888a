# SPDX-License-Identifier: Apache-2.0
"""One scenario from its file to its report: set up, play, check the invariants, show."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from host_bridge.demo import checks, report
from host_bridge.demo.cards import CardMaker
from host_bridge.demo.player import Player
from host_bridge.demo.scenario import Scenario
from host_bridge.demo.screen import Screen
from host_bridge.demo.world import World

INVARIANTS = (
    "I1 no value is created, I2 all value is accounted for, I3 at most one debit a payment, "
    "I4 every receipt is durable, I5 every payment is settled once"
)


def run(scenario: Scenario, folder: Path, cards: CardMaker, console: Console) -> None:
    """Plays `scenario` in `folder` (which is left as it is afterwards) and shows everything.

    Raises Unexpected or Broken where it does not end as it should.
    """
    console.print(Panel(Text(scenario.story or scenario.title), title=Text(scenario.title)))
    began = time.monotonic()
    world = World(scenario, folder, cards)
    try:
        player = Player(world)
        with Screen(console, len(scenario.step)) as screen:
            world.set_up(screen.doing)
            for step in scenario.steps:
                screen.show(player.play(step))
        money = checks.check(world)
        proofs = report.write_proofs(world, folder / "proofs")
        report.show_balances(console, world, checks.card_balances(world))
        report.show_accounts(console, world)
        report.show_caught(console, world, proofs)
        report.show_taps(console, player.taps, _heap_live(world))
        report.show_money(console, money)
        console.print(Text.assemble(("Checked:", "green"), f" {INVARIANTS}."))
        took = f"{time.monotonic() - began:.1f} s, setting up included"
        where = f"the proofs are in {folder / 'proofs'}"
        console.print(Text(f"{took}; {where}", style="dim"), end="\n\n")
    finally:
        world.close()


def _heap_live(world: World) -> int | None:
    sizes = [holder.card.heap_live() for holder in world.holders.values()]
    return max([size for size in sizes if size is not None], default=None)
