# SPDX-License-Identifier: Apache-2.0
"""A power supply for a card in this process: it fails at a write that the test names.

It stands between the firmware and its flash, counts what is written, and ends the run before,
within or after one of the writes.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any

BEFORE = "before"  # nothing of the write came through
WITHIN = "within"  # a half of it came through, where it has halves
AFTER = "after"  # all of it came through, and nobody was told
MOMENTS = (BEFORE, WITHIN, AFTER)


_ERASE = 6  # request of MicroPython's block device protocol


class PowerCut(BaseException):
    """The power is gone: no line of the firmware may catch this."""


def flash_error() -> OSError:
    """What a worn flash says: the firmware lives on and must answer."""
    return OSError(errno.EIO, "worn flash")


class PowerSupply:
    """Counts writes; `fail(number, moment)` arms it, counting from 1 again."""

    def __init__(self, failure: Callable[[], BaseException] = PowerCut) -> None:
        self._failure = failure
        self.writes = 0
        self._number = 0
        self._moment = BEFORE

    def fail(self, number: int, moment: str) -> None:
        """Arms the supply; number 0 disarms it."""
        self.writes = 0
        self._number = number
        self._moment = moment

    def wrap(self, flash: Any) -> PoweredFlash:
        """A board's flash that writes by this supply's power."""
        return PoweredFlash(self, flash)

    def write(self, action: Callable[[], None], part: Callable[[], None]) -> None:
        """Carries out one write, or as much of it as the power lasts for: `part` is half."""
        self.writes += 1
        if self.writes != self._number:
            action()
            return
        if self._moment == WITHIN:
            part()
        elif self._moment == AFTER:
            action()
        raise self._failure()


class PoweredFlash:
    """A flash (`folder_flash`) whose every write asks the supply first."""

    def __init__(self, supply: PowerSupply, flash: Any) -> None:
        self._supply = supply
        self._flash = flash
        self.files = _PoweredFiles(supply, flash.files)
        self.copies = _PoweredFiles(supply, flash.copies)

    def partition(self, name: str) -> _PoweredPartition:
        """The block device of a partition."""
        return _PoweredPartition(self._supply, self._flash.partition(name))


class _PoweredFiles:
    def __init__(self, supply: PowerSupply, files: Any) -> None:
        self._supply = supply
        self._files = files
        self.ilistdir = files.ilistdir

    def open(self, path: str, mode: str) -> Any:
        """Reads go through; what is written arrives when the file is closed, or in part."""
        if mode == "rb":
            return self._files.open(path, mode)
        return _PoweredFile(self._supply, self._files, path)

    def mkdir(self, path: str) -> None:
        """Makes a folder, if the power lasts and there is none."""
        if path in [entry[0] for entry in self._files.ilistdir("")]:
            raise FileExistsError(errno.EEXIST, path)
        self._supply.write(lambda: self._files.mkdir(path), _nothing)

    def remove(self, path: str) -> None:
        """Removes a file, if the power lasts."""
        self._supply.write(lambda: self._files.remove(path), _nothing)

    def rename(self, old: str, new: str) -> None:
        """Renames, if the power lasts."""
        self._supply.write(lambda: self._files.rename(old, new), _nothing)


class _PoweredFile(io.BytesIO):
    def __init__(self, supply: PowerSupply, files: Any, path: str) -> None:
        super().__init__()
        self._supply = supply
        self._files = files
        self._path = path

    def __exit__(self, *_: object) -> None:
        data = self.getvalue()
        whole, half = (lambda: self._put(data)), (lambda: self._put(b""))  # T: created, empty
        self._supply.write(whole, half)

    def _put(self, data: bytes) -> None:
        with self._files.open(self._path, "wb") as file:
            file.write(data)


class _PoweredPartition:
    def __init__(self, supply: PowerSupply, partition: Any) -> None:
        self._supply = supply
        self._partition = partition
        self.readblocks = partition.readblocks

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Programs bytes, or the first half of them."""
        half = bytes(buffer[: len(buffer) // 2])
        self._supply.write(
            lambda: self._partition.writeblocks(block, buffer, offset),
            lambda: self._partition.writeblocks(block, half, offset),
        )

    def ioctl(self, request: int, argument: int) -> int | None:
        """Erases, or does not: half an erase leaves what nobody may rely on."""
        if request != _ERASE:
            count: int | None = self._partition.ioctl(request, argument)
            return count
        self._supply.write(lambda: self._partition.ioctl(request, argument), _nothing)
        return 0


def _nothing() -> None:
    """What half of a step is that has no halves."""
