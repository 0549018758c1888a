# SPDX-License-Identifier: Apache-2.0
"""Vectors of what the notary says: denylists, and fraud proofs."""

from tests.vectors import craft
from tests.vectors.chain_cases import Chain, payee_certificate, record_id
from tests.vectors.craft import Key, Value, invalid, pack, signed, valid
from tests.vectors.fixed_cases import Vector, bad_signatures

MAX_DENIED = 4096
_KEYS = sorted(craft.filler(f"denied key {number}", 8) for number in range(5))
_NOTES = sorted(craft.filler(f"denied note {number}", 16) for number in range(4))


def _list(keys: list[bytes], notes: list[bytes], **changes: Value) -> bytes:
    counts: dict[str, Value] = {"key_count": len(keys), "note_count": len(notes)}
    body = pack(craft.DENYLIST, **counts | changes) + b"".join(keys) + b"".join(notes)
    return body + craft.NOTARY.sign(body)


def denylist() -> list[Vector]:
    """Denylists; unsorted and doubled entries, counts that do not fit."""
    ends = ([bytes(8), b"\xff" * 8], [bytes(16), b"\xff" * 16])
    return [
        _good_list("typical", "five keys and four notes", _KEYS, _NOTES),
        _good_list("empty-list", "nobody is denied", [], [], epoch=0, issued_at=0),
        _good_list("keys-only", "one key", _KEYS[:1], [], epoch=0xFFFFFFFF),
        _good_list("notes-only", "one note", [], _NOTES[:1], issued_at=0xFFFFFFFF),
        _good_list("extremes", "the lowest and the highest entries", *ends),
        *_bad_list_bytes(),
        *_bad_entries(),
        *_bad_counts(),
        *bad_signatures("denylist", _list(_KEYS, _NOTES)),
    ]


def _good_list(
    case: str, comment: str, keys: list[bytes], notes: list[bytes], **head: Value
) -> Vector:
    raw = _list(keys, notes, **head)
    counts: dict[str, Value] = {"key_count": len(keys), "note_count": len(notes)}
    found = craft.expected(craft.DENYLIST, raw, **counts | head)
    found |= {"keys": craft.plain(keys), "notes": craft.plain(notes)}
    more = {"record_id": record_id(raw), "signer": craft.NOTARY.public.hex()}
    return valid(f"denylist/{case}", comment, raw, found, **more)


def _bad_list_bytes() -> list[Vector]:
    raw = _list(_KEYS, _NOTES)
    reserved = "reserved bytes are not zero"
    cases = [
        ("empty", "no bytes at all", b"", "length is 0"),
        ("cut-in-head", "23 bytes", raw[:23], "length is 23"),
        ("head-alone", "no signature", raw[:24], "denylist: "),
        ("short-by-one", "its last byte is missing", raw[:-1], "length is "),
        ("long-by-one", "one byte behind its end", raw + b"\1", "length is "),
        ("type-5", "another type", _list(_KEYS, _NOTES, type=5), "type is 5"),
        ("version-0", "version 0", _list(_KEYS, _NOTES, version=0), "version is 0"),
        ("version-2", "a later version", _list(_KEYS, _NOTES, version=2), "version is 2"),
    ]
    for wrong in (b"\1\0", b"\x80\0", b"\0\1", b"\0\x80"):
        changed = _list(_KEYS, _NOTES, reserved=wrong)
        cases.append((f"reserved-{wrong.hex()}", "a reserved byte is set", changed, reserved))
    return [invalid(f"denylist/{case}", *rest, "bytes") for case, *rest in cases]


def _bad_entries() -> list[Vector]:
    error = "entries are not sorted, or one stands twice"
    cases = (
        ("keys-unsorted", "backwards", _list(_KEYS[::-1], _NOTES)),
        ("keys-doubled", "one twice", _list([_KEYS[0], *_KEYS], _NOTES)),
        ("notes-unsorted", "backwards", _list(_KEYS, _NOTES[::-1])),
        ("notes-doubled", "one twice", _list(_KEYS, [*_NOTES, _NOTES[-1]])),
    )
    return [invalid(f"denylist/{case}", *rest, error, "field") for case, *rest in cases]


def _bad_counts() -> list[Vector]:
    no_fit, over = "length is ", f"more entries than {MAX_DENIED}"
    cases: tuple[tuple[str, dict[str, Value], str], ...] = (
        ("key-count-low", {"key_count": 4}, no_fit),
        ("key-count-high", {"key_count": 6}, no_fit),
        ("note-count-low", {"note_count": 3}, no_fit),
        ("note-count-high", {"note_count": 5}, no_fit),
        ("counts-that-cancel", {"key_count": 7, "note_count": 3}, "entries are not sorted"),
        ("key-count-at-end", {"key_count": MAX_DENIED}, no_fit),
        ("key-count-over", {"key_count": MAX_DENIED + 1}, over),
        ("key-count-bomb", {"key_count": 0xFFFF}, over),
        ("note-count-over", {"note_count": MAX_DENIED + 1}, over),
        ("note-count-bomb", {"note_count": 0xFFFF}, over),
    )
    comment = "a count that does not fit the bytes"
    return [
        invalid(f"denylist/{case}", comment, _list(_KEYS, _NOTES, **changes), error, "count")
        for case, changes, error in cases
    ]


