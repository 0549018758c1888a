# SPDX-License-Identifier: Apache-2.0
"""A board's flash in RAM that writes down what is written to it. Runs on MicroPython (unix).

A power cut needs no exception in the firmware: what a cut leaves behind is the flash as it was,
with the writes before the cut applied and the one at the cut applied in part. So an operation
runs once, and each of its cuts is made from the log of its writes.

The flash is NOR: an erase sets every bit of a block, a program can only clear bits. `random` is
the module of that name, or whatever else draws as it does.
"""

BLOCK_SIZE = 4096
_ERASED = b"\xff" * BLOCK_SIZE

# Requests of MicroPython's block device protocol (docs: vfs.AbstractBlockDev.ioctl).
_INIT, _SHUTDOWN, _SYNC, _BLOCK_COUNT, _BLOCK_SIZE_OF, _ERASE = 1, 2, 3, 4, 5, 6

_WRITES_KEPT = 20_000  # of one operation: more is a firmware that never ends


class Write:
    """One program or erase: `data` to `start`, or the block at `start` erased where it is None."""

    def __init__(self, start: int, data: "bytes | None") -> None:
        self.start = start
        self.data = data

    @property
    def is_erase(self) -> bool:
        """Whether a whole block is erased."""
        return self.data is None

    @property
    def size(self) -> int:
        """How many bytes it changes."""
        return BLOCK_SIZE if self.data is None else len(self.data)

    def apply(self, memory: bytearray) -> bool:
        """Carries it out whole; says whether a byte that was not erased was programmed again."""
        if self.data is None:
            memory[self.start : self.start + BLOCK_SIZE] = _ERASED
            return False
        return _program(memory, self.start, self.data)

    def tear(self, memory: bytearray, random: "object") -> None:
        """Carries out a part: the power went while the flash was at work."""
        if self.data is None:
            _tear_erase(memory, self.start, random)
            return
        size = random.randrange(len(self.data))
        _program(memory, self.start, self.data[:size])
        # Of the byte at the edge some bits were cleared and others not yet.
        memory[self.start + size] &= self.data[size] | random.getrandbits(8)


class NorFlash:
    """A block device over `memory`, with the extended interface; `log` holds its writes."""

    def __init__(self, memory: bytearray) -> None:
        self._memory = memory
        self._view = memoryview(memory)
        self.log: list[Write | None] = []  # None: a token key signed here
        self.overwritten = 0  # programs that met a byte which was not erased

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a block, beginning `offset` bytes into it."""
        start = block * BLOCK_SIZE + offset
        buffer[:] = self._view[start : start + len(buffer)]

    def writeblocks(self, block: int, buffer: bytes, offset: "int | None" = None) -> None:
        """Programs bytes; without an offset the block is erased first, as the protocol asks."""
        if offset is None:
            self._write(Write(block * BLOCK_SIZE, None))
            offset = 0
        self._write(Write(block * BLOCK_SIZE + offset, bytes(buffer)))

    def ioctl(self, request: int, argument: int) -> "int | None":
        """Answers a request of the file system; None for one that is not known."""
        if request == _BLOCK_COUNT:
            return len(self._memory) // BLOCK_SIZE
        if request == _BLOCK_SIZE_OF:
            return BLOCK_SIZE
        if request == _ERASE:
            self._write(Write(argument * BLOCK_SIZE, None))
        elif request not in (_INIT, _SHUTDOWN, _SYNC):
            return None
        return 0

    def _write(self, write: Write) -> None:
        self.overwritten += write.apply(self._memory)
        self.log.append(write)
        if len(self.log) > _WRITES_KEPT:
            raise RuntimeError("the firmware writes without end")


def flip_bit(memory: bytearray, start: int, size: int, random: "object") -> None:
    """Turns over one bit of these bytes, whatever it was."""
    memory[start + random.randrange(size)] ^= 1 << random.randrange(8)


def _program(memory: bytearray, start: int, data: bytes) -> bool:
    end = start + len(data)
    old = memory[start:end]
    if old == _ERASED[: len(data)]:
        memory[start:end] = data
        return False
    for at in range(len(data)):
        memory[start + at] = old[at] & data[at]
    return True


def _tear_erase(memory: bytearray, start: int, random: "object") -> None:
    """Erased up to somewhere; behind that bits that float, or what was there."""
    size = random.randrange(BLOCK_SIZE)
    memory[start : start + size] = _ERASED[:size]
    if random.getrandbits(1):
        for at in range(start + size, start + BLOCK_SIZE):
            memory[at] |= random.getrandbits(8)
