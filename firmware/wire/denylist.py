# SPDX-License-Identifier: Apache-2.0
"""The denylist: keys and notes that no payee takes any more (protocol section 3)."""

from firmware.wire.layout import (
    KEY_ID_SIZE,
    SIGNATURE_SIZE,
    Layout,
    Record,
    WireError,
    sha256,
)

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

NOTE_ID_SIZE = 16
MAX_DENIED = 4096  # of each kind: a terminal holds the whole list, 96 KB at the most


class Denylist(Record):
    """One epoch of the list. Sorted, so that there is one encoding and a look-up is a search."""

    NAME = "denylist"
    TYPE = 6
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("reserved", "2s"),
        ("notary", "8s"),
        ("epoch", "I"),
        ("issued_at", "I"),
        ("key_count", "H"),
        ("note_count", "H"),
    )  # then key_count KeyIds, note_count note ids, signature[64]
    notary: bytes
    epoch: int
    issued_at: int
    key_count: int
    note_count: int
    keys: "list[bytes]"
    notes: "list[bytes]"

    @classmethod
    def parse(cls, raw: bytes) -> "Self":
        """The list in `raw`, all of it. Raises WireError for anything else."""
        head = cls.LAYOUT.size
        record = cls()
        record.raw = bytes(raw)
        try:
            if len(raw) < head:
                raise WireError("length is %d, less than %d" % (len(raw), head))
            for name, value in cls.LAYOUT.unpack(record.raw[:head]).items():
                setattr(record, name, value)
            record.check_head()
            record._read_entries()
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None
        return record

    @classmethod
    def issue_list(
        cls,
        sign: "Callable[[bytes], bytes]",
        notary: bytes,
        epoch: int,
        issued_at: int,
        keys: "set[bytes]",
        notes: "set[bytes]",
    ) -> "Self":
        """A new list of these KeyIds and note ids, signed by `sign(digest)`."""
        fields = {
            "type": cls.TYPE,
            "version": cls.VERSION,
            "notary": notary,
            "epoch": epoch,
            "issued_at": issued_at,
            "key_count": len(keys),
            "note_count": len(notes),
        }
        body = cls.LAYOUT.pack(fields) + b"".join(sorted(keys)) + b"".join(sorted(notes))
        return cls.parse(body + sign(sha256(body)))

    def _read_entries(self) -> None:
        if self.key_count > MAX_DENIED or self.note_count > MAX_DENIED:
            raise WireError("more entries than %d" % MAX_DENIED)
        first = self.LAYOUT.size
        middle = first + self.key_count * KEY_ID_SIZE
        end = middle + self.note_count * NOTE_ID_SIZE
        if len(self.raw) != end + SIGNATURE_SIZE:
            raise WireError("length is %d, not %d" % (len(self.raw), end + SIGNATURE_SIZE))
        self.signature = self.raw[end:]
        self.keys = _sorted_cut(self.raw[first:middle], KEY_ID_SIZE)
        self.notes = _sorted_cut(self.raw[middle:end], NOTE_ID_SIZE)

    def denies_key(self, key_id: bytes) -> bool:
        """Whether the key with this KeyId is on the list."""
        return _found(self.keys, key_id)

    def denies_note(self, note_id: bytes) -> bool:
        """Whether the note with this id is on the list."""
        return _found(self.notes, note_id)


def _sorted_cut(raw: bytes, size: int) -> "list[bytes]":
    entries = [raw[at : at + size] for at in range(0, len(raw), size)]
    for at in range(1, len(entries)):
        if entries[at - 1] >= entries[at]:
            raise WireError("entries are not sorted, or one stands twice")
    return entries


def _found(entries: "list[bytes]", wanted: bytes) -> bool:
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        if entries[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < len(entries) and entries[low] == wanted
