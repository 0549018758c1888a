# SPDX-License-Identifier: Apache-2.0
"""Records made by hand, as a second opinion on `firmware/wire`, of which nothing is used here.

The tables are those of `docs/protocol/records.md`: name, struct code, and the value that a
typical record has. Keys are test keys: SHA-256 of a label. Whoever trusts one loses money.
"""

import hashlib
import struct
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Two points with a coordinate so small that it also fits as coordinate + P.
SMALL_X = (0, 0x66485C780E2F83D72433BD5D84A06BB6541C2AF31DAE871728BF856A174F93F4)
SMALL_Y = (0xD7325D7646CD60D80A92738CEB345F844CFFAF35841022CAB176F692DE8DE1D7, 5)

Value = int | bytes | tuple[int, ...]
Table = tuple[tuple[str, str, Value], ...]

NOW = 1_772_323_200  # 2026-03-01 00:00 UTC
DAY = 86_400
YEAR = 365 * DAY


def sha256(data: bytes) -> bytes:
    """The 32-byte SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def filler(label: str, size: int) -> bytes:
    """`size` bytes (at most 32) that look random and are the same each time."""
    return sha256(b"qalta vector: " + label.encode())[:size]


def point(x: int, y: int) -> bytes:
    """x and y as a public key of 64 bytes, whether or not they are a point."""
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


class Key:
    """A test key, made from a label."""

    def __init__(self, label: str) -> None:
        number = int.from_bytes(sha256(b"qalta test key: " + label.encode()), "big")
        self._private = ec.derive_private_key(number % (ORDER - 1) + 1, ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self.public = point(numbers.x, numbers.y)
        self.key_id = sha256(self.public)[:8]

    def sign(self, body: bytes) -> bytes:
        """r || s over SHA-256 of `body`, the same each time (RFC 6979)."""
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return point(*decode_dss_signature(self._private.sign(body, algorithm)))


ROOT = Key("root")
ISSUER = Key("issuer")
BANK = Key("bank")
AUTHORITY = Key("authority")
NOTARY = Key("notary")
PURSE = Key("purse identity")
TOKEN_KEY = Key("purse token 0")
TERMINAL = Key("terminal")
PAYEES = tuple(Key(f"payee {number}") for number in range(8))

CERTIFICATE: Table = (
    ("type", "B", 1),
    ("version", "B", 1),
    ("role", "B", 6),
    ("tier", "B", 1),
    ("serial", "16s", filler("terminal serial", 16)),
    ("issuer", "8s", BANK.key_id),
    ("public_key", "64s", TERMINAL.public),
    ("not_before", "I", NOW),
    ("not_after", "I", NOW + 2 * YEAR),
    ("currency", "H", 398),
    ("mcc", "H", 5411),
    ("purposes", "4H", (7, 0, 0, 0)),
    ("label", "24s", b"Bakery No. 1".ljust(24, b"\0")),
)
NOTE: Table = (
    ("type", "B", 2),
    ("version", "B", 1),
    ("currency", "H", 398),
    ("note_id", "16s", filler("note id", 16)),
    ("value", "I", 2_000_000),
    ("purpose", "H", 0),
    ("hop_limit", "B", 2),
    ("min_tier", "B", 0),
    ("max_payment", "I", 1_000_000),
    ("max_transfers", "H", 200),
    ("flags", "H", 0),
    ("issued_at", "I", NOW),
    ("expires_at", "I", NOW + 90 * DAY),
    ("issuer", "8s", ISSUER.key_id),
    ("owner", "64s", TOKEN_KEY.public),
)
TRANSFER: Table = (
    ("type", "B", 3),
    ("version", "B", 1),
    ("seq", "H", 1),
    ("parent", "32s", filler("parent", 32)),
    ("start", "I", 120_000),
    ("end", "I", 155_050),
    ("payee", "32s", filler("payee", 32)),
    ("payment_id", "16s", filler("payment id", 16)),
    ("time", "I", NOW + DAY),
    ("cvm", "B", 1),
    ("flags", "B", 0),
    ("reserved", "2s", bytes(2)),
    ("sealed", "16s", filler("sealed", 16)),
)
LIMITS: Table = (
    ("max_balance", "I", 10_000_000),
    ("max_payment", "I", 2_000_000),
    ("pinless_payment", "I", 500_000),
    ("pinless_total", "I", 1_500_000),
    ("max_offline_total", "I", 5_000_000),
    ("max_offline_seconds", "I", 14 * DAY),
    ("max_offline_count", "H", 60),
    ("hop_limit", "B", 3),
    ("reserved", "B", 0),
)
POLICY: Table = (
    ("type", "B", 4),
    ("version", "B", 1),
    ("tier", "B", 2),
    ("flags", "B", 0),
    ("bank", "8s", BANK.key_id),
    ("policy_version", "I", 12),
    ("currency", "H", 398),
    ("reserved", "2s", bytes(2)),
    ("issued_at", "I", NOW),
    ("valid_until", "I", NOW + YEAR),
    ("normal", "28s", b""),  # always given: see `policy` in fixed_cases
    ("emergency", "28s", b""),
    ("banned_purposes", "8H", (9, 11, 0, 0, 0, 0, 0, 0)),
    ("banned_operations", "I", 4),
)
ACKNOWLEDGEMENT: Table = (
    ("type", "B", 5),
    ("version", "B", 1),
    ("reserved", "2s", bytes(2)),
    ("serial", "16s", filler("purse serial", 16)),
    ("bank", "8s", BANK.key_id),
    ("counter", "I", 41),
    ("time", "I", NOW + 3 * DAY),
    ("policy_version", "I", 12),
    ("chain", "32s", filler("chain", 32)),
)
DENYLIST: Table = (
    ("type", "B", 6),
    ("version", "B", 1),
    ("reserved", "2s", bytes(2)),
    ("notary", "8s", NOTARY.key_id),
    ("epoch", "I", 77),
    ("issued_at", "I", NOW + DAY),
    ("key_count", "H", 0),
    ("note_count", "H", 0),
)
FRAUD_PROOF: Table = (
    ("type", "B", 7),
    ("version", "B", 1),
    ("signer", "B", 0),
    ("reserved", "B", 0),
)
STATEMENT: Table = (
    ("type", "B", 8),
    ("version", "B", 1),
    ("entries", "H", 2),
    ("serial", "16s", filler("purse serial", 16)),
    ("challenge", "16s", filler("challenge", 16)),
    ("counter", "I", 43),
    ("acknowledged", "I", 41),
    ("anchor", "32s", filler("chain", 32)),
    ("head", "32s", filler("head", 32)),
    ("policy_version", "I", 12),
    ("denylist_epoch", "I", 77),
)
JOURNAL_ENTRY: Table = (
    ("type", "B", 9),
    ("version", "B", 1),
    ("kind", "B", 1),
    ("pieces", "B", 1),
    ("counter", "I", 42),
    ("time", "I", NOW + DAY),
    ("amount", "I", 100_000),
    ("purpose", "H", 0),
    ("cvm", "B", 1),
    ("reserved", "B", 0),
    ("payment_id", "16s", filler("payment id", 16)),
    ("payee", "32s", filler("payee", 32)),
)
BUNDLE: Table = (
    ("type", "B", 10),
    ("version", "B", 1),
    ("count", "H", 0),
    ("created_at", "I", NOW + 2 * DAY),
    ("terminal", "200s", b""),  # always given
    ("bank", "200s", b""),
)
KEY_ATTESTATION: Table = (
    ("type", "B", 11),
    ("version", "B", 1),
    ("slot", "B", 3),
    ("reserved", "B", 0),
    ("serial", "16s", filler("purse serial", 16)),
    ("challenge", "16s", filler("challenge", 16)),
    ("public_key", "64s", TOKEN_KEY.public),
)


def fields(table: Table, **changes: Value) -> dict[str, Value]:
    """The table's typical values with `changes`."""
    values: dict[str, Value] = {name: value for name, _, value in table}
    unknown = set(changes) - set(values)
    if unknown:
        raise ValueError(f"the table has no {unknown}")
    return values | changes


