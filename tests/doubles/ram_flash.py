# SPDX-License-Identifier: Apache-2.0
"""A board's flash in this process's memory: each littlefs as a dict, each partition as bytes.

It holds to what `folder_flash` holds to, and is some hundred times faster: for tests that take
steps by the hundred thousand. `tests.doubles.power` can stand between it and the firmware.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from typing import Any

from boards.VIRTUAL.partitions import read_partitions

SECTOR_SIZE = 4096
_ERASED = b"\xff" * SECTOR_SIZE
_COUNT_BLOCKS, _ERASE = 4, 6  # requests of MicroPython's block device protocol
_IS_FOLDER, _IS_FILE = 0x4000, 0x8000


class RamFiles:
    """Files by folder and name; a folder within a folder there is none."""

    def __init__(self, folders: dict[str, dict[str, bytes]]) -> None:
        self._folders = folders

    def open(self, path: str, mode: str) -> Any:
        """An open file; what is written is there from the moment that it is closed."""
        folder, name = self._place(path)
        if mode == "rb":
            if name not in folder:
                raise _no_such(path)
            return io.BytesIO(folder[name])
        folder[name] = b""
        return _RamFile(folder, name)

    def ilistdir(self, path: str) -> Iterator[tuple[Any, ...]]:
        """Name and type of what is in a folder; "" is the root."""
        if path in ("", "/"):
            return iter([(name, _IS_FOLDER) for name in sorted(self._folders)])
        if path not in self._folders:
            raise _no_such(path)
        return iter([(name, _IS_FILE) for name in sorted(self._folders[path])])

    def mkdir(self, path: str) -> None:
        """Makes a folder."""
        if path in self._folders:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._folders[path] = {}

    def remove(self, path: str) -> None:
        """Removes a file."""
        folder, name = self._place(path)
        if folder.pop(name, None) is None:
            raise _no_such(path)

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, over whatever had it."""
        source, name = self._place(old)
        if name not in source:
            raise _no_such(old)
        target, new_name = self._place(new)
        target[new_name] = source.pop(name)

    def _place(self, path: str) -> tuple[dict[str, bytes], str]:
        folder, _, name = path.partition("/")
        if folder not in self._folders:
            raise _no_such(path)
        return self._folders[folder], name


class _RamFile(io.BytesIO):
    def __init__(self, folder: dict[str, bytes], name: str) -> None:
        super().__init__()
        self._folder = folder
        self._name = name

    def close(self) -> None:
        if not self.closed:
            self._folder[self._name] = self.getvalue()
        super().close()


class RamPartition:
    """NOR flash: an erase sets every bit of a sector, a program can only clear bits."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a sector on."""
        at = block * SECTOR_SIZE + offset
        buffer[:] = self._content[at : at + len(buffer)]

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Programs bytes. Raises ValueError if a bit would have to be set again."""
        assert offset + len(buffer) <= SECTOR_SIZE, "a program does not cross a sector"
        at = block * SECTOR_SIZE + offset
        end = at + len(buffer)
        old = int.from_bytes(self._content[at:end], "big")
        new = int.from_bytes(buffer, "big")
        if new & ~old:
            raise ValueError("a program cannot set bits")
        self._content[at:end] = buffer

    def ioctl(self, request: int, argument: int) -> int | None:
        """How many sectors there are; erases one."""
        if request == _COUNT_BLOCKS:
            return len(self._content) // SECTOR_SIZE
        if request == _ERASE:
            at = argument * SECTOR_SIZE
            self._content[at : at + SECTOR_SIZE] = _ERASED
            return 0
        return None


class RamFlash:
    """All of it: two littlefs, `partition` for the rest. `copy` is another board."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, bytes]] = {}
        self._copy_folders: dict[str, dict[str, bytes]] = {}
        self._partitions: dict[str, bytearray] = {}
        self.files: Any = RamFiles(self._folders)
        self.copies: Any = RamFiles(self._copy_folders)

    def partition(self, name: str) -> Any:
        """The block device of a partition, as large as a board's."""
        if name not in self._partitions:
            self._partitions[name] = bytearray(b"\xff" * read_partitions()[name].size)
        return RamPartition(self._partitions[name])

    def copy(self) -> RamFlash:
        """A flash of its own with the same content."""
        twin = RamFlash()
        for name, folder in self._folders.items():
            twin._folders[name] = dict(folder)
        for name, folder in self._copy_folders.items():
            twin._copy_folders[name] = dict(folder)
        for name, content in self._partitions.items():
            twin._partitions[name] = bytearray(content)
        return twin


def _no_such(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
