# SPDX-License-Identifier: Apache-2.0
"""Bundles: what a terminal owes the bank, in one signed file (protocol section 5).

The same records go over a line or, without one, over a USB stick. A bundle is signed by the
terminal that made it and carries that terminal's certificate and its bank's.
"""

import struct

from firmware.wire.certificate import Certificate
from firmware.wire.journal import JournalEntry, Statement
from firmware.wire.layout import SIGNATURE_SIZE, Layout, WireError, check_signature, sha256
from firmware.wire.limits import JOURNAL_CAPACITY

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

ITEM_SALE = 1  # tokens of one payment, as the purse answered them
ITEM_EXPORT = 2  # one purse's statement, its certificate and its entries
ITEM_CERTIFICATE = 3  # under the root, so that the root's key alone verifies the rest

MAX_ITEMS = 4096
_ITEM_HEAD = ">BBH"
_ITEM_HEAD_SIZE = 4
_LENGTH = ">H"
_LENGTH_SIZE = 2


class Bundle:
    """A list of (kind, bytes) items from one terminal, with its signature over all of them."""

    NAME = "bundle"
    TYPE = 10
    VERSION = 1
    HEAD = Layout(
        ("type", "B"),
        ("version", "B"),
        ("count", "H"),
        ("created_at", "I"),
        ("terminal", "200s"),
        ("bank", "200s"),
    )

    def __init__(self, raw: bytes, items: "list[tuple[int, bytes]]") -> None:
        self.raw = raw
        self.items = items
        head = self.HEAD.unpack(raw[: self.HEAD.size])
        self.created_at: int = head["created_at"]
        self.terminal = Certificate.parse(head["terminal"])
        self.bank = Certificate.parse(head["bank"])

    @property
    def body(self) -> bytes:
        """What the signature is over."""
        return self.raw[:-SIGNATURE_SIZE]

    @property
    def signature(self) -> bytes:
        """The terminal's signature."""
        return self.raw[-SIGNATURE_SIZE:]

    @classmethod
    def issue(
        cls,
        sign: "Callable[[bytes], bytes]",
        created_at: int,
        terminal: Certificate,
        bank: Certificate,
        items: "list[tuple[int, bytes]]",
    ) -> "Bundle":
        """A new bundle, signed by `sign(digest)`. Raises WireError when it holds too much."""
        if len(items) > MAX_ITEMS:
            raise WireError("bundle: more items than %d" % MAX_ITEMS)
        head = {
            "type": cls.TYPE,
            "version": cls.VERSION,
            "count": len(items),
            "created_at": created_at,
            "terminal": terminal.raw,
            "bank": bank.raw,
        }
        parts = [cls.HEAD.pack(head)]
        for kind, data in items:
            if len(data) > 0xFFFF:
                raise WireError("bundle: an item is longer than 65535 bytes")
            parts.append(struct.pack(_ITEM_HEAD, kind, 0, len(data)))
            parts.append(data)
        body = b"".join(parts)
        return cls.parse(body + sign(sha256(body)))

    @classmethod
    def parse(cls, raw: bytes) -> "Bundle":
        """The bundle in `raw`, all of it. Raises WireError for anything else."""
        try:
            return cls._parse(bytes(raw))
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None

    @classmethod
    def _parse(cls, raw: bytes) -> "Bundle":
        if len(raw) < cls.HEAD.size + SIGNATURE_SIZE:
            raise WireError("it is cut off")
        head = cls.HEAD.unpack(raw[: cls.HEAD.size])
        if head["type"] != cls.TYPE or head["version"] != cls.VERSION:
            raise WireError("type or version is wrong")
        check_signature(raw[-SIGNATURE_SIZE:])
        if head["count"] > MAX_ITEMS:
            raise WireError("more items than %d" % MAX_ITEMS)
        end = len(raw) - SIGNATURE_SIZE
        at = cls.HEAD.size
        items = []
        for _ in range(head["count"]):
            item, at = _take_item(raw, at, end)
            items.append(item)
        if at != end:
            raise WireError("%d bytes stand behind its last item" % (end - at))
        return cls(raw, items)


def _take_item(raw: bytes, at: int, end: int) -> "tuple[tuple[int, bytes], int]":
    if at + _ITEM_HEAD_SIZE > end:
        raise WireError("it is cut off")
    kind, reserved, size = struct.unpack(_ITEM_HEAD, raw[at : at + _ITEM_HEAD_SIZE])
    at += _ITEM_HEAD_SIZE
    if reserved:
        raise WireError("reserved bytes are not zero")
    if kind not in (ITEM_SALE, ITEM_EXPORT, ITEM_CERTIFICATE):
        raise WireError("item kind %d is unknown" % kind)
    if at + size > end:
        raise WireError("it is cut off")
    return (kind, raw[at : at + size]), at + size


class PurseExport:
    """What a purse gives at sync: certificate, statement, and the entries that it speaks of."""

    NAME = "purse export"

    def __init__(
        self, certificate: Certificate, statement: Statement, entries: "list[JournalEntry]"
    ) -> None:
        self.certificate = certificate
        self.statement = statement
        self.entries = entries

    @property
    def is_whole(self) -> bool:
        """Whether the entries lead from the statement's anchor to its head, none left out."""
        chain = self.statement.anchor
        for entry in self.entries:
            chain = entry.chained(chain)
        return bool(chain == self.statement.head)

    @property
    def raw(self) -> bytes:
        """Certificate, statement, then each entry behind its u16 length."""
        parts = [self.certificate.raw, self.statement.raw]
        for entry in self.entries:
            parts.append(struct.pack(_LENGTH, len(entry.raw)))
            parts.append(entry.raw)
        return b"".join(parts)

    @classmethod
    def parse(cls, raw: bytes) -> "PurseExport":
        """The export in `raw`, all of it. Raises WireError for anything else."""
        raw = bytes(raw)
        first = Certificate.LAYOUT.size
        at = first + Statement.LAYOUT.size
        certificate = Certificate.parse(raw[:first])
        statement = Statement.parse(raw[first:at])
        entries: "list[JournalEntry]" = []
        while at < len(raw):
            if len(entries) == JOURNAL_CAPACITY:
                raise WireError("%s: more than %d entries" % (cls.NAME, JOURNAL_CAPACITY))
            if at + _LENGTH_SIZE > len(raw):
                raise WireError("%s: it is cut off" % cls.NAME)
            (size,) = struct.unpack(_LENGTH, raw[at : at + _LENGTH_SIZE])
            at += _LENGTH_SIZE
            if at + size > len(raw):
                raise WireError("%s: it is cut off" % cls.NAME)
            entries.append(JournalEntry.parse(raw[at : at + size]))
            at += size
        if len(entries) != statement.entries:
            raise WireError("%s: it has not the entries that it states" % cls.NAME)
        return cls(certificate, statement, entries)
