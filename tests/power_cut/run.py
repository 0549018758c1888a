# SPDX-License-Identifier: Apache-2.0
"""Cuts the power of cards on MicroPython (unix), from the root of the checkout:

    micropython -X heapsize=256m tests/power_cut/run.py FIXTURE SEED OPERATION=CUTS ...
    micropython -X heapsize=256m tests/power_cut/run.py FIXTURE --replay "OPERATION CASE"

Prints one JSON object behind "##": the counts, and the cases to be looked at. The bulk runs on
CPython: `python -m tests.power_cut --help`.
"""

# ruff: noqa: I001
import json
import os
import sys
import time

sys.path.append(os.getcwd())

# From the ground up, as `firmware/apps/card.py` does: with 32 bits the stack is small.
from firmware.crypto import p256  # noqa: F401
from firmware.wire import layout  # noqa: F401
from firmware.wire import journal, policy, token  # noqa: F401
from firmware.purse import trust, verify, profile  # noqa: F401
from firmware.purse import caps, payment, purse, personalisation  # noqa: F401
from firmware.storage import memory, migrations  # noqa: F401
from firmware.card import application  # noqa: F401

from tests.power_cut.harness import Harness, Result


def main(arguments: "list[str]") -> None:
    """Plays some cuts of each operation, or one case again."""
    harness, result = Harness(arguments[0]), Result()
    start = time.ticks_ms()
    if arguments[1] == "--replay":
        harness.replay(arguments[2], result)
    else:
        seed = int(arguments[1])
        for wanted in arguments[2:]:
            name, cuts = wanted.split("=")
            harness.some(name, int(cuts), seed, result)
    row = result.row
    row["ms"] = time.ticks_diff(time.ticks_ms(), start)
    print("##" + json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1:])
