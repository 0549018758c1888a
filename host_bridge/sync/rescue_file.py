# SPDX-License-Identifier: Apache-2.0
"""Rescue files: what could be read of a purse that pays no more (docs/protocol/rescue.md).

Nothing in one is believed because it stands there. A payment proves itself by the signature of
its note's key; the digest at the end tells a file that a stick has spoiled from one that lies.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from firmware.wire.apdu import LIFECYCLE_BLANK
from firmware.wire.bundle import PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.journal import JournalEntry
from firmware.wire.layout import Layout, WireError, sha256
from firmware.wire.limits import JOURNAL_CAPACITY, TOKEN_KEYS
from firmware.wire.note import Note
from host_bridge.files import OWNER_ONLY, replace_file

MAX_RESCUE_BYTES = 2 * 1024 * 1024
MAX_ENTRIES = 2 * JOURNAL_CAPACITY
MAX_STORED = 8192  # records of a journal's log
MAX_STORED_BYTES = 1024  # of one of them
MAX_STORED_KIND = 14  # a log has four bits for it, and 15 is erased flash
MAX_TEXTS = 64  # sentences about what could not be read
MAX_TEXT_BYTES = 200

HEAD = Layout(
    ("magic", "8s"),
    ("version", "B"),
    ("source", "B"),
    ("lifecycle", "B"),
    ("reserved", "B"),
    ("made_at", "I"),
    ("count", "H"),
)
ITEM = Layout(("what", "B"), ("kind", "B"), ("size", "H"))

_MAGIC = b"QALTARSC"
_VERSION = 1
_DIGEST_SIZE = 32
_UNKNOWN_LIFECYCLE = 0xFF
_LIFECYCLES = 4  # 0 to 3


class RescueFileError(WireError):
    """A rescue file cannot be written or read; the message is one sentence for people."""


class Source(enum.IntEnum):
    """Where the records come from."""

    CARD = 1  # a card that still answers
    IMAGE = 2  # the flash of a board that does not


class What(enum.IntEnum):
    """What an item is; items come in this order."""

    ORIGIN = 1  # text: which card or image
    CERTIFICATE = 2  # the purse's identity certificate
    EXPORT = 3  # statement and entries, whole, as at any sync
    ENTRY = 4  # a journal entry, where there is no whole export
    NOTE = 5  # a note that the purse holds
    STORED = 6  # a record of the journal's log, of the item's `kind`
    UNREADABLE = 7  # text: what could not be read


_MOST = {
    What.ORIGIN: 1,
    What.CERTIFICATE: 1,
    What.EXPORT: 1,
    What.ENTRY: MAX_ENTRIES,
    What.NOTE: TOKEN_KEYS,
    What.STORED: MAX_STORED,
    What.UNREADABLE: MAX_TEXTS,
}


@dataclass(frozen=True)
class Rescue:
    """One purse, as far as it could be read. `made_at` is Unix seconds.

    lifecycle: what SELECT answered, None for an image. stored: (kind, payload) of the records of
    the journal's log as they are stored, oldest first (`firmware.purse.stored`).
    """

    source: Source
    lifecycle: int | None
    made_at: int
    origin: str
    certificate: Certificate | None = None
    export: PurseExport | None = None
    entries: tuple[JournalEntry, ...] = ()
    notes: tuple[Note, ...] = ()
    stored: tuple[tuple[int, bytes], ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def raw(self) -> bytes:
        """The file's bytes. Raises WireError for more than a file may hold."""
        items = list(self._items())
        for what, most in _MOST.items():
            if sum(item[0] == what for item in items) > most:
                raise WireError(f"more than {most} of item {what}")
        fields = {
            "magic": _MAGIC,
            "version": _VERSION,
            "source": self.source,
            "lifecycle": _UNKNOWN_LIFECYCLE if self.lifecycle is None else self.lifecycle,
            "made_at": self.made_at,
            "count": len(items),
        }
        parts = [HEAD.pack(fields)]
        for item, kind, data in items:
            parts += [ITEM.pack({"what": item, "kind": kind, "size": len(data)}), data]
        body = b"".join(parts)
        _check_size(len(body) + _DIGEST_SIZE)
        return body + sha256(body)

    def _items(self) -> Iterator[tuple[int, int, bytes]]:
        yield What.ORIGIN, 0, text_bytes(self.origin)
        if self.certificate is not None:
            yield What.CERTIFICATE, 0, self.certificate.raw
        if self.export is not None:
            yield What.EXPORT, 0, self.export.raw
        for entry in self.entries:
            yield What.ENTRY, 0, entry.raw
        for note in self.notes:
            yield What.NOTE, 0, note.raw
        for kind, payload in self.stored:
            yield What.STORED, kind, payload
        for text in self.unreadable:
            yield What.UNREADABLE, 0, text_bytes(text)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """The rescue file in `raw`, all of it. Raises WireError for anything else."""
        raw = bytes(raw)
        if len(raw) < HEAD.size + _DIGEST_SIZE:
            raise WireError("it is cut off")
        _check_size(len(raw))
        body, digest = raw[:-_DIGEST_SIZE], raw[-_DIGEST_SIZE:]
        head = HEAD.unpack(body[: HEAD.size])
        if head["magic"] != _MAGIC or head["version"] != _VERSION:
            raise WireError("its beginning or its version is wrong")
        if sha256(body) != digest:
            raise WireError("it was cut or changed since it was made")
        lifecycle = None if head["lifecycle"] == _UNKNOWN_LIFECYCLE else int(head["lifecycle"])
        if lifecycle is not None and not LIFECYCLE_BLANK <= lifecycle < _LIFECYCLES:
            raise WireError(f"lifecycle {lifecycle} is unknown")
        if head["source"] not in iter(Source):
            raise WireError(f"source {head['source']} is unknown")
        found = _sorted_items(body, int(head["count"]))
        if not found[What.ORIGIN]:
            raise WireError("it does not say where it comes from")
        certificates = [Certificate.parse(data) for _, data in found[What.CERTIFICATE]]
        exports = [PurseExport.parse(data) for _, data in found[What.EXPORT]]
        return cls(
            source=Source(head["source"]),
            lifecycle=lifecycle,
            made_at=head["made_at"],
            origin=_text(found[What.ORIGIN][0][1]),
            certificate=certificates[0] if certificates else None,
            export=exports[0] if exports else None,
            entries=tuple(JournalEntry.parse(data) for _, data in found[What.ENTRY]),
            notes=tuple(Note.parse(data) for _, data in found[What.NOTE]),
            stored=tuple(found[What.STORED]),
            unreadable=tuple(_text(data) for _, data in found[What.UNREADABLE]),
        )


