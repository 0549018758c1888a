# SPDX-License-Identifier: Apache-2.0
"""Boots the virtual reader: `micropython reader_boot.py BUS`. Runs on MicroPython (unix).

BUS is the number of an open file that reads and writes at once: the serial line, HSU, to a PN532.
The firmware is imported from the source tree, beside which this file lies.
"""

import sys
import time

sys.path.insert(0, __file__.rsplit("/", 3)[0])

# Beside this file, and on the import path by that alone:
from pipe_uart import PipeUart  # type: ignore[import-not-found]

from firmware.apps import reader
from firmware.reader.bus_hsu import HsuBus

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

_CLOCK: "Any" = time


class VirtualHardware:
    """What the reader's program asks of its board (`firmware.apps.reader.main`)."""

    lamp = None
    beeper = None
    clock = _CLOCK
    whole_reads = False  # VirtualReader has seen to that

    def __init__(self) -> None:
        self.source = sys.stdin.buffer
        self.sink = sys.stdout.buffer


if __name__ == "__main__":
    reader.main(VirtualHardware(), HsuBus(PipeUart(int(sys.argv[1])), _CLOCK))
