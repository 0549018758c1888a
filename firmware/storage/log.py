# SPDX-License-Identifier: Apache-2.0
"""A log of small records in raw flash: a ring of sectors, written once each round.

Sector number n lies at n % count. Its header is written when it has been erased, so that a
sector with a header is ready; records follow until the next one does not fit. Erasing is done
ahead, by `rest`, when nobody waits. A power cut leaves at worst garbage behind the last record,
and the log goes on behind that. A gap in the sequence says that the flash lost something.

Each header draws a salt, with which the CRCs of its sector begin. A payee chooses some bytes of
what is stored; without the salt it could hide a record in them, tear the card away while they
are written, and have it found behind the garbage.
"""

import errno
import os

from firmware.purse.ports import LOST, Log, StorageDamaged
from firmware.storage.frame import OVERHEAD, RECORD_SIZE, find, framed, mend
from firmware.storage.sector import SECTOR_SIZE, WINDOW, Reader, aligned

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.storage.frame import Frame
    from firmware.storage.memory import Device

VERSION = 2  # of the storage's layout; 1 was files alone (docs/storage.md)

_PLACE_BITS = 12  # a place is the sector's number and the offset in it
_HEADER_KIND = 14
_SALT_SIZE = 4
_HEADER_SIZE = OVERHEAD + 5 + _SALT_SIZE  # version u8 · number u32 · salt
_AHEAD = 2  # erased sectors that `rest` keeps ready
_SEQUENCES = 256
_TRIES = 3  # places that one record is tried at, where the flash does not keep it
_SECTOR_PART = 128  # bytes: the header and a part of the first record
_NO_HEADERS = (b"\xff" * _HEADER_SIZE, bytes(_HEADER_SIZE))  # erased, or given up

_COUNT_BLOCKS = 4  # requests of MicroPython's block device protocol
_ERASE = 6
_ENOSPC = 28  # MicroPython has no name for it