def _certified(role: int, key: Key) -> bytes:
    """A certificate that the root gives."""
    changes: dict[str, Value] = {"role": role, "mcc": 0, "label": bytes(24)}
    return signed(craft.CERTIFICATE, craft.ROOT, public_key=key.public, **changes)


def fraud_proof() -> list[Vector]:
    """Fraud proofs of both kinds; wrong order, wrong kinds, cuts."""
    chain = Chain(1)
    owner = _certified(2, craft.ISSUER), chain.note, *_fork(craft.TOKEN_KEY, chain.note)
    holder = chain.certificates[0]
    payee = _certified(3, craft.BANK), holder, *_fork(craft.PAYEES[0], chain.transfers[0])
    note_comment, payee_comment = "an owner's fork, 744 bytes", "a payee's fork, 764 bytes"
    return [
        _good_proof("of-a-note", note_comment, craft.TOKEN_KEY, 0, owner),
        _good_proof("of-a-certificate", payee_comment, craft.PAYEES[0], 1, payee),
        *_bad_proof_lengths(owner),
        *_bad_proof_order(owner, payee),
        *bad_signatures("fraud_proof", _proof(owner)),
    ]


def _proof(records: tuple[bytes, ...], **changes: Value) -> bytes:
    return pack(craft.FRAUD_PROOF, **changes) + b"".join(records)


def _good_proof(
    case: str, comment: str, signer: Key, kind: int, records: tuple[bytes, ...]
) -> Vector:
    names = ("authority", "evidence", "first", "second")
    found: dict[str, object] = {"signer": signer.public.hex()}
    found |= {name: record_id(raw) for name, raw in zip(names, records, strict=True)}
    return valid(f"fraud_proof/{case}", comment, _proof(records, signer=kind), found)


def _bad_proof_lengths(whole: tuple[bytes, ...]) -> list[Vector]:
    raw = _proof(whole)
    wrong, reserved = "type or version is wrong", "reserved bytes are not zero"
    cases = (
        ("empty", "no bytes at all", b"", "length is 0"),
        ("head-cut", "three bytes", raw[:3], "length is 3"),
        ("head-alone", "no record", raw[:4], "certificate: length is 0"),
        ("no-transfers", "the evidence alone", raw[:384], "transfer: length is 0"),
        ("short-by-one", "its last byte is missing", raw[:-1], "length is 179"),
        ("long-by-one", "a byte behind it", raw + b"\0", "1 bytes stand behind"),
        ("three-transfers", "one too many", raw + whole[2], "180 bytes stand behind"),
        ("type-6", "another type", _proof(whole, type=6), wrong),
        ("version-0", "version 0", _proof(whole, version=0), wrong),
        ("version-2", "a later version", _proof(whole, version=2), wrong),
        ("reserved-01", "its reserved byte", _proof(whole, reserved=1), reserved),
        ("reserved-80", "its reserved byte", _proof(whole, reserved=128), reserved),
        ("signer-2", "no such kind", _proof(whole, signer=2), "signer kind 2"),
    )
    return [invalid(f"fraud_proof/{case}", *rest, "bytes") for case, *rest in cases]


def _bad_proof_order(owner: tuple[bytes, ...], payee: tuple[bytes, ...]) -> list[Vector]:
    order = "its transfers are not in order"
    authority, evidence, first, second = owner
    bank, holder, one, other = payee
    turned = (authority, evidence, second, first)
    payee_turned = (bank, holder, other, one)
    evidence_first = (evidence, authority, first, second)
    transfer_first = (authority, first, evidence, second)
    cases = (
        ("signer-says-certificate", "but it is a note", _proof(owner, signer=1), "certificate: "),
        ("signer-says-note", "but it is a certificate", _proof(payee, signer=0), "note: "),
        ("order", "the higher RecordId first", _proof(turned), order),
        ("order-of-payee", "the higher RecordId first", _proof(payee_turned, signer=1), order),
        ("evidence-first", "the note first", _proof(evidence_first), "certificate: "),
        ("transfer-early", "before the note", _proof(transfer_first), "note: type is 3"),
    )
    return [invalid(f"fraud_proof/{case}", *rest, "order") for case, *rest in cases]


def _fork(signer: Key, parent: bytes) -> tuple[bytes, ...]:
    """Two transfers of one parent with overlapping runs, in the order of their RecordIds."""
    one = Chain.transfer(signer, parent, payee_certificate(1), 50_000)
    other = Chain.transfer(signer, parent, payee_certificate(2), 60_000, start=40_000)
    return tuple(sorted((one, other), key=record_id))
