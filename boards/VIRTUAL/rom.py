# SPDX-License-Identifier: Apache-2.0
"""The virtual board's ROM partition: a ROMFS in memory, whose bytecode runs where it lies.

A module that is imported from littlefs is copied to the heap: the firmware would take 122 of the
128 KiB that a small board has. From memory-mapped flash MicroPython takes to the heap only what
changes, and leaves bytecode, strings and constants where they are.

A MicroPython for the ESP32 that is built with ROMFS does the same by itself: it maps its `romfs`
partition through the flash cache (esp_partition_mmap) and mounts it at "/rom" before it boots.
One without ROMFS has the firmware frozen in. Here `mmap` of the image file stands for the flash
cache. Runs on MicroPython (unix).
"""

import os

import ffi
import uctypes

_PROT_READ = 1
_MAP_PRIVATE = 2
_FAILED = -1


def map_rom(path: str, offset: int, size: int) -> bytearray:
    """Return `size` bytes of a file from `offset` on as memory, for as long as the process lives.

    Writing to that memory ends the process. Raises ValueError if the file is too short: reading
    behind its end would end the process too; OSError if it cannot be opened or mapped.
    """
    if offset + size > os.stat(path)[6]:
        raise ValueError("the flash image does not hold the ROM partition")
    mmap = ffi.open(None).func("p", "mmap", "pLiiil")  # None: the C library is loaded already
    with open(path, "rb") as file:
        address = mmap(None, size, _PROT_READ, _MAP_PRIVATE, file.fileno(), offset)
    if address == _FAILED:
        raise OSError("the ROM partition cannot be mapped")
    return uctypes.bytearray_at(address, size)
