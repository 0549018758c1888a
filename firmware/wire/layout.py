# SPDX-License-Identifier: Apache-2.0
"""Fixed big-endian layouts, and the base of every signed record (protocol section 3).

A layout is a tuple of (field name, struct code). A record names its layout once; packing,
parsing, the refusal of bad bytes and the byte table in the documentation all come from it.
"""

import hashlib
import struct
from array import array

from firmware.crypto.p256 import ORDER, on_curve

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self

SIGNATURE_SIZE = 64
PUBLIC_KEY_SIZE = 64
RECORD_ID_SIZE = 32
KEY_ID_SIZE = 8
SERIAL_SIZE = 16
RESERVED = "reserved"


class WireError(ValueError):
    """Bytes that are not the record that they should be. The message says which and why."""


def sha256(data: bytes) -> bytes:
    """The 32-byte SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def key_id(public_key: bytes) -> bytes:
    """The first 8 bytes of SHA-256(public key): for look-up only, never for trust."""
    return sha256(public_key)[:KEY_ID_SIZE]


class Layout:
    """Fields of fixed size, one after the other, big-endian, with no padding between them."""

    def __init__(self, *fields: "tuple[str, str]") -> None:
        self.fields = fields
        self.format = ">" + "".join(code for _, code in fields)
        self.size = struct.calcsize(self.format)
        # Of each field how many values it has, and of how many bytes: known once, used often.
        self._many = bytes([_repeats(code) for _, code in fields])
        self._sizes = array("H", [_size_of(code) for _, code in fields])

    def unpack(self, raw: bytes) -> "dict[str, Any]":
        """The fields of `raw` by name; a code such as "4H" gives a tuple.

        Raises WireError where the length is wrong or a reserved byte is not zero.
        """
        if len(raw) != self.size:
            raise WireError("length is %d, not %d" % (len(raw), self.size))
        values = struct.unpack(self.format, raw)
        fields: "dict[str, Any]" = {}
        at = 0
        for (name, _), many in zip(self.fields, self._many):
            value = values[at] if many == 1 else tuple(values[at : at + many])
            fields[name] = value
            at += many
            if name.startswith(RESERVED) and any(_bytes_of(value)):
                raise WireError("reserved bytes are not zero")
        return fields

    def pack(self, fields: "Mapping[str, Any]") -> bytes:
        """The bytes of `fields`. A reserved field is filled in; any other must be given.

        Raises WireError for a missing or unknown field, or a value that does not fit.
        """
        values: "list[Any]" = []
        left = len(fields)
        for (name, code), many, size in zip(self.fields, self._many, self._sizes):
            if name.startswith(RESERVED):
                value: "Any" = bytes(size) if code.endswith("s") else 0
            elif name not in fields:
                raise WireError("field %s is missing" % name)
            else:
                value = fields[name]
                left -= 1
            if many == 1:
                good = _fits(value, code, size)
                values.append(value)
            else:
                good = len(value) == many and all(_fits(item, code, size) for item in value)
                values.extend(value)
            if not good:
                raise WireError("field %s does not fit" % name)
        if left:
            raise WireError("unknown fields were given")
        return struct.pack(self.format, *values)

    def table(self) -> "list[tuple[int, int, str]]":
        """(offset, size, name) of every field: what the documentation prints."""
        rows = []
        at = 0
        for name, code in self.fields:
            size = struct.calcsize(">" + code)
            rows.append((at, size, name))
            at += size
        return rows


def _repeats(code: str) -> int:
    """How many values a struct code stands for: "4H" gives four, "16s" one."""
    return int(code[:-1]) if len(code) > 1 and code[-1] != "s" else 1


def _size_of(code: str) -> int:
    """How many bytes each of these values has."""
    return struct.calcsize(">" + code) // _repeats(code)


def _fits(value: object, code: str, size: int) -> bool:
    """Whether `value` is what `code` holds: MicroPython's struct cuts silently, so ask first."""
    if code[-1] == "s":
        return isinstance(value, (bytes, bytearray)) and len(value) == size
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >> 8 * size == 0


def _bytes_of(value: "Any") -> bytes:
    if isinstance(value, int):
        return b"\x01" if value else b""
    return bytes(value)


class Record:
    """A parsed record. Its fields are attributes; `raw` is exactly what was parsed.

    A subclass gives NAME, TYPE, LAYOUT (type and version first, `signature` last where it
    is signed) and, where the layout alone does not say it, `check`.
    """

    NAME = ""
    TYPE = 0
    VERSION = 1
    LAYOUT = Layout()
    raw: bytes
    signature: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Self":
        """The record in `raw`, all of it. Raises WireError for anything else."""
        record = cls()
        record.raw = bytes(raw)
        try:
            for name, value in cls.LAYOUT.unpack(record.raw).items():
                setattr(record, name, value)
            record.check_head()
            record.check()
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None
        return record

    @classmethod
    def issue(cls, sign: "Callable[[bytes], bytes]", **fields: "Any") -> "Self":
        """A new record of these fields, signed by `sign(digest) -> signature`."""
        body = cls.body_of(fields)
        return cls.parse(body + sign(sha256(body)))

    @classmethod
    def body_of(cls, fields: "Mapping[str, Any]") -> bytes:
        """The bytes to be signed: everything but the signature."""
        whole = dict(fields)
        whole["type"] = cls.TYPE
        whole["version"] = cls.VERSION
        whole["signature"] = bytes(SIGNATURE_SIZE)
        try:
            return cls.LAYOUT.pack(whole)[:-SIGNATURE_SIZE]
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None

    @property
    def body(self) -> bytes:
        """What the signature is over."""
        return self.raw[:-SIGNATURE_SIZE]

    @property
    def record_id(self) -> bytes:
        """SHA-256 of the body: it never depends on signature bytes (reliability case C05)."""
        return self.id_of(self.raw)

    @staticmethod
    def id_of(raw: bytes) -> bytes:
        """The RecordId of a signed record's bytes, which nobody has parsed."""
        return sha256(raw[:-SIGNATURE_SIZE])

    def check_head(self) -> None:
        """Type, version and the range of the signature's r and s."""
        if self.raw[0] != self.TYPE:
            raise WireError("type is %d, not %d" % (self.raw[0], self.TYPE))
        if self.raw[1] != self.VERSION:
            raise WireError("version is %d, not %d" % (self.raw[1], self.VERSION))
        check_signature(self.raw[-SIGNATURE_SIZE:])

    def check(self) -> None:
        """What this kind of record asks beyond its layout; raises WireError."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return "<%s %s>" % (self.NAME, self.record_id[:4].hex())


def check_signature(signature: bytes) -> None:
    """Refuses r or s of 0 or >= n, with WireError, before any curve arithmetic is spent on it."""
    for part in (signature[:32], signature[32:]):
        if not 0 < int.from_bytes(part, "big") < ORDER:
            raise WireError("r or s of the signature is out of range")


def check_point(public_key: bytes) -> None:
    """Refuses a public key that is not a point of P-256, with WireError."""
    if not on_curve(public_key):
        raise WireError("the public key is not a point of the curve")
