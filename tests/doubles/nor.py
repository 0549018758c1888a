# SPDX-License-Identifier: Apache-2.0
"""One raw partition in RAM, which fails as flash fails. Runs on MicroPython and on CPython.

NOR flash: an erase sets every bit of a sector, a program can only clear bits. To clear a byte
that is not erased, other than to zero, is a mistake of whoever does it, and raised.
"""

SECTOR = 4096
_COUNT, _ERASE = 4, 6  # requests of MicroPython's block device protocol
_EIO = 5


class Cut(BaseException):
    """The power is gone: no line of the firmware may catch this."""


class Nor:
    """Sectors of 4,096 bytes.

    bytes_left: how many bytes can still be programmed or erased before the power is cut; None
    is a good supply. edge: of the byte at which it fails, the bits that do not come through.
    dead: sectors where nothing is programmed, without a word. stuck: sectors whose erase raises
    OSError. spots: offsets of bytes of which two bits stay set. erases, programs: how often each
    was asked for.
    """

    def __init__(self, sectors: int, content: "bytes | None" = None) -> None:
        self.raw = bytearray(content or b"\xff" * (sectors * SECTOR))
        self.bytes_left: "int | None" = None
        self.edge = 0xFF
        self.dead: "set[int]" = set()
        self.stuck: "set[int]" = set()
        self.spots: "set[int]" = set()
        self.erases = 0
        self.programs = 0

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer."""
        start = self._start(block, offset, len(buffer))
        buffer[:] = self.raw[start : start + len(buffer)]

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Programs bytes, until the power goes."""
        start = self._start(block, offset, len(buffer))
        assert offset + len(buffer) <= SECTOR, "a program does not cross a sector"
        self.programs += 1
        for at in range(len(buffer)):
            was = self.raw[start + at]
            if was != 0xFF and buffer[at]:
                raise ValueError("a byte that is not erased is programmed again")
            if block in self.dead:
                continue
            if self._power_fails():
                self.raw[start + at] &= buffer[at] | self.edge
                raise Cut
            self.raw[start + at] &= buffer[at] | (0x81 if start + at in self.spots else 0)

    def ioctl(self, request: int, argument: int) -> "int | None":
        """How many sectors there are; erases one, byte by byte, until the power goes."""
        if request == _COUNT:
            return len(self.raw) // SECTOR
        if request != _ERASE:
            return None
        start = self._start(argument, 0, SECTOR)
        self.erases += 1
        if argument in self.stuck:
            raise OSError(_EIO)
        if self.bytes_left is None:
            self.raw[start : start + SECTOR] = b"\xff" * SECTOR
            return 0
        for at in range(start, start + SECTOR):
            if self._power_fails():
                self.raw[at] |= self.edge
                raise Cut
            self.raw[at] = 0xFF
        return 0

    def flip(self, at: int, bit: int) -> None:
        """Turns over one bit of the byte at this offset."""
        self.raw[at] ^= 1 << bit

    def _power_fails(self) -> bool:
        if self.bytes_left is None:
            return False
        self.bytes_left -= 1
        return self.bytes_left < 0

    def _start(self, block: int, offset: int, size: int) -> int:
        start = block * SECTOR + offset
        if block < 0 or offset < 0 or start + size > len(self.raw):
            raise OSError(_EIO)
        return start
