# SPDX-License-Identifier: Apache-2.0
"""The files of a board for CPython: littlefs on the flash in RAM, as `vfs.VfsLfs2` gives it.

What littlefs reads from the same bytes is the same each time. So what was read from a flash that
was seen before is remembered, and littlefs is mounted where something is new or is written.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from littlefs import LittleFS, LittleFSError, lfs

from boards.VIRTUAL.partitions import BLOCK_SIZE
from firmware.hal.littlefs import PROG_SIZE, READ_SIZES
from tests.power_cut.nor_flash import NorFlash, Write

_ENCODING = "utf-8"
_REMEMBERED = 64  # states of the flash
_FOLDER = 2  # littlefs calls a folder so; MicroPython 0x4000


class _Context:
    """What littlefs calls for its reads and writes."""

    def __init__(self, flash: NorFlash, name: str) -> None:
        self._flash = flash
        self._name = name
        self._start, end = flash.range_of(name)
        self.in_size = end - self._start

    def read(self, _: Any, block: int, offset: int, size: int) -> bytes:
        start = self._start + block * BLOCK_SIZE + offset
        return bytes(self._flash.memory[start : start + size])

    def prog(self, _: Any, block: int, offset: int, data: bytes) -> int:
        start = self._start + block * BLOCK_SIZE + offset
        self._flash.write(Write(start, bytes(data), self._name))
        return 0

    def erase(self, _: Any, block: int) -> int:
        self._flash.write(Write(self._start + block * BLOCK_SIZE, None, self._name))
        return 0

    def sync(self, _: Any) -> int:
        return 0


class Memo:
    """What was read, by what the flash held: results, or the numbers of errors."""

    def __init__(self) -> None:
        self._states: dict[Any, dict[Any, Any]] = {}

    def of(self, key: Any) -> dict[Any, Any]:
        """What is known of a flash that holds this."""
        known = self._states.pop(key, None) or {}
        while len(self._states) >= _REMEMBERED:
            self._states.pop(next(iter(self._states)))  # the one that was not asked for longest
        self._states[key] = known
        return known


class LittleFiles:
    """The mounted littlefs of a partition. Raises OSError if it cannot be mounted."""

    def __init__(self, flash: NorFlash, name: str, memo: Memo) -> None:
        self._flash = flash
        self._name = name
        self._memo = memo
        self._seen = -1  # the version of the partition that `_known` belongs to
        self._known: dict[Any, Any] = {}
        self._mounted: lfs.LFSFilesystem | None = None
        self._remembered("mount", self._mount)

    @staticmethod
    def format(flash: NorFlash, name: str) -> None:
        """An empty file system, as a new flash image has it."""
        new = LittleFS(
            _Context(flash, name),
            mount=False,
            **_config(flash, name),  # type: ignore[arg-type]
        )
        new.format()

    def _mount(self) -> None:
        files = LittleFS(
            _Context(self._flash, self._name),
            mount=False,
            **_config(self._flash, self._name),  # type: ignore[arg-type]
        )
        files.mount()
        self._files = files  # it owns the configuration
        self._mounted = files.fs

    @property
    def _fs(self) -> Any:
        if self._mounted is None:
            self._mount()
        return self._mounted

    def _remembered(self, name: Any, function: Callable[[], Any]) -> Any:
        version = self._flash.versions[self._name]
        if self._seen != version:
            self._known = self._memo.of(self._flash.files_key(self._name))
            self._seen = version
        if name not in self._known:
            try:
                self._known[name] = (function(), 0)
            except LittleFSError as error:
                self._known[name] = (None, -error.code)
        result, error_number = self._known[name]
        if error_number:
            raise OSError(error_number, str(name))
        return result

    def open(self, path: str, mode: str) -> Any:
        """An open file."""
        if mode == "rb":
            return io.BytesIO(self._remembered(path, lambda: self._content(path)))
        return _NewFile(self._fs, path)

    def _content(self, path: str) -> bytes:
        handle = lfs.file_open(self._fs, path, "rb", _ENCODING)
        try:
            return bytes(lfs.file_read(self._fs, handle, lfs.file_size(self._fs, handle)))
        finally:
            lfs.file_close(self._fs, handle)

    def ilistdir(self, path: str) -> Iterator[tuple[Any, ...]]:
        """Name and type of what is in a folder."""
        return iter(self._remembered((path,), lambda: self._entries(path)))

    def _entries(self, path: str) -> list[tuple[Any, ...]]:
        found = []
        handle = lfs.dir_open(self._fs, path, _ENCODING)
        try:
            while entry := lfs.dir_read(self._fs, handle, _ENCODING):
                if entry.name not in (".", ".."):
                    found.append((entry.name, 0x4000 if entry.type == _FOLDER else 0x8000))
        finally:
            lfs.dir_close(self._fs, handle)
        return found

    def mkdir(self, path: str) -> None:
        """Makes a folder."""
        _raising(lfs.mkdir, self._fs, path, _ENCODING)

    def remove(self, path: str) -> None:
        """Removes a file."""
        _raising(lfs.remove, self._fs, path, _ENCODING)

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, over whatever had it."""
        _raising(lfs.rename, self._fs, old, new, _ENCODING)


class _NewFile:
    """A file that is written."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._handle = _raising(lfs.file_open, fs, path, "wb", _ENCODING)

    def write(self, data: bytes) -> int:
        """Adds to it."""
        return int(_raising(lfs.file_write, self._fs, self._handle, data))

    def __enter__(self) -> _NewFile:
        return self

    def __exit__(self, *_: object) -> None:
        _raising(lfs.file_close, self._fs, self._handle)


def _config(flash: NorFlash, name: str) -> dict[str, int]:
    """What MicroPython's VfsLfs2 makes of the arguments in `firmware.hal.littlefs`."""
    start, end = flash.range_of(name)
    return {
        "block_size": BLOCK_SIZE,
        "block_count": (end - start) // BLOCK_SIZE,
        "read_size": READ_SIZES[name],
        "prog_size": PROG_SIZE,
        "cache_size": 4 * max(READ_SIZES[name], PROG_SIZE),
        "lookahead_size": 32,
        "block_cycles": 100,
    }


def _raising(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except LittleFSError as error:
        raise OSError(-error.code, str(error)) from None
