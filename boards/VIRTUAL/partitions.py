# SPDX-License-Identifier: Apache-2.0
"""How the flash is divided and its littlefs mounted: by the board, and by whoever makes images.

Reads the partition table, `partitions.csv`. Runs on MicroPython and on CPython.
"""

BLOCK_SIZE = 4096

# Arguments of VfsLfs2. Both sides must mount alike: the caches, of 4 * READ_SIZE bytes, decide how
# long a file may be that lies within its folder. At MicroPython's defaults of 32 a payment took
# 12,000 to 17,000 reads and 2 erases, because littlefs searches its folders in steps of READ_SIZE
# and a journal entry did not fit into one; with these it takes 1,500 reads and 1 erase.
READ_SIZE = 256
PROG_SIZE = 32

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
