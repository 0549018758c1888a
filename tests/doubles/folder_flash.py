# SPDX-License-Identifier: Apache-2.0
"""A board's flash as a folder of this PC: its littlefs as files, each raw partition as one file.

Files are what MicroPython's `vfs.VfsLfs2` offers of them; a partition is NOR flash: an erase sets
every bit of a sector, a program can only clear bits, and here clearing one twice is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boards.VIRTUAL.partitions import read_partitions

SECTOR_SIZE = 4096
_ERASED = b"\xff" * SECTOR_SIZE
_COUNT_BLOCKS, _ERASE = 4, 6  # requests of MicroPython's block device protocol
_IS_FOLDER = 0x4000


class FolderFiles:
    """The files under a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str, mode: str) -> Any:
        """An open file."""
        return (self._root / path).open(mode)

    def ilistdir(self, path: str) -> Iterator[tuple[Any, ...]]:
        """Name and type of what is in a folder."""
        for entry in sorted((self._root / path.lstrip("/")).iterdir()):
            yield (entry.name, _IS_FOLDER if entry.is_dir() else 2 * _IS_FOLDER)

    def mkdir(self, path: str) -> None:
        """Makes a folder."""
        (self._root / path).mkdir()

    def remove(self, path: str) -> None:
        """Removes a file."""
        (self._root / path).unlink()

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, over whatever had it."""
        os.replace(self._root / old, self._root / new)


class FilePartition:
    """A raw partition; the file is made, erased, where it is not there."""

    def __init__(self, path: Path, size: int) -> None:
        self._size = size
        if not path.exists():
            path.write_bytes(b"\xff" * size)
        self._path = path

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a sector on."""
        with open(self._path, "rb", buffering=0) as file:
            file.seek(block * SECTOR_SIZE + offset)
            file.readinto(buffer)

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Programs bytes. Raises ValueError if a bit would have to be set again."""
        assert offset + len(buffer) <= SECTOR_SIZE, "a program does not cross a sector"
        old = bytearray(len(buffer))
        self.readblocks(block, old, offset)
        if any(new & ~was for new, was in zip(buffer, old, strict=True)):
            raise ValueError("a program cannot set bits")
        self._write(block, offset, bytes(buffer))

    def ioctl(self, request: int, argument: int) -> int | None:
        """How many sectors there are; erases one."""
        if request == _COUNT_BLOCKS:
            return self._size // SECTOR_SIZE
        if request == _ERASE:
            self._write(argument, 0, _ERASED)
            return 0
        return None

    def _write(self, block: int, offset: int, data: bytes) -> None:
        with open(self._path, "r+b", buffering=0) as file:
            file.seek(block * SECTOR_SIZE + offset)
            file.write(data)


class FolderFlash:
    """All of it, under one folder: `files` for the littlefs, `partition` for the rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "vfs").mkdir(parents=True, exist_ok=True)
        self.files: Any = FolderFiles(folder / "vfs")
        self.copies: Any = self.files  # in folders of their own, as on a board

    def partition(self, name: str) -> Any:
        """The block device of a partition, as large as a board's."""
        return FilePartition(self._folder / f"{name}.bin", read_partitions()[name].size)
