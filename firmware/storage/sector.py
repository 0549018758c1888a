# SPDX-License-Identifier: Apache-2.0
"""One sector of a log, read through a small window: a board's heap has no 4,096 bytes in a row."""

from firmware.storage.frame import RECORD_SIZE, Frame, find, mend, size_of

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.storage.memory import Device

SECTOR_SIZE = 4096
WINDOW = 1024
_BLANK = b"\xff" * 64  # bytes that are compared at once
_ALIGNED = 16  # behind garbage the log goes on at such an offset
_ERASED = 0xFF


class Reader:
    """Reads the sectors of a device, one after the other, through a buffer of WINDOW bytes."""

    def __init__(self, device: "Device", window: bytearray) -> None:
        self._device = device
        self._buffer = window
        self._block = 0
        self._salt = 0
        self._start = 0  # the offset of the window in its sector

    def open(self, block: int, salt: int) -> None:
        """Goes to another sector."""
        self._block = block
        self._salt = salt
        self._move(0)

    def _move(self, at: int) -> None:
        self._start = min(at, SECTOR_SIZE - WINDOW)
        self._device.readblocks(self._block, self._buffer, self._start)

    def next(self, at: int) -> "tuple[int, Frame | None]":
        """The first record from this offset on, whatever lies between, and where it begins.

        It is mended where need be; None where there is none.
        """
        frame = self._find(at)
        if frame is not None:
            return at, frame
        start, end = at, self.behind(at)
        behind = at + self._size(at)  # where the next one begins, if the head can be believed
        while at < end:
            frame = self._find(at)
            if frame is None and (at in (start, behind) or not at % _ALIGNED):
                frame = self._mend(at)
            if frame is not None:
                break
            at += 1
        return at, frame

    def _find(self, at: int) -> "Frame | None":
        return find(self._buffer, self._within(at), self._salt)

    def _mend(self, at: int) -> "Frame | None":
        return mend(self._buffer, self._within(at), self._salt)

    def _size(self, at: int) -> int:
        return size_of(self._buffer, self._within(at))

    def _within(self, at: int) -> int:
        """Where in the window this offset is, with all that its record can have behind it."""
        end = min(at + RECORD_SIZE, SECTOR_SIZE)
        if at < self._start or end > self._start + WINDOW:
            self._move(at)
        return at - self._start

    def behind(self, at: int) -> int:
        """Where one may write: `at`, if all from there on is erased, else behind what is not."""
        start = SECTOR_SIZE
        while start > at:
            start -= WINDOW
            self._move(start)
            end = WINDOW
            while end and self._buffer[end - len(_BLANK) : end] == _BLANK:
                end -= len(_BLANK)
            if end:
                while self._buffer[end - 1] == _ERASED:
                    end -= 1
                return at if start + end <= at else aligned(start + end)
        return at


def aligned(at: int) -> int:
    """The next offset at which the log may go on behind garbage."""
    return (at + _ALIGNED - 1) // _ALIGNED * _ALIGNED
