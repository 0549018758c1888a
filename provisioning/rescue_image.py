# SPDX-License-Identifier: Apache-2.0
"""Reads a purse out of the flash image of a board that answers no more (docs/storage.md).

Nothing is written, and nothing has to be whole: what cannot be read is said in the rescue.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from littlefs import LittleFS, LittleFSError

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from firmware.purse.ports import LOST
from firmware.storage.log import SectorLog
from firmware.storage.seal import BAD, open_sealed
from firmware.wire.certificate import Certificate
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import WireError
from firmware.wire.limits import TOKEN_KEYS
from firmware.wire.note import Note
from host_bridge.sync.rescue_file import MAX_ENTRIES, MAX_TEXTS, Rescue, Source
from provisioning.image import FLASH_SIZE, ImageError, mount_files

T = TypeVar("T")

_COPIES = (("vfs", "purse"), ("copies", "purse-copy"))  # partition and folder of each record
_CERTIFICATE = "purse"
_ENTRIES = "entry."  # of storage version 1, which kept its journal in files
_COUNT_BLOCKS = 4  # a request of MicroPython's block device protocol


class _Reading:
    """An image's content: both littlefs, where they can be mounted, and what was unreadable."""

    def __init__(self, content: bytes) -> None:
        self.unreadable: list[str] = []
        self._folders: list[tuple[LittleFS, str]] = []
        for name, folder in _COPIES:
            if len(content) < read_partitions()[name].end:
                continue  # storage version 1 had no copies
            try:
                self._folders.append((mount_files(content, name), folder))
            except LittleFSError as error:
                self.miss(f"the file system {name} cannot be mounted: {error}")

    def miss(self, sentence: str) -> None:
        """Says that something could not be read."""
        if len(self.unreadable) < MAX_TEXTS:
            self.unreadable.append(sentence)

    def record(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        """The newer good copy of a record, or None."""
        copies = [_copy(files, f"/{folder}/{name}") for files, folder in self._folders]
        found = [copy for copy in copies if copy is not None]
        sequence, data = max(found, default=(BAD, b""))
        if sequence == BAD:
            if found:
                self.miss(f"record {name}: no copy of it is as it was written")
            return None
        try:
            return parse(data)
        except WireError as error:
            self.miss(f"record {name}: {error}")
            return None

    def names(self, prefix: str) -> list[str]:
        """The records whose names begin so and of which there is a copy."""
        found: set[str] = set()
        for files, folder in self._folders:
            try:
                found.update(str(name) for name in files.listdir(f"/{folder}"))
            except (LittleFSError, OSError):
                continue
        return sorted(name for name in found if name.startswith(prefix))


def _copy(files: LittleFS, path: str) -> tuple[int, bytes] | None:
    """Sequence and data of a copy; None where there is none."""
    try:
        with files.open(path, "rb") as file:
            return open_sealed(bytes(file.read()))
    except FileNotFoundError:
        return None
    except (LittleFSError, OSError):
        return BAD, b""


class _JournalDevice:
    """The journal's partition as the log reads it; what is not there is erased."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill the buffer."""
        at = block * BLOCK_SIZE + offset
        buffer[:] = self._content[at : at + len(buffer)].ljust(len(buffer), b"\xff")

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Never: a rescue changes nothing."""
        raise ImageError("A rescue writes nothing to an image.")

    def ioctl(self, request: int, argument: int) -> int | None:
        """How many blocks there are."""
        return len(self._content) // BLOCK_SIZE if request == _COUNT_BLOCKS else None


def rescue_image(image: Path, now: int) -> Rescue:
    """Everything of a purse that an image still holds; `now` is Unix seconds.

    Raises ImageError for a file that cannot be one.
    """
    content = _content(image)
    reading = _Reading(content)
    certificate = reading.record(_CERTIFICATE, Certificate.parse)
    if certificate is None:
        reading.miss("there is no certificate that can be read")
    slots = [f"note.{slot:02d}" for slot in range(1, TOKEN_KEYS + 1)]
    notes = [reading.record(name, Note.parse) for name in slots]
    names = reading.names(_ENTRIES)[-MAX_ENTRIES:]
    entries = [reading.record(name, JournalEntry.parse) for name in names]
    stored = stored_records(content)
    lost = sum(kind == LOST for kind, _ in stored)
    if lost:
        reading.miss(f"holes in the journal, where records are missing: {lost}")
    return Rescue(
        source=Source.IMAGE,
        lifecycle=None,
        made_at=now,
        origin=image.name,
        certificate=certificate,
        entries=tuple(entry for entry in entries if entry is not None),
        notes=tuple(note for note in notes if note is not None),
        stored=tuple(record for record in stored if record[0] != LOST),
        unreadable=tuple(reading.unreadable),
    )


def stored_records(content: bytes) -> list[tuple[int, bytes]]:
    """(kind, payload) of the journal's log in an image's content, the oldest first.

    Where records were lost between two others stands one of the kind LOST. An image of storage
    version 1 has no such partition, and none.
    """
    partition = read_partitions().get("journal")
    if partition is None:
        return []
    found: list[tuple[int, bytes]] = []
    log = SectorLog(_JournalDevice(content[partition.offset : partition.end]))
    log.load(lambda place, kind, payload: found.append((kind, payload)))
    return found


def _content(image: Path) -> bytes:
    """An image's bytes, with whatever in them: the firmware need not be whole either."""
    try:
        with image.open("rb") as file:
            content = file.read(FLASH_SIZE + 1)
    except OSError as error:
        raise ImageError(f"{image} cannot be read: {error.strerror}.") from None
    if not read_partitions()["vfs"].end <= len(content) <= FLASH_SIZE:
        raise ImageError(f"{image} is not as large as a flash image.")
    return content
