# SPDX-License-Identifier: Apache-2.0
"""Walks record vectors: the same program on CPython and on MicroPython.

`micropython tests/wire/walk.py FILE...`, with the repository's root in MICROPYPATH, prints one
line a complaint and one with the number of vectors. Files are read line by line: a whole one
need not fit in a device's heap.
"""

import gc
import json
import sys

from firmware.wire import apdu, policy, tlv
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import Bundle, PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.journal import CHAIN_START, JournalEntry, KeyAttestation, Statement
from firmware.wire.layout import Layout, Record, WireError, sha256
from firmware.wire.note import Note
from firmware.wire.token import Token, parse_tokens
from firmware.wire.transfer import Transfer

SIGNED = {
    "certificate": Certificate,
    "note": Note,
    "transfer": Transfer,
    "policy": policy.Policy,
    "acknowledgement": Acknowledgement,
    "statement": Statement,
    "key_attestation": KeyAttestation,
}
PAYLOADS = {
    "pay_data": apdu.PAY_DATA,
    "select_answer": apdu.SELECT_ANSWER,
    "balance": apdu.BALANCE,
}


class Parsed:
    """What a parser that gives no record found: attributes to compare, and `raw` packed anew."""

    def __init__(self, raw: bytes, **found: object) -> None:
        self.raw = raw
        for name, value in found.items():
            setattr(self, name, value)


def parse(kind: str, raw: bytes):  # type: ignore[no-untyped-def]
    """The parsed `raw` of a kind of vector, which is what its id begins with."""
    if kind in SIGNED:
        return SIGNED[kind].parse(raw)
    if kind in PAYLOADS:
        found = PAYLOADS[kind].unpack(raw)
        return Parsed(PAYLOADS[kind].pack(found), **found)
    return _PARSERS[kind](raw)


def _tokens(raw: bytes) -> Parsed:
    tokens = parse_tokens(raw)
    amounts = [token.amount_tiyn for token in tokens]
    anew = b"".join([token.raw for token in tokens])
    return Parsed(anew, tokens=tokens, amounts=amounts)


def _objects(raw: bytes) -> Parsed:
    objects = tlv.decode(raw)
    anew = b"".join([tlv.encode(tag, value) for tag, value in objects])
    return Parsed(anew, objects=objects)


def _answer(raw: bytes) -> Parsed:
    data, word = apdu.split_answer(raw)
    return Parsed(data + bytes([word >> 8, word & 0xFF]), data=data, word=word)


_PARSERS = {
    "denylist": Denylist.parse,
    "fraud_proof": FraudProof.parse,
    "journal_entry": JournalEntry.parse,
    "bundle": Bundle.parse,
    "purse_export": PurseExport.parse,
    "command": apdu.Command.parse,
    "token": _tokens,
    "tlv": _objects,
    "answer": _answer,
}
KINDS = sorted(list(SIGNED) + list(PAYLOADS) + list(_PARSERS))


def repack(parsed) -> bytes:  # type: ignore[no-untyped-def]
    """The bytes of what was parsed, made from its fields and not from the bytes it came from."""
    if isinstance(parsed, Denylist):
        head = (parsed.notary, parsed.epoch, parsed.issued_at)
        keys, notes = set(parsed.keys), set(parsed.notes)
        return Denylist.issue_list(lambda _: parsed.signature, *head, keys, notes).raw
    if isinstance(parsed, Record):
        return parsed.body_of(_fields(parsed, parsed.LAYOUT)) + parsed.signature
    if isinstance(parsed, JournalEntry):
        head = _fields(parsed, parsed.HEAD)
        body = JournalEntry.build(head, parsed.transfer_bodies).body
        return body + b"".join(parsed.signatures)
    if isinstance(parsed, FraudProof):
        turned = (parsed.second, parsed.first)
        return FraudProof(parsed.authority, parsed.evidence, *turned).raw
    if isinstance(parsed, Bundle):
        head = (parsed.created_at, parsed.terminal, parsed.bank, parsed.items)
        return Bundle.issue(lambda _: parsed.signature, *head).raw
    return parsed.raw


def _fields(parsed, layout: Layout) -> "dict[str, object]":  # type: ignore[no-untyped-def]
    names = [name for name, _ in layout.fields if name != "reserved"]
    return {name: getattr(parsed, name) for name in names if hasattr(parsed, name)}


def plain(value: object) -> object:
    """`value` as the vectors have it: bytes in hex, records by their RecordId."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex() if value else ""  # MicroPython's b"".hex() is bytes
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Record):
        return value.record_id.hex()
    if isinstance(value, JournalEntry):
        return sha256(value.raw).hex()
    if isinstance(value, Token):
        return [plain(value.note), plain(value.hops), plain(value.transfer)]
    if isinstance(value, policy.Limits):
        return _fields(value, policy.LIMITS)
    return value


def check(vector: "dict[str, object]") -> "str | None":
    """What is wrong with the code, or with this vector; None where they agree."""
    raw = bytes.fromhex(vector["input"])  # type: ignore[arg-type]
    result = vector["result"]
    try:
        parsed = parse(vector["id"].split("/")[0], raw)  # type: ignore[attr-defined]
    except WireError as error:
        if result["valid"]:  # type: ignore[index]
            return f"is refused: {error}"
        wanted = result["error"]  # type: ignore[index]
        return None if wanted in str(error) else f"is refused with: {error}"
    return _compare(parsed, raw, result) if result["valid"] else "is taken"  # type: ignore[index]


def _compare(parsed, raw: bytes, result) -> "str | None":  # type: ignore[no-untyped-def]
    for name, wanted in result["fields"].items():
        found = plain(getattr(parsed, name))
        if found != wanted:
            return f"has {name} {found}, not {wanted}"
    if "record_id" in result and parsed.record_id.hex() != result["record_id"]:
        return "has another RecordId"
    if "chained" in result and parsed.chained(CHAIN_START).hex() != result["chained"]:
        return "has another hash in the chain"
    if parsed.raw != raw or repack(parsed) != raw:
        return "is packed to other bytes"
    return None


def vectors_of(path: str):  # type: ignore[no-untyped-def]
    """The vectors of a file, one after the other."""
    with open(path) as lines:
        for line in lines:
            if line.startswith("{"):
                yield json.loads(line.rstrip(",\n"))


def main(paths: "list[str]") -> int:
    """Walks all files. Returns 0 where every vector and the code agree."""
    count = 0
    complaints = 0
    for path in paths:
        for vector in vectors_of(path):
            count += 1
            gc.collect()
            complaint = check(vector)
            if complaint:
                complaints += 1
                print(vector["id"], complaint)
    print(f"{count} vectors, {complaints} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
