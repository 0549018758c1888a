# SPDX-License-Identifier: Apache-2.0
"""The virtual board's flash: a block device over a partition of an image file.

Runs on MicroPython (unix).
"""

import os

_BLOCK_SIZE = 4096
_ERASED = b"\xff" * 256  # a part of a block: what is written again and again until it is full

# Requests of MicroPython's block device protocol (docs: vfs.AbstractBlockDev.ioctl).
_INIT, _SHUTDOWN, _SYNC, _BLOCK_COUNT, _BLOCK_SIZE_OF, _ERASE = 1, 2, 3, 4, 5, 6


class FlashFile:
    """A part of a file that behaves as NOR flash of 4,096-byte blocks; extended interface.

    path: the image file. partition_offset, partition_size: the part in bytes, whole blocks; what
    lies outside of it can be neither read nor written. Raises ValueError if the file lacks it.

    Every write goes straight to the operating system, in order: killing the process is then the
    same as cutting the power of a board, and SYNC has nothing left to do. Only a crash of the PC
    itself could take back writes; to ask its disk ten times a payment would guard against no more.
    """

    def __init__(self, path: str, partition_offset: int, partition_size: int) -> None:
        if partition_offset % _BLOCK_SIZE or partition_size % _BLOCK_SIZE:
            raise ValueError("the partition is not a whole number of blocks")
        if not partition_size or partition_offset + partition_size > os.stat(path)[6]:
            raise ValueError("the flash image does not hold the partition")
        self._offset = partition_offset
        self._size = partition_size
        # Kept open for the board's whole life: the PC's files are out of reach after boot.
        self._file = open(path, "r+b")

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill the buffer from a block, beginning `offset` bytes into it."""
        self._seek(block, offset, len(buffer))
        self._file.readinto(buffer)

    def writeblocks(self, block: int, buffer: bytes, offset: "int | None" = None) -> None:
        """Program bytes; without an offset the block is erased first, as the protocol asks."""
        if offset is None:
            self._erase(block)
            offset = 0
        self._seek(block, offset, len(buffer))
        self._file.write(buffer)

    def ioctl(self, request: int, argument: int) -> "int | None":
        """Answer a request of the file system; None for one that is not known."""
        if request == _BLOCK_COUNT:
            return self._size // _BLOCK_SIZE
        if request == _BLOCK_SIZE_OF:
            return _BLOCK_SIZE
        if request == _ERASE:
            self._erase(argument)
        elif request == _SHUTDOWN:
            self._file.close()
        elif request not in (_INIT, _SYNC):
            return None
        return 0

    def _erase(self, block: int) -> None:
        self._seek(block, 0, _BLOCK_SIZE)
        for _ in range(_BLOCK_SIZE // len(_ERASED)):
            self._file.write(_ERASED)

    def _seek(self, block: int, offset: int, length: int) -> None:
        start = block * _BLOCK_SIZE + offset
        if block < 0 or offset < 0 or start + length > self._size:
            raise OSError(5)  # EIO: outside the partition
        self._file.seek(self._offset + start)
