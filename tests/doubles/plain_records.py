# SPDX-License-Identifier: Apache-2.0
"""The records of the protocol, from the byte tables in docs/protocol/records.md and nothing else.

For `plain_purse`, and for the bank that feeds it: no line here, and no number, is the firmware's.
Amounts in tiyn, times in Unix seconds. A parser raises `NoRecord` for bytes that are none.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUER, BANK, AUTHORITY, PURSE, TERMINAL, NOTARY = 2, 3, 4, 5, 6, 7
BEST_MATCH = 0xFFFF

_CERTIFICATE = struct.Struct(">BBBB16s8s64sIIHH4H24s64s")
_NOTE = struct.Struct(">BBH16sIHBBIHHII8s64s64s")
_POLICY = struct.Struct(">BBBB8sIHHII28s28s8HI64s")
_LIMITS = struct.Struct(">IIIIIIHBB")
_ACKNOWLEDGEMENT = struct.Struct(">BBH16s8sIII32s64s")
_TRANSFER = struct.Struct(">BBH32sII32s16sIBBH16s")  # without its signature
_ENTRY = struct.Struct(">BBBBIIIHBB16s32s")
_STATEMENT = struct.Struct(">BBH16s16sII32s32sII")
_ATTESTATION = struct.Struct(">BBBB16s16s64s")
_PAY = struct.Struct(">IHH16sI200s")
_SELECTED = struct.Struct(">BBHIBB")


class NoRecord(Exception):
    """These bytes are not the record that they should be."""


class Certificate(NamedTuple):
    """Who a key belongs to."""

    raw: bytes
    role: int
    issuer: bytes
    key: bytes
    begins: int
    ends: int
    currency: int
    purposes: tuple[int, ...]
    serial: bytes

    def takes(self, purpose: int) -> bool:
        """Whether a terminal takes this money, or an authority labels it."""
        return purpose in (0, *self.purposes)

    def is_valid(self, time: int) -> bool:
        """Whether a time lies between its two dates, both included."""
        return self.begins <= time <= self.ends


class Note(NamedTuple):
    """Units 0 to value-1 in the hands of one key."""

    raw: bytes
    currency: int
    value: int
    purpose: int
    min_tier: int
    max_payment: int
    max_transfers: int
    issued_at: int
    expires_at: int
    issuer: bytes
    owner: bytes
    record_id: bytes


class Limits(NamedTuple):
    """The set of a policy's limits that is in force."""

    balance: int
    payment: int
    pinless_payment: int
    pinless_total: int
    total: int
    seconds: int
    times: int


class Policy(NamedTuple):
    """A bank's limits for its purses."""

    raw: bytes
    tier: int
    bank: bytes
    version: int
    currency: int
    issued_at: int
    valid_until: int
    limits: Limits
    banned_purposes: tuple[int, ...]
    banned: int


class Acknowledgement(NamedTuple):
    """A bank's word that it has a journal up to a counter."""

    raw: bytes
    serial: bytes
    bank: bytes
    counter: int
    time: int
    chain: bytes


class Request(NamedTuple):
    """The data of a PAY; `payee` are the bytes of a certificate."""

    amount: int
    currency: int
    purpose: int
    payment_id: bytes
    time: int
    payee: bytes


# -- parsing ---------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def certificate(raw: bytes) -> Certificate:
    """The certificate in these bytes."""
    found = _opened(raw, _CERTIFICATE, 1)
    role, tier, serial, issuer, key, begins, ends, currency = found[2:10]
    purposes, label = found[11:15], found[15]
    text = label.rstrip(b"\0")
    try:
        text.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise NoRecord from None
    _ask(1 <= role <= NOTARY and tier <= 3 and begins < ends)
    _ask(BEST_MATCH not in purposes and b"\0" not in text)
    _point(key)
    return Certificate(raw, role, issuer, key, begins, ends, currency, purposes, serial)


@lru_cache(maxsize=4096)
def note(raw: bytes) -> Note:
    """The note in these bytes."""
    (_, _, currency, _, value, purpose, hops, tier, payment, transfers, flags, issued, expires,
     issuer, owner, _) = _opened(raw, _NOTE, 2)  # fmt: skip
    _ask(value > 0 and purpose != BEST_MATCH and hops > 0 and payment > 0 and transfers > 0)
    _ask(tier <= 3 and flags <= 1 and issued < expires)
    _point(owner)
    return Note(raw, currency, value, purpose, tier, payment, transfers, issued, expires, issuer,
                owner, record_id(raw))  # fmt: skip


