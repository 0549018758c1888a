# SPDX-License-Identifier: Apache-2.0
"""A board's flash in this process that counts: a real littlefs, and raw partitions, over NOR."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from littlefs import LittleFS, LittleFSError

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from host_bridge.bench.counts import Counts
from provisioning.image import mount_files

_COUNT_BLOCKS, _ERASE = 4, 6  # requests of MicroPython's block device protocol
_IS_FOLDER, _IS_FILE = 0x4000, 0x8000
_LITTLEFS_FOLDER = 2  # the type that littlefs gives a folder


class CountedPartition:
    """A raw partition: an erase sets every bit of a block, a program only clears bits."""

    def __init__(self, content: bytearray, counts: Counts) -> None:
        self._content = content
        self._counts = counts

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fills the buffer from a block on."""
        at = block * BLOCK_SIZE + offset
        buffer[:] = self._content[at : at + len(buffer)]
        self._counts.read(len(buffer))

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Programs bytes."""
        at = block * BLOCK_SIZE + offset
        old = self._content[at : at + len(buffer)]
        self._content[at : at + len(buffer)] = bytes(
            was & new for was, new in zip(old, buffer, strict=True)
        )
        self._counts.program(len(buffer))
        self._counts.add("record")

    def ioctl(self, request: int, argument: int) -> int | None:
        """How many blocks there are; erases one."""
        if request == _COUNT_BLOCKS:
            return len(self._content) // BLOCK_SIZE
        if request == _ERASE:
            at = argument * BLOCK_SIZE
            self._content[at : at + BLOCK_SIZE] = b"\xff" * BLOCK_SIZE
            self._counts.add("erase")
            return 0
        return None


class CountedFiles:
    """A littlefs with the methods, and the errors, of MicroPython's `vfs.VfsLfs2`."""

    def __init__(self, files: LittleFS, counts: Counts) -> None:
        self._files = files
        self._counts = counts
        _listen(files.context, counts)

    @contextmanager
    def open(self, path: str, mode: str) -> Iterator[Any]:
        """An open file; one that is written is a record."""
        if "w" in mode:
            self._counts.add("record")
        with _as_micropython(), self._files.open(path, mode) as file:
            yield file

    def ilistdir(self, path: str) -> Iterator[tuple[Any, ...]]:
        """Name and type of what is in a folder."""
        with _as_micropython():
            found = list(self._files.scandir(path or "/"))
        for entry in found:
            yield entry.name, _IS_FOLDER if entry.type == _LITTLEFS_FOLDER else _IS_FILE

    def mkdir(self, path: str) -> None:
        """Makes a folder."""
        with _as_micropython():
            self._files.mkdir(path)

    def remove(self, path: str) -> None:
        """Removes a file."""
        with _as_micropython():
            self._files.remove(path)

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, over whatever had it."""
        with _as_micropython():
            self._files.rename(old, new)


class CountedFlash:
    """The data partitions of a flash image. image: its bytes, which are copied."""

    def __init__(self, image: bytes, counts: Counts) -> None:
        self.files: Any = CountedFiles(mount_files(image), counts)
        self.copies: Any = CountedFiles(mount_files(image, "copies"), counts)
        self._partitions = {
            partition.name: CountedPartition(
                bytearray(image[partition.offset : partition.end]), counts
            )
            for partition in read_partitions().values()
        }

    def partition(self, name: str) -> Any:
        """The block device of a partition."""
        return self._partitions[name]


def _listen(context: Any, counts: Counts) -> None:
    """Counts what littlefs asks of its flash; a program of it may be many bytes long."""
    read, program, erase = context.read, context.prog, context.erase

    def counted_read(config: Any, block: int, offset: int, size: int) -> Any:
        counts.read(size)
        return read(config, block, offset, size)

    def counted_program(config: Any, block: int, offset: int, data: bytes) -> Any:
        counts.program(len(data))
        return program(config, block, offset, data)

    def counted_erase(config: Any, block: int) -> Any:
        counts.add("erase")
        return erase(config, block)

    context.read, context.prog, context.erase = counted_read, counted_program, counted_erase


@contextmanager
def _as_micropython() -> Iterator[None]:
    """The errors of littlefs as MicroPython raises them: OSError with a number."""
    try:
        yield
    except FileNotFoundError:
        raise OSError(errno.ENOENT, "no such file") from None
    except FileExistsError:
        raise OSError(errno.EEXIST, "it is there already") from None
    except LittleFSError as error:
        raise OSError(-error.code, str(error)) from None
