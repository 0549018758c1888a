# SPDX-License-Identifier: Apache-2.0
"""Boots the virtual board: `micropython boot.py FLASH_IMAGE [BUS]`. Runs on MicroPython (unix).

BUS is the number of an open file, the serial line to a PN532: with it the card is a contactless
one, and answers no other line.

From here on the program sees what it would see on an ESP32: a littlefs in the `vfs` partition,
raw partitions for the logs, and the `romfs` partition mounted at "/rom"; code is imported from
there alone.
"""

import os
import sys
import time

import vfs

# Beside this file, and on the import path by that alone:
from flash import FlashFile  # type: ignore[import-not-found]
from partitions import read_partitions  # type: ignore[import-not-found]
from pipe_uart import PipeUart  # type: ignore[import-not-found]
from rom import map_rom  # type: ignore[import-not-found]

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any


class VirtualHardware:
    """What the card's program asks of its board (`firmware.apps.card`).

    path: the flash image. Raises OSError or ValueError if that is none. A littlefs that does not
    mount is no reason to stop: the card says so, and nobody formats what may hold money.
    """

    chip = None  # the secure element is software
    clock: "Any" = time

    def __init__(self, path: str) -> None:
        self._path = path
        self._partitions = read_partitions()
        self.source = sys.stdin.buffer
        self.sink = sys.stdout.buffer
        # Opened now, and for the board's whole life: the PC's files are out of reach after this.
        self._logs = {name: self._flash(name) for name in ("state", "counter", "journal")}
        files, copies = self._flash("vfs"), self._flash("copies")
        rom = self._partitions["romfs"]
        firmware = vfs.VfsRom(map_rom(path, rom.offset, rom.size))
        vfs.umount("/")  # the PC's own files
        vfs.mount(firmware, "/rom")
        os.chdir("/rom")
        sys.path[:] = ["/rom"]
        from firmware.hal.littlefs import mounted

        self.files = mounted("vfs", files)
        self.copies = mounted("copies", copies)
        if self.files is None or self.copies is None:
            print("A file system cannot be mounted.", file=sys.stderr)

    def _flash(self, name: str) -> FlashFile:
        partition = self._partitions[name]
        return FlashFile(self._path, partition.offset, partition.size)

    def partition(self, name: str) -> FlashFile:
        """The block device of a log."""
        return self._logs[name]


def main() -> None:
    """Boot, then run the card application from the ROM partition."""
    try:
        hardware = VirtualHardware(sys.argv[1])
    except (OSError, ValueError) as error:
        print("The flash image cannot be used:", error, file=sys.stderr)
        sys.exit(1)

    if len(sys.argv) > 2:
        from firmware.apps import contactless
        from firmware.reader.bus_hsu import HsuBus

        contactless.main(hardware, HsuBus(PipeUart(int(sys.argv[2])), hardware.clock))
    else:
        from firmware.apps import card

        card.main(hardware)


if __name__ == "__main__":
    main()