def policy(raw: bytes) -> Policy:
    """The policy in these bytes."""
    found = _opened(raw, _POLICY, 4)
    tier, flags, bank, version, currency, reserved, issued, until, normal, emergency = found[2:12]
    purposes, operations = found[12:20], found[20]
    _ask(tier <= 3 and flags <= 1 and version > 0 and reserved == 0 and issued < until)
    _ask(BEST_MATCH not in purposes and operations <= 7)
    both = [_LIMITS.unpack(limits) for limits in (normal, emergency)]
    _ask(both[0][8] == 0 and both[1][8] == 0)
    limits = Limits(*both[flags][:7])
    return Policy(raw, tier, bank, version, currency, issued, until, limits, purposes, operations)


def acknowledgement(raw: bytes) -> Acknowledgement:
    """The acknowledgement in these bytes."""
    _, _, reserved, serial, bank, counter, time, _, chain, _ = _opened(raw, _ACKNOWLEDGEMENT, 5)
    _ask(reserved == 0)
    return Acknowledgement(raw, serial, bank, counter, time, chain)


def request(data: bytes) -> Request:
    """The data of a PAY, which have the right length."""
    return Request(*_PAY.unpack(data))


def _opened(raw: bytes, layout: struct.Struct, kind: int) -> tuple:  # type: ignore[type-arg]
    """The fields of a signed record of version 1."""
    _ask(len(raw) == layout.size)
    _ask(raw[0] == kind and raw[1] == 1)
    for half in (raw[-64:-32], raw[-32:]):
        _ask(0 < int.from_bytes(half, "big") < ORDER)
    return layout.unpack(raw)


def _ask(so: bool) -> None:
    if not so:
        raise NoRecord


# -- making ----------------------------------------------------------------------------------

Head = tuple[bytes, bytes, int, int, bytes]  # payee, payment_id, time, cvm, sealed


def transfer_body(parent: bytes, piece: tuple[int, int, int], head: Head) -> bytes:
    """A transfer without its signature. piece: seq, start, end; head: what all pieces share."""
    seq, start, end = piece
    payee, payment_id, time, cvm, sealed = head
    return _TRANSFER.pack(
        3, 1, seq, parent, start, end, payee, payment_id, time, cvm, 0, 0, sealed
    )


def entry_body(counter: int, amount: int, purpose: int, head: Head, bodies: list[bytes]) -> bytes:
    """A journal entry without its signatures: a payment of these transfers."""
    payee, payment_id, time, cvm, _ = head
    first = _ENTRY.pack(
        9, 1, 1, len(bodies), counter, time, amount, purpose, cvm, 0, payment_id, payee
    )
    return first + b"".join(bodies)


def statement_body(*fields: object) -> bytes:
    """entries, serial, challenge, counter, acknowledged, anchor, head, version of the policy."""
    return _STATEMENT.pack(8, 1, *fields, 0)


def attestation_body(slot: int, serial: bytes, challenge: bytes, key: bytes) -> bytes:
    """A key attestation without its signature."""
    return _ATTESTATION.pack(11, 1, slot, 0, serial, challenge, key)


def selected(currency: int, version: int, lifecycle: int, flags: int) -> bytes:
    """The ten bytes of state in SELECT's answer, of a purse of tier 0."""
    return _SELECTED.pack(1, 0, currency, version, lifecycle, flags)


def sealed(view_key: bytes, counter: int, total: int, chain: bytes) -> bytes:
    """What a transfer hides: one AES-128 block under the view key."""
    block = struct.pack(">II8s", counter, total, chain[:8])
    return Cipher(algorithms.AES(view_key), modes.ECB()).encryptor().update(block)


# -- signatures ------------------------------------------------------------------------------

_CURVE = ec.SECP256R1()
_PREHASHED = utils.Prehashed(hashes.SHA256())
_VERIFY = ec.ECDSA(_PREHASHED)
_SIGN = ec.ECDSA(_PREHASHED, deterministic_signing=True)  # RFC 6979


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def record_id(raw: bytes) -> bytes:
    """SHA-256 of a record without its signature."""
    return sha256(raw[:-64])


