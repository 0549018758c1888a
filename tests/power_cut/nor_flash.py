# SPDX-License-Identifier: Apache-2.0
"""A board's flash in RAM, all of it that a card writes, with one log of what is written to it.

A power cut needs no exception in the firmware: what a cut leaves behind is the flash as it was,
with the writes before the cut applied and the one at the cut applied in part. So an operation
runs once, and each of its cuts is made from the log of its writes.

The flash is NOR: an erase sets every bit of a sector, a program can only clear bits. `random` is
the module of that name, or whatever else draws as it does. Runs on MicroPython and on CPython.
"""

from boards.VIRTUAL.partitions import read_partitions

SECTOR_SIZE = 4096
FILES, COPIES = "vfs", "copies"  # the partitions that are a littlefs each
_SECTOR_BITS = 12
_ERASED = b"\xff" * SECTOR_SIZE
_SPARSE, _EVEN, _DENSE = 0, 1, 2  # how many bits of a torn write have not got through

# Requests of MicroPython's block device protocol (docs: vfs.AbstractBlockDev.ioctl).
_INIT, _SHUTDOWN, _SYNC, _BLOCK_COUNT, _BLOCK_SIZE_OF, _ERASE = 1, 2, 3, 4, 5, 6

_WRITES_KEPT = 20_000  # of one operation: more is a firmware that never ends


class Write:
    """One program or erase: `data` to `start`, or the sector at `start` erased: `data` is None."""

    def __init__(self, start: int, data: "bytes | None", where: str) -> None:
        self.start = start
        self.data = data
        self.where = where  # the partition's name

    @property
    def is_erase(self) -> bool:
        """Whether a whole sector is erased."""
        return self.data is None

    @property
    def sector(self) -> int:
        """The offset of the sector that it changes."""
        return self.start & ~(SECTOR_SIZE - 1)

    def apply(self, flash: "NorFlash") -> bool:
        """Carries it out whole; says whether a byte that was not erased was programmed again.

        Zeros may be programmed over anything: that is how something is struck out.
        """
        memory = flash.touched(self.start)
        if self.data is None:
            memory[self.start : self.start + SECTOR_SIZE] = _ERASED
            return False
        return _program(memory, self.start, self.data)

    def tear(self, flash: "NorFlash", random: "object") -> None:
        """Carries out the first part: the power went while the flash was at work."""
        memory = flash.touched(self.start)
        if self.data is None:
            _tear_erase(memory, self.start, random)
            return
        size = random.randrange(len(self.data))
        _program(memory, self.start, self.data[:size])
        # Of the byte at the edge some bits were cleared and others not yet.
        memory[self.start + size] &= self.data[size] | random.getrandbits(8)

    def weaken(self, flash: "NorFlash", random: "object") -> None:
        """Carries it out all over, but some bits, anywhere, have not come through."""
        memory = flash.touched(self.start)
        kind = random.randrange(3)
        for at in range(SECTOR_SIZE if self.data is None else len(self.data)):
            bits = random.getrandbits(8)
            if kind != _EVEN:
                more = random.getrandbits(8)
                bits = bits & more if kind == _SPARSE else bits | more
            if self.data is None:
                memory[self.start + at] |= bits
            else:
                memory[self.start + at] &= self.data[at] | bits