class SectorLog(Log):
    """A log on a block device of 4,096-byte sectors with the extended interface.

    `place`s are numbers that grow from record to record; one stays good until its sector goes.

    window: WINDOW bytes to read with, which logs that are not read at the same time can share. It
    is had once and kept: a heap in pieces may have no such row of bytes when a log is read again.
    """

    def __init__(self, device: "Device", window: "bytearray | None" = None) -> None:
        self._device = device
        self._window = window or bytearray(WINDOW)
        self._count: int = device.ioctl(_COUNT_BLOCKS, 0) or 0
        self._keep = 0  # the number of the sector from which on everything is needed
        self._forget()

    def _forget(self) -> None:
        self._first = 0  # the oldest sector
        self._last = -1  # the newest that is erased and has its header
        self._current = 0  # the one that is written to
        self._sequence = 0  # of the next record
        self._ends: "dict[int, int]" = {}  # of the current sector and the ready ones
        self._salts: "dict[int, int]" = {}  # of every sector
        self._doubtful: "tuple[int, bytes] | None" = None  # the newest record, if it was mended

    # -- reading -----------------------------------------------------------------------------

    def load(self, see: "Callable[[int, int, bytes], None]") -> None:
        """Reads all of it, anew: `see(place, kind, payload)` for each record, the oldest first.

        Where records are missing between two others, it sees one of the kind LOST. Writes
        nothing.
        """
        self._forget()
        numbers = self._numbers()
        if not numbers:
            return
        self._first, self._last = numbers[0], numbers[-1]
        self._current = self._first
        newest: "Frame | None" = None
        reader = Reader(self._device, self._window)
        for number in numbers:
            reader.open(number % self._count, self._salts[number])
            at = _HEADER_SIZE
            while True:
                start, frame = reader.next(at)
                if frame is None:
                    break
                at = start + frame.size
                place = number << _PLACE_BITS | start
                if newest is not None and frame.sequence != (newest.sequence + 1) % _SEQUENCES:
                    if frame.sequence == newest.sequence:
                        continue  # stored a second time, because the first had a flipped bit
                    see(place, LOST, b"")
                newest = frame
                self._current = number
                see(place, frame.kind, frame.payload)
            self._ends[number] = reader.behind(at)
        for number in range(self._current + 1, self._last):
            if number not in self._salts:
                self._ends[number] = SECTOR_SIZE  # nothing goes into it, this round
                if self._held_more(number):
                    see(number << _PLACE_BITS, LOST, b"")
        if newest is not None:
            self._sequence = (newest.sequence + 1) % _SEQUENCES
            if newest.was_mended:
                self._doubtful = (newest.kind, newest.payload)

    def _held_more(self, number: int) -> bool:
        """Whether a sector without a readable header may have held records.

        One that was given up has zeros there, and one that was never written to nothing behind.
        """
        raw = bytearray(_SECTOR_PART)
        self._device.readblocks(number % self._count, raw, 0)
        head, behind = raw[:_HEADER_SIZE], raw[_HEADER_SIZE:]
        return head not in _NO_HEADERS and behind != b"\xff" * len(behind)

    def _numbers(self) -> "list[int]":
        """The numbers of the sectors that have a header, in order."""
        numbers = []
        for block in range(self._count):
            raw = bytearray(_HEADER_SIZE)
            self._device.readblocks(block, raw, 0)
            if raw in _NO_HEADERS:
                continue
            header = find(raw, 0, 0) or mend(raw, 0, 0)
            if header is not None and header.kind == _HEADER_KIND:
                number = int.from_bytes(header.payload[1:-_SALT_SIZE], "big")
                if header.payload[0] == VERSION and number % self._count == block:
                    numbers.append(number)
                    self._salts[number] = int.from_bytes(header.payload[-_SALT_SIZE:], "big")
        return sorted(numbers)

    def read(self, place: int) -> "tuple[int, bytes]":
        """Kind and payload of the record at a place. Raises StorageDamaged."""
        number, at = place >> _PLACE_BITS, place & (SECTOR_SIZE - 1)
        if number not in self._salts:
            raise StorageDamaged("a record that was given up")
        salt = self._salts[number]
        raw = bytearray(min(RECORD_SIZE, SECTOR_SIZE - at))
        self._device.readblocks(number % self._count, raw, at)
        frame = find(raw, 0, salt) or mend(raw, 0, salt)
        if frame is None:
            raise StorageDamaged("a record of the log")
        return frame.kind, frame.payload

    # -- writing -----------------------------------------------------------------------------

    def has_room(self, *sizes: int) -> bool:
        """Whether records with payloads of these sizes fit without anything being erased."""
        number = self._current
        at = self._end_of(number)
        for size in sizes:
            while at + OVERHEAD + size > SECTOR_SIZE:
                number += 1
                if number > self._last:
                    return False
                at = self._end_of(number)
            at += OVERHEAD + size
        return number <= self._last

    def append(self, kind: int, payload: bytes) -> int:
        """Stores a record, durably, and returns its place.

        Erases a sector where none is ready: ask `has_room` first where that must not be. Raises
        OSError if there is no room, or the flash does not keep what it is given, and ValueError
        for more than a record holds.
        """
        if OVERHEAD + len(payload) > RECORD_SIZE:
            raise ValueError("a record of %d bytes" % len(payload))
        self._store_again()
        place = self._write(kind, payload, self._sequence)
        self._sequence = (self._sequence + 1) % _SEQUENCES
        return place

    def _store_again(self) -> None:
        """Stores the newest record once more, behind itself, if it had to be mended.

        What was not programmed to the end may read otherwise another time.
        """
        if self._doubtful is not None:
            kind, payload = self._doubtful
            self._write(kind, payload, (self._sequence - 1) % _SEQUENCES)
            self._doubtful = None

    def _write(self, kind: int, payload: bytes, sequence: int) -> int:
        for attempt in range(_TRIES):
            self._make_room(OVERHEAD + len(payload))
            number, at = self._current, self._end_of(self._current)
            raw = framed(kind, sequence, payload, self._salts[number])
            self._device.writeblocks(number % self._count, raw, at)
            self._ends[number] = at + len(raw)
            if self._holds(number, at, raw):
                return number << _PLACE_BITS | at
            # A bad spot is passed over, a bad sector with the next try.
            self._ends[number] = SECTOR_SIZE if attempt else aligned(at + len(raw))
        raise OSError(errno.EIO)

    def _holds(self, number: int, at: int, raw: bytes) -> bool:
        stored = bytearray(len(raw))
        self._device.readblocks(number % self._count, stored, at)
        return stored == raw

    def _make_room(self, size: int) -> None:
        if self._last < 0:
            self._erase_next()
        while self._end_of(self._current) + size > SECTOR_SIZE:
            if self._current == self._last and not self._erase_next():
                raise OSError(_ENOSPC)
            self._ends.pop(self._current, None)
            self._current += 1

    def _end_of(self, number: int) -> int:
        return self._ends.get(number, _HEADER_SIZE)

    # -- erasing, when nobody waits ----------------------------------------------------------

    def clear(self) -> None:
        """Gives up everything in it; for a log that nobody relies on yet."""
        for block in range(self._count):
            self._device.writeblocks(block, bytes(_HEADER_SIZE), 0)
            self._device.ioctl(_ERASE, block)
        self._forget()

    def keep_from(self, place: int) -> None:
        """Says that no record before this place is needed any more."""
        self._keep = place >> _PLACE_BITS

    @property
    def first_place(self) -> int:
        """The place where the oldest sector begins: what was before it is gone."""
        return self._first << _PLACE_BITS

    def rest(self) -> bool:
        """Erases one sector ahead, if one is wanted and free; says whether there was work."""
        self._store_again()
        ahead = range(self._current + 1, self._last + 1)
        ready = [number for number in ahead if self._end_of(number) < SECTOR_SIZE]
        return len(ready) < _AHEAD and self._erase_next()

    def _erase_next(self) -> bool:
        """Makes the next sector ready: the oldest one's place, once nothing in it is needed.

        Its header goes first. A cut within the erase then leaves a sector without one, and never
        an old one of which a part is missing.
        """
        number = self._last + 1
        block = number % self._count
        if number - self._first >= self._count:
            if self._first >= min(self._keep, self._current):
                return False
            self._device.writeblocks(block, bytes(_HEADER_SIZE), 0)
            self._salts.pop(self._first, None)
            self._first += 1
        salt = os.urandom(_SALT_SIZE)
        header = bytes((VERSION,)) + number.to_bytes(4, "big") + salt
        raw = framed(_HEADER_KIND, 0, header, 0)
        try:
            self._device.ioctl(_ERASE, block)
            self._device.writeblocks(block, raw, 0)
        except OSError:
            pass  # worn: it shows
        self._salts[number] = int.from_bytes(salt, "big")
        self._last = number
        self._ends[number] = _HEADER_SIZE
        if not self._holds(number, 0, raw):
            self._device.writeblocks(block, bytes(_HEADER_SIZE), 0)
            self._ends[number] = SECTOR_SIZE  # nothing goes into it, this round
        return True
