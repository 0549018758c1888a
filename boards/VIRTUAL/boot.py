# SPDX-License-Identifier: Apache-2.0
"""Boots the virtual board: `micropython boot.py FLASH_IMAGE`. Runs on MicroPython (unix).

From here on the program sees what it would see on an ESP32: the flash is the whole file system,
its `vfs` partition mounted at "/" and its `rom` partition at "/rom", and code is imported from
"/rom" alone.
"""

import os
import sys

import vfs

# Beside this file, and on the import path by that alone:
from flash import FlashFile  # type: ignore[import-not-found]
from partitions import (  # type: ignore[import-not-found]
    PROG_SIZE,
    READ_SIZE,
    read_partitions,
)
from rom import map_rom  # type: ignore[import-not-found]


def boot(image: str) -> None:
    """Replace the PC's file system by the flash image; OSError or ValueError if it is none."""
    partitions = read_partitions()
    rom, money = partitions["romfs"], partitions["vfs"]
    flash = FlashFile(image, money.offset, money.size)
    firmware = vfs.VfsRom(map_rom(image, rom.offset, rom.size))
    vfs.umount("/")  # the PC's own files
    vfs.mount(vfs.VfsLfs2(flash, readsize=READ_SIZE, progsize=PROG_SIZE), "/")
    vfs.mount(firmware, "/rom")
    os.chdir("/")
    sys.path[:] = ["/rom"]


def main() -> None:
    """Boot, then run the card application from the ROM partition."""
    try:
        boot(sys.argv[1])
    except (OSError, ValueError) as error:
        print("The flash image cannot be mounted:", error, file=sys.stderr)
        sys.exit(1)

    from firmware.apps import card

    card.main()


if __name__ == "__main__":
    main()
