# SPDX-License-Identifier: Apache-2.0
"""What the commands about cards have in common: which card, its PIN, and answers for machines."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from host_bridge.session.exchange import CardError

PIN_VARIABLE = "QALTA_PIN"
_MAX_PIN_LINE = 64

CardOption = Annotated[
    str, typer.Option("--card", help="board:NAME, serial[:/dev/…], pcsc[:READER], or auto.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]


def ask_pin(prompt: str = "PIN", *, twice: bool = False) -> str:
    """The PIN from the environment, else as `ask_secret` gets it."""
    return os.environ.get(PIN_VARIABLE) or ask_secret(prompt, twice=twice)


def ask_secret(prompt: str, *, twice: bool = False) -> str:
    """A secret from a pipe or, hidden, from the keyboard; never an argument."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=twice))
    line = sys.stdin.readline(_MAX_PIN_LINE).strip()
    if not line:
        raise CardError(f"There is no {prompt}: type it or pipe it ({PIN_VARIABLE} for the PIN).")
    return line


def show_json(data: object) -> None:
    """An answer for machines, on stdout. Amounts are in tiyn, times ISO 8601 in UTC."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