def _sorted_items(body: bytes, count: int) -> dict[What, list[tuple[int, bytes]]]:
    """(kind, bytes) of every item by what it is. Raises WireError."""
    found: dict[What, list[tuple[int, bytes]]] = {what: [] for what in What}
    at, newest = HEAD.size, 0
    for _ in range(count):
        if at + ITEM.size > len(body):
            raise WireError("it is cut off")
        head = ITEM.unpack(body[at : at + ITEM.size])
        at += ITEM.size
        if at + head["size"] > len(body):
            raise WireError("it is cut off")
        if head["what"] not in iter(What) or head["what"] < newest:
            raise WireError(f"item {head['what']} is unknown, or in a wrong place")
        newest = head["what"]
        what, data = What(newest), body[at : at + head["size"]]
        at += head["size"]
        _check_item(what, head["kind"], data)
        found[what].append((head["kind"], data))
        if len(found[what]) > _MOST[what]:
            raise WireError(f"more than {_MOST[what]} of item {newest}")
    if at != len(body):
        raise WireError(f"{len(body) - at} bytes stand behind its last item")
    return found


def _check_size(size: int) -> None:
    if size > MAX_RESCUE_BYTES:
        raise WireError(f"it is larger than {MAX_RESCUE_BYTES} bytes")


def _check_item(what: What, kind: int, data: bytes) -> None:
    if what is What.STORED:
        check_stored(kind, data)
    elif kind:
        raise WireError("an item has a kind that needs none")


def check_stored(kind: int, payload: bytes) -> None:
    """Refuses what no journal's log holds, with WireError."""
    if not 0 < kind <= MAX_STORED_KIND or len(payload) > MAX_STORED_BYTES:
        raise WireError("a stored record is of no kind, or too long")


def text_bytes(text: str) -> bytes:
    """A sentence as a rescue file holds it: printable, cut where it is too long."""
    printable = "".join(char if char.isprintable() else "?" for char in text)
    raw = printable.encode(errors="replace")[:MAX_TEXT_BYTES]
    return raw.decode(errors="ignore").encode() or b"?"


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise WireError("a sentence is not UTF-8") from None
    if not text.isprintable() or not 0 < len(data) <= MAX_TEXT_BYTES:
        raise WireError("a sentence is empty, too long or not printable")
    return text


def write_rescue(path: Path, rescue: Rescue) -> None:
    """Writes a new file that its owner alone may read: a journal tells a life.

    Raises RescueFileError, also where there is such a file: it may be the only one.
    """
    if path.exists():
        raise RescueFileError(f"{path} exists already.")
    try:
        replace_file(path, rescue.raw, mode=OWNER_ONLY)
    except OSError as error:
        raise RescueFileError(f"{path} cannot be written: {error.strerror}.") from None
    except WireError as error:
        raise RescueFileError(f"{path} cannot be written: {error}.") from None


def read_rescue(path: Path) -> Rescue:
    """The rescue file at `path`. Raises RescueFileError for anything else."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_RESCUE_BYTES + 1)
    except OSError as error:
        raise RescueFileError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return Rescue.parse(raw)
    except WireError as error:
        raise RescueFileError(f"{path} is no rescue file: {error}.") from None
