# SPDX-License-Identifier: Apache-2.0
"""What `make setup` does before anything is installed: standard library only.

`setup.sh` looks for a Python that is new enough and hands over to this package, which makes the
virtual environment (`environment`) and puts a MicroPython interpreter in place (`interpreter`),
by way of the machine's own packages (`apt_private`) when none is installed.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the checkout."""


class SetupError(Exception):
    """Something is missing; the message says what, and the command that mends it."""


def say(text: str) -> None:
    """Tell the person at the terminal which step has begun or what came of it."""
    print(text, flush=True)
