# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="attr-defined"
"""An ESP32 as the card sees it: flash, secure element and link, by names and not by addresses.

MicroPython documentation: `esp32.Partition`, `machine.I2C`.
"""

import sys

import esp32
import machine

from firmware.hal.atecc608_element import open_atecc608
from firmware.hal.littlefs import mounted

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

    from firmware.hal.atecc608 import Atecc608


class Esp32Board:
    """What this board hands to the card (`firmware.apps.card.main`).

    pins: the numbers `bus`, `scl` and `sda` of the secure element's I2C; without `bus` the board
    has none.

    files, copies: the littlefs in the partitions `vfs` and `copies`; None where there is none
    that can be mounted. It is left as it is then, for whoever rescues the money.
    chip: an `Atecc608` or None. Nothing is asked of it here: what is silent or not configured
    says so when it is used, by AteccError.
    source, sink: the raw streams of the serial link.
    """

    def __init__(self, pins: "dict[str, int]") -> None:
        self.source = sys.stdin.buffer
        self.sink = sys.stdout.buffer
        self.files = _mounted("vfs")
        self.copies = _mounted("copies")
        self.chip: "Atecc608 | None" = None
        if "bus" in pins:
            self.chip = open_atecc608(pins["bus"], pins["scl"], pins["sda"])

    def partition(self, name: str) -> "Any":
        """The block device of the data partition with this label, in blocks of 4,096 bytes.

        Raises OSError where the board's partition table has none.
        """
        found = _find(name)
        if found is None:
            raise OSError("the flash has no partition %s" % name)
        return found


def restart() -> None:
    """The board begins anew, as if its power had failed."""
    machine.reset()


def _find(name: str) -> "Any":
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=name)
    return found[0] if found else None


def _mounted(name: str) -> "Any":
    partition = _find(name)
    return None if partition is None else mounted(name, partition)