def pack(table: Table, **changes: Value) -> bytes:
    """The bytes of the table's fields: what is signed, where the record is signed."""
    values = fields(table, **changes)
    parts = []
    for name, code, _ in table:
        value = values[name]
        many = value if isinstance(value, tuple) else (value,)
        parts.append(struct.pack(">" + code, *many))
    return b"".join(parts)


def signed(table: Table, signer: Key, **changes: Value) -> bytes:
    """A whole record with the signature of `signer`."""
    body = pack(table, **changes)
    return body + signer.sign(body)


def expected(table: Table, raw: bytes, **changes: Value) -> dict[str, object]:
    """What a reader of the signed record `raw` must find in it, as the vector files say it."""
    values = {
        name: plain(value)
        for name, value in fields(table, **changes).items()
        if name not in ("type", "version", "reserved")
    }
    values["signature"] = raw[-64:].hex()
    return values


def plain(value: object) -> object:
    """`value` as JSON has it: bytes in hex, a tuple as a list."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def valid(
    name: str,
    comment: str,
    raw: bytes,
    found: Mapping[str, object],
    *flags: str,
    **more: object,
) -> dict[str, object]:
    """A vector that every parser takes; `more` holds record_id and signer where there are any."""
    result = {"valid": True, **more, "fields": dict(found)}
    return _vector(name, comment, raw, result, flags)


def invalid(name: str, comment: str, raw: bytes, error: str, *flags: str) -> dict[str, object]:
    """A vector that every parser refuses, with `error` in the message."""
    return _vector(name, comment, raw, {"valid": False, "error": error}, flags)


def _vector(
    name: str, comment: str, raw: bytes, result: dict[str, object], flags: tuple[str, ...]
) -> dict[str, object]:
    return {
        "id": name,
        "comment": comment,
        "flags": list(flags),
        "input": raw.hex(),
        "result": result,
    }