def key_id(key: bytes) -> bytes:
    """The first 8 bytes of a public key's SHA-256."""
    return sha256(key)[:8]


@lru_cache(maxsize=4096)
def _point(key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\x04" + key)
    except ValueError:
        raise NoRecord from None


@lru_cache(maxsize=4096)
def _private(secret: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret, "big"), _CURVE)


@lru_cache(maxsize=4096)
def public_key(secret: bytes) -> bytes:
    """x ‖ y of a private key of 32 bytes."""
    numbers = _private(secret).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def signed(secret: bytes, body: bytes) -> bytes:
    """A record's body and its signature."""
    r, s = utils.decode_dss_signature(_private(secret).sign(sha256(body), _SIGN))
    return body + r.to_bytes(32, "big") + s.to_bytes(32, "big")


@lru_cache(maxsize=4096)
def is_signed(key: bytes, raw: bytes) -> bool:
    """Whether a record is signed by the holder of a public key."""
    r, s = int.from_bytes(raw[-64:-32], "big"), int.from_bytes(raw[-32:], "big")
    try:
        _point(key).verify(utils.encode_dss_signature(r, s), sha256(raw[:-64]), _VERIFY)
    except InvalidSignature:
        return False
    return True


# -- records that a bank, an issuer or a root makes ------------------------------------------


def make_certificate(secret: bytes, key: bytes, role: int, **fields: object) -> bytes:
    """A certificate over `key`, signed by `secret`; fields: see Certificate, and `label`."""
    values: dict[str, object] = {
        "serial": sha256(key)[:16],
        "tier": 0,
        "begins": 0,
        "ends": 1,
        "currency": 398,
        "purposes": (0, 0, 0, 0),
        "label": b"",
        **fields,
    }
    body = _CERTIFICATE.pack(
        1, 1, role, values["tier"], values["serial"], key_id(public_key(secret)), key,
        values["begins"], values["ends"], values["currency"], 0,
        *values["purposes"], values["label"], bytes(64),  # type: ignore[misc]
    )  # fmt: skip
    return signed(secret, body[:-64])


def make_note(secret: bytes, owner: bytes, note_id: bytes, value: int, **fields: int) -> bytes:
    """A note for an owner key; fields: see Note, and `hops`."""
    values = {
        "purpose": 0,
        "currency": 398,
        "hops": 1,
        "min_tier": 0,
        "max_payment": 0xFFFFFFFF,
        "max_transfers": 1000,
        **fields,
    }
    body = _NOTE.pack(
        2, 1, values["currency"], note_id, value, values["purpose"], values["hops"],
        values["min_tier"], values["max_payment"], values["max_transfers"], 0,
        values["issued_at"], values["expires_at"], key_id(public_key(secret)), owner, bytes(64),
    )  # fmt: skip
    return signed(secret, body[:-64])


def make_policy(secret: bytes, version: int, dates: tuple[int, int], limits: Limits,
                **fields: Any) -> bytes:  # fmt: skip
    """A policy. fields: `emergency` (Limits, then in force), `banned`, `purposes`, `tier`."""
    emergency = fields.get("emergency")
    sets = [_LIMITS.pack(*both, 1, 0) for both in (limits, emergency or limits)]
    purposes: tuple[int, ...] = fields.get("purposes", ())
    body = _POLICY.pack(
        4, 1, fields.get("tier", 0), 1 if emergency else 0, key_id(public_key(secret)), version,
        fields.get("currency", 398), 0, *dates, *sets, *(purposes + (0,) * 8)[:8],
        fields.get("banned", 0), bytes(64),
    )  # fmt: skip
    return signed(secret, body[:-64])


def make_acknowledgement(
    secret: bytes, serial: bytes, counter: int, time: int, chain: bytes
) -> bytes:
    """A bank's word for a purse."""
    bank = key_id(public_key(secret))
    body = _ACKNOWLEDGEMENT.pack(5, 1, 0, serial, bank, counter, time, 0, chain, bytes(64))
    return signed(secret, body[:-64])


def pay_data(*fields: object) -> bytes:
    """amount, currency, purpose, payment_id, time, the payee's certificate."""
    return _PAY.pack(*fields)
