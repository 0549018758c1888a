# SPDX-License-Identifier: Apache-2.0
"""Flash in RAM that counts what is done to it. Runs on MicroPython."""

SECTOR_SIZE = 4096
_ERASED = b"\xff" * SECTOR_SIZE

# Requests of MicroPython's block device protocol (docs: vfs.AbstractBlockDev.ioctl).
_INIT, _SHUTDOWN, _SYNC, _COUNT_BLOCKS, _SIZE_OF_BLOCK, _ERASE = 1, 2, 3, 4, 5, 6

ERASES, PROGRAMS, PROGRAMMED, READS, READ = range(5)
_COUNTS = 5


class Partition:
    """A partition of NOR flash with the extended interface.

    counts: erases, programs, bytes programmed, reads, bytes read, since it was made.
    """

    def __init__(self, size: int) -> None:
        self.memory = bytearray(b"\xff" * size)
        self.counts = [0] * _COUNTS

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a sector on."""
        at = block * SECTOR_SIZE + offset
        buffer[:] = self.memory[at : at + len(buffer)]
        self.counts[READS] += 1
        self.counts[READ] += len(buffer)

    def writeblocks(self, block: int, buffer: bytes, offset: "int | None" = None) -> None:
        """Programs bytes; without an offset the sector is erased first, as the protocol asks."""
        if offset is None:
            self._erase(block)
            offset = 0
        at = block * SECTOR_SIZE + offset
        end = at + len(buffer)
        old = self.memory[at:end]
        if old != _ERASED[: len(buffer)]:
            buffer = bytes([old[index] & buffer[index] for index in range(len(buffer))])
        self.memory[at:end] = buffer
        self.counts[PROGRAMS] += 1
        self.counts[PROGRAMMED] += len(buffer)

    def ioctl(self, request: int, argument: int) -> "int | None":
        """Answers a request; None for one that is not known."""
        if request == _COUNT_BLOCKS:
            return len(self.memory) // SECTOR_SIZE
        if request == _SIZE_OF_BLOCK:
            return SECTOR_SIZE
        if request == _ERASE:
            self._erase(argument)
        elif request not in (_INIT, _SHUTDOWN, _SYNC):
            return None
        return 0

    def _erase(self, block: int) -> None:
        at = block * SECTOR_SIZE
        self.memory[at : at + SECTOR_SIZE] = _ERASED
        self.counts[ERASES] += 1


class Flash:
    """The partitions that a card writes, by name. sizes: in bytes."""

    def __init__(self, sizes: "dict[str, int]") -> None:
        self.parts = {name: Partition(size) for name, size in sizes.items()}

    def partition(self, name: str) -> Partition:
        """The block device of a partition."""
        return self.parts[name]

    def counts(self) -> "dict[str, list[int]]":
        """What was done to each partition until now."""
        return {name: list(part.counts) for name, part in self.parts.items()}

    def erases(self) -> int:
        """How many sectors were erased until now."""
        return sum([part.counts[ERASES] for part in self.parts.values()])
