# SPDX-License-Identifier: Apache-2.0
"""`qalta doctor`: what is wrong with this machine, and what mends it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from host_bridge.cli.asking import JsonOption, show_json
from host_bridge.doctor.examine import Needs, examine, has_failed
from host_bridge.doctor.facts import gather
from host_bridge.doctor.finding import Finding, Level, bad
from host_bridge.doctor.purse import check_purse
from host_bridge.session.exchange import CardError
from host_bridge.session.purse import PurseSession
from host_bridge.transport.base import TransportError
from host_bridge.transport.open import open_transport

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_WIDTH = 15  # of the longest check's name, and room behind it


def doctor(
    card: Annotated[
        str,
        typer.Option(help="What has to work: board:NAME, serial[:/dev/…], pcsc[:READER], auto."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Look for what may be wrong. Exit code 1 if something that is needed does not work."""
    needs = Needs.of(card)
    facts = gather(needs.port)
    findings = examine(facts, needs)
    if needs.pcsc and facts.pcsc.failed:  # a card behind it might be waited for without end
        findings.append(bad("purse", "No purse was asked, for PC/SC does not answer."))
    elif card:
        findings.append(_try_card(card))
    if as_json:
        rows = [finding.as_data() for finding in findings]
        show_json({"ok": not has_failed(findings), "findings": rows})
    else:
        _show(findings)
    if has_failed(findings):
        raise typer.Exit(1)


def _try_card(card: str) -> Finding:
    """Whether a purse answers there, and how it is. It is asked for nothing but its greeting."""
    try:
        with open_transport(card) as transport:
            told = PurseSession(transport).select()
    except (CardError, TransportError) as error:
        text = str(error)
        return bad("purse", text if text.endswith(".") else f"{text}.")
    return check_purse(card, told.lifecycle)


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        level = finding.level
        console.print(f"{level.value:<5}", style=_COLOURS[level], end="")
        console.print(f"{finding.name:<{_WIDTH}}{finding.sentence}", markup=False)
        if finding.command:
            console.print(f"{'':<{_WIDTH + 5}}{finding.command}", markup=False, style="bold")
