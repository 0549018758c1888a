# SPDX-License-Identifier: Apache-2.0
"""How the flash is divided: for the board, and for whoever makes images.

Reads the partition table, `partitions.csv`. Runs on MicroPython and on CPython.
"""

BLOCK_SIZE = 4096

_TABLE = __file__.rsplit("/", 1)[0] + "/partitions.csv"


class Partition:
    """A run of the flash: `size` bytes from `offset` on, both whole blocks."""

    def __init__(self, name: str, offset: int, size: int) -> None:
        self.name = name
        self.offset = offset
        self.size = size

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + self.size


def read_partitions(path: str = _TABLE) -> "dict[str, Partition]":
    """Return the partitions of a table by name, in the order of the flash.

    The table has the columns of ESP-IDF, with every offset and size written out. Raises ValueError
    if a partition is not whole blocks or does not begin where the one before it ends.
    """
    partitions = {}
    end = 0
    with open(path) as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            name, _, _, offset, size = [field.strip() for field in line.split(",")]
            partition = Partition(name, int(offset, 0), int(size, 0))
            if partition.offset != end or partition.size <= 0 or partition.size % BLOCK_SIZE:
                raise ValueError("partition " + name + " is not where it should be")
            partitions[name] = partition
            end = partition.end
    return partitions