class NorFlash:
    """The partitions that a card writes, one behind the other as on the board.

    `log` holds its writes, and whatever else a caller notes between them.
    """

    def __init__(self) -> None:
        partitions = read_partitions()
        self._base = partitions[FILES].offset
        self._parts = {
            name: part for name, part in partitions.items() if part.offset >= self._base
        }
        size = max([part.end for part in self._parts.values()]) - self._base
        self.memory = bytearray(b"\xff" * size)
        self._view = memoryview(self.memory)
        self._image: bytes | None = None  # what `memory` is, but for the sectors in `dirty`
        self.dirty: set[int] = set()  # numbers of sectors
        self.versions = {FILES: 0, COPIES: 0}  # go up with every change of these partitions
        self._files_end = self.range_of(FILES)[1]
        self._copies_start, self._copies_end = self.range_of(COPIES)
        self.log: list[object] = []
        self.overwritten = 0  # programs that met a byte which was not erased

    def partition(self, name: str) -> "Device":
        """The block device of a partition."""
        return Device(self, name)

    def range_of(self, name: str) -> "tuple[int, int]":
        """Where a partition begins and ends in `memory`."""
        part = self._parts[name]
        return part.offset - self._base, part.end - self._base

    def fill(self, image: bytes) -> None:
        """Makes the flash this image; only what was changed since the last time is copied."""
        if image is self._image:
            for sector in self.dirty:
                start = sector << _SECTOR_BITS
                self.memory[start : start + SECTOR_SIZE] = image[start : start + SECTOR_SIZE]
        else:
            self.memory[:] = image
            self._image = image
        self.dirty.clear()
        for name in self.versions:
            self.versions[name] += 1

    def put_back(self, image: bytes, names: "tuple[str, ...]") -> None:
        """Makes these partitions what they are in an image."""
        for name in names:
            start, end = self.range_of(name)
            for at in range(start, end, SECTOR_SIZE):
                if self._view[at : at + SECTOR_SIZE] != image[at : at + SECTOR_SIZE]:
                    self.touched(at)[at : at + SECTOR_SIZE] = image[at : at + SECTOR_SIZE]

    def touched(self, start: int) -> bytearray:
        """The memory, of which the sector with this byte is about to change."""
        self.dirty.add(start >> _SECTOR_BITS)
        if start < self._files_end:
            self.versions[FILES] += 1
        elif self._copies_start <= start < self._copies_end:
            self.versions[COPIES] += 1
        return self.memory

    def flip_bit(self, start: int, size: int, random: "object") -> None:
        """Turns over one bit of these bytes, whatever it was."""
        at = start + random.randrange(size)
        self.touched(at)[at] ^= 1 << random.randrange(8)

    def files_key(self, name: str) -> "tuple[object, ...]":
        """What such a partition holds, as something that can be compared."""
        begin, end = self.range_of(name)
        sectors = sorted(
            [sector for sector in self.dirty if begin <= sector << _SECTOR_BITS < end]
        )
        parts: list[object] = [self._image]
        for sector in sectors:
            start = sector << _SECTOR_BITS
            parts.append((sector, bytes(self._view[start : start + SECTOR_SIZE])))
        return tuple(parts)

    def read(self, start: int, buffer: "bytearray | memoryview") -> None:
        """Fills a buffer."""
        buffer[:] = self._view[start : start + len(buffer)]

    def write(self, write: Write) -> None:
        """Carries out a write and notes it."""
        self.overwritten += write.apply(self)
        self.log.append(write)
        if len(self.log) > _WRITES_KEPT:
            raise RuntimeError("the firmware writes without end")


class Device:
    """A partition as a block device of MicroPython's, with the extended interface."""

    def __init__(self, flash: NorFlash, name: str) -> None:
        self._flash = flash
        self._name = name
        self._start, self._end = flash.range_of(name)

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a block, beginning `offset` bytes into it."""
        self._flash.read(self._start + block * SECTOR_SIZE + offset, buffer)

    def writeblocks(self, block: int, buffer: bytes, offset: "int | None" = None) -> None:
        """Programs bytes; without an offset the block is erased first, as the protocol asks."""
        if offset is None:
            self._erase(block)
            offset = 0
        start = self._start + block * SECTOR_SIZE + offset
        self._flash.write(Write(start, bytes(buffer), self._name))

    def ioctl(self, request: int, argument: int) -> "int | None":
        """Answers a request of the file system; None for one that is not known."""
        if request == _BLOCK_COUNT:
            return (self._end - self._start) // SECTOR_SIZE
        if request == _BLOCK_SIZE_OF:
            return SECTOR_SIZE
        if request == _ERASE:
            self._erase(argument)
        elif request not in (_INIT, _SHUTDOWN, _SYNC):
            return None
        return 0

    def _erase(self, block: int) -> None:
        self._flash.write(Write(self._start + block * SECTOR_SIZE, None, self._name))


def _program(memory: bytearray, start: int, data: bytes) -> bool:
    end = start + len(data)
    old = memory[start:end]
    if old == _ERASED[: len(data)]:
        memory[start:end] = data
        return False
    for at in range(len(data)):
        memory[start + at] = old[at] & data[at]
    return any(data)


def _tear_erase(memory: bytearray, start: int, random: "object") -> None:
    """Erased up to somewhere, or from there on; elsewhere bits that float, or what was there."""
    size = random.randrange(SECTOR_SIZE)
    left = (start + size, start + SECTOR_SIZE)
    if random.getrandbits(1):
        memory[start : left[0]] = _ERASED[:size]
    else:
        memory[left[0] : left[1]] = _ERASED[size:]
        left = (start, start + size)
    if random.getrandbits(1):
        for at in range(left[0], left[1]):
            memory[at] |= random.getrandbits(8)
