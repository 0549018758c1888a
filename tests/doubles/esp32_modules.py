# SPDX-License-Identifier: Apache-2.0
"""MicroPython's modules `esp32` and `machine`, written from its documentation.

For both interpreters: a test puts them into `sys.modules` before it imports what uses them.
"""

import sys

BLOCK_SIZE = 4096
ENODEV = 19
EINVAL = 22

_TYPE_APP, _TYPE_DATA, _ANY = 0, 1, 0xFF


class NorFlash:
    """A chip of flash: erasing sets whole blocks to ones, writing only makes zeros."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(b"\xff" * size)
        self.changes = 0  # writes and erases so far

    def erase(self, offset: int, size: int) -> None:
        """Whole blocks."""
        if offset % BLOCK_SIZE or size % BLOCK_SIZE:
            raise OSError(EINVAL)
        self.changes += 1
        self.content[offset : offset + size] = b"\xff" * size

    def write(self, offset: int, data: bytes) -> None:
        """Bits that are zero stay zero."""
        self.changes += 1
        for place, byte in enumerate(data):
            self.content[offset + place] &= byte


class Partition:
    """One row of a partition table as a block device, `esp32.Partition`; extended interface."""

    def __init__(self, flash: NorFlash, row: "tuple[str, int, int, int, int]") -> None:
        self._flash = flash
        self._label, self._type, self._subtype, self._offset, self._size = row

    def info(self) -> "tuple[int, int, int, int, str, bool]":
        """(type, subtype, addr, size, label, encrypted)"""
        return (self._type, self._subtype, self._offset, self._size, self._label, False)

    def readblocks(self, block_num: int, buf: bytearray, offset: int = 0) -> None:
        """Fills the buffer."""
        start = self._place(block_num, offset, len(buf))
        buf[:] = self._flash.content[start : start + len(buf)]

    def writeblocks(self, block_num: int, buf: bytes, offset: "int | None" = None) -> None:
        """Without an offset the blocks are erased first."""
        start = self._place(block_num, offset or 0, len(buf))
        if offset is None:
            self._flash.erase(start, len(buf))
        self._flash.write(start, buf)

    def ioctl(self, op: int, arg: int) -> "int | None":
        """4: count of blocks; 5: their size; 6: erase one; 1, 2, 3: nothing to do."""
        if op == 4:
            return self._size // BLOCK_SIZE
        if op == 5:
            return BLOCK_SIZE
        if op == 6:
            self._flash.erase(self._place(arg, 0, BLOCK_SIZE), BLOCK_SIZE)
        return 0 if op in (1, 2, 3, 6) else None

    def _place(self, block: int, offset: int, size: int) -> int:
        start = block * BLOCK_SIZE + offset
        if start < 0 or start + size > self._size:
            raise OSError(EINVAL)
        return self._offset + start


class PartitionTable:
    """What stands for the class `esp32.Partition`; rows: (label, type, subtype, offset, size)."""

    TYPE_APP = _TYPE_APP
    TYPE_DATA = _TYPE_DATA

    def __init__(self, flash: NorFlash, rows: "list[tuple[str, int, int, int, int]]") -> None:
        self._flash = flash
        self._rows = rows

    def find(
        self, type: int = _TYPE_APP, subtype: int = _ANY, label: "str | None" = None
    ) -> "list[Partition]":
        """The partitions that fit, perhaps none."""
        return [
            Partition(self._flash, row)
            for row in self._rows
            if row[1] == type and subtype in (_ANY, row[2]) and label in (None, row[0])
        ]


class Esp32Module:
    """The module `esp32`."""

    def __init__(self, flash: NorFlash, rows: "list[tuple[str, int, int, int, int]]") -> None:
        self.Partition = PartitionTable(flash, rows)


class MachineModule:
    """The module `machine`, with one bus of which somebody has soldered two pins.

    wired: the numbers of bus, SCL and SDA. make_bus: makes that bus, for a frequency in Hz; a bus
    at other pins has nothing on it.
    """

    def __init__(self, wired: "tuple[int, int, int]", make_bus: "object") -> None:
        self._wired = wired
        self._make_bus = make_bus

    def Pin(self, number: int) -> int:
        """A pin is its number here. Raises ValueError where the ESP32 has none."""
        if not 0 <= number <= 39:
            raise ValueError("invalid pin")
        return number

    def I2C(self, id: int, *, scl: int, sda: int, freq: int = 400_000) -> "object":
        """As `machine.I2C`; an ESP32 has two."""
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        if (id, scl, sda) == self._wired:
            return self._make_bus(freq)  # type: ignore[operator]
        return EmptyBus()


class EmptyBus:
    """Nobody acknowledges."""

    def writeto(self, addr: int, buf: bytes) -> int:
        """Raises OSError."""
        raise OSError(ENODEV)

    def readfrom_into(self, addr: int, buf: bytearray) -> None:
        """Raises OSError."""
        raise OSError(ENODEV)


def install(esp32: Esp32Module, machine: MachineModule) -> None:
    """Puts both where `import` finds them, for a program under MicroPython."""
    sys.modules["esp32"] = esp32  # type: ignore[assignment]
    sys.modules["machine"] = machine  # type: ignore[assignment]


def read_table(path: str) -> "list[tuple[str, int, int, int, int]]":
    """A `partitions.csv` of ESP-IDF's form with every number written out."""
    types = {"app": _TYPE_APP, "data": _TYPE_DATA}
    subtypes = {"factory": 0x00, "phy": 0x01, "nvs": 0x02}
    rows = []
    with open(path) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, kind, subtype, offset, size = [part.strip() for part in line.split(",")]
                number = subtypes[subtype] if subtype in subtypes else int(subtype, 16)
                rows.append((name, types[kind], number, int(offset, 16), int(size, 16)))
    return rows
