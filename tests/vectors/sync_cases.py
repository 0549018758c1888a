# SPDX-License-Identifier: Apache-2.0
"""Vectors of what goes to the bank: a purse's export and a terminal's bundle."""

import struct

from tests.vectors import craft
from tests.vectors.chain_cases import Chain, record_id
from tests.vectors.craft import Value, invalid, pack, sha256, signed, valid
from tests.vectors.fixed_cases import Vector, bad_signatures

CAPACITY = 64
MAX_ITEMS = 4096
SALE, EXPORT = 1, 2
HEAD_SIZE = 408


def _certificate(role: int, key: craft.Key, signer: craft.Key) -> bytes:
    name = b"Bakery No. 1" if role == 6 else b""
    return signed(
        craft.CERTIFICATE,
        signer,
        role=role,
        mcc=0,
        public_key=key.public,
        label=name.ljust(24, b"\0"),
    )


BANK = _certificate(3, craft.BANK, craft.ROOT)
TERMINAL = _certificate(6, craft.TERMINAL, craft.BANK)
PURSE = _certificate(5, craft.PURSE, craft.BANK)
TRANSFER = Chain(1).transfers[0]


def _payment(number: int, is_signed: bool = True) -> bytes:
    """The journal entry of a payment of one piece."""
    body = pack(craft.JOURNAL_ENTRY, counter=number) + TRANSFER[:-64]
    return body + TRANSFER[-64:] if is_signed else body


def _export(entries: list[bytes], stated: int | None = None) -> bytes:
    count = len(entries) if stated is None else stated
    statement = signed(craft.STATEMENT, craft.PURSE, entries=count)
    tail = b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)
    return PURSE + statement + tail


def purse_export() -> list[Vector]:
    """Exports from empty to a full journal; cuts, counts that do not fit, too many entries."""

    def good(case: str, comment: str, *entries: bytes) -> Vector:
        raw = _export(list(entries))
        found = {
            "certificate": record_id(PURSE),
            "statement": sha256(raw[200 : 200 + 116]).hex(),
            "entries": [sha256(entry).hex() for entry in entries],
        }
        return valid(f"purse_export/{case}", comment, raw, found)

    def bad(case: str, comment: str, raw: bytes, error: str, flag: str) -> Vector:
        return invalid(f"purse_export/{case}", comment, raw, error, flag)

    one, two = _payment(42), _payment(43)
    raw = _export([one, two])
    head = PURSE + signed(craft.STATEMENT, craft.PURSE, entries=1)

    def sized(size: int) -> bytes:
        return head + struct.pack(">H", size) + one

    states = "it has not the entries that it states"
    cut = "it is cut off"
    full = [_payment(number) for number in range(CAPACITY + 1)]
    size = len(one)
    lengths = (
        ("empty", "no bytes at all", b"", "certificate: length is 0"),
        ("certificate-cut", "199 bytes", raw[:199], "certificate: length is 199"),
        ("no-statement", "a certificate alone", PURSE, "statement: length is 0"),
        ("statement-cut", "its last byte is missing", head[:-1], "statement: length is 179"),
        ("short-by-one", "the last entry is cut", raw[:-1], cut),
        ("long-by-one", "half of a length behind it", raw + b"\0", cut),
        ("entry-long-by-one", "a length that says one more", sized(size + 1), cut),
        ("entry-bomb", "a length of 65535 before a whole entry", sized(0xFFFF), cut),
        ("entry-empty", "an entry of no bytes", raw + b"\0\0", "journal entry: length is 0"),
        ("entry-short", "a length that says one less", sized(size - 1), "which fits no"),
    )
    counts = (
        ("entries-low", "fewer than there are", _export([one, two], 1), states),
        ("entries-high", "more than there are", _export([one, two], 3), states),
        ("entries-none", "one that is not stated", _export([one], 0), states),
        ("sixty-five", "one more than a journal holds", _export(full), "more than 64 entries"),
        ("swapped", "the statement first", head[200:] + PURSE, "certificate: type is 8"),
    )
    return [
        good("typical", "two payments", one, two),
        good("nothing-new", "a statement alone"),
        good("unsigned-entry", "torn before it was signed", _payment(42, is_signed=False)),
        good("full", "as many entries as a journal holds", *full[:CAPACITY]),
        *(bad(*case, "length") for case in lengths),
        *(bad(*case, "count") for case in counts),
    ]


def _item(kind: int, data: bytes, reserved: int = 0, size: int | None = None) -> bytes:
    return struct.pack(">BBH", kind, reserved, len(data) if size is None else size) + data


def _bundle(items: list[bytes], **changes: Value) -> bytes:
    fields: dict[str, Value] = {"terminal": TERMINAL, "bank": BANK, "count": len(items)}
    body = pack(craft.BUNDLE, **fields | changes) + b"".join(items)
    return body + craft.TERMINAL.sign(body)


def bundle() -> list[Vector]:
    """Bundles of none, one and several items; cut items, kinds, counts, certificates inside."""
    sale, export = Chain(1).raw, _export([_payment(42)])
    empty_item = "an item of no bytes: its kind's own parser refuses it"
    return [
        _good_bundle("typical", "a sale and an export", (SALE, sale), (EXPORT, export)),
        _good_bundle("nothing", "no item"),
        _good_bundle("empty-item", empty_item, (SALE, b"")),
        _good_bundle("several", "the same sale three times", *[(SALE, sale)] * 3),
        *_bad_bundle_heads(),
        *_bad_items(sale),
        *bad_signatures("bundle", _bundle([_item(SALE, sale)])),
    ]


def _good_bundle(case: str, comment: str, *items: tuple[int, bytes]) -> Vector:
    raw = _bundle([_item(kind, data) for kind, data in items])
    found = {
        "created_at": craft.NOW + 2 * craft.DAY,
        "terminal": record_id(TERMINAL),
        "bank": record_id(BANK),
        "items": craft.plain(items),
        "signature": raw[-64:].hex(),
    }
    return valid(f"bundle/{case}", comment, raw, found, signer=craft.TERMINAL.public.hex())


def _bad_bundle_heads() -> list[Vector]:
    raw = _bundle([])
    wrong, cut = "type or version is wrong", "it is cut off"
    unsigned = TERMINAL[:-32] + bytes(32)
    cases = (
        ("empty", "no bytes at all", b"", cut),
        ("head-alone", "no signature", raw[:HEAD_SIZE], cut),
        ("short-by-one", "its last byte is missing", raw[:-1], cut),
        ("long-by-one", "a byte behind it", raw + b"\1", "1 bytes stand behind"),
        ("type-9", "another type", _bundle([], type=9), wrong),
        ("version-0", "version 0", _bundle([], version=0), wrong),
        ("version-2", "a later version", _bundle([], version=2), wrong),
        ("terminal-s-is-0", "a certificate", _bundle([], terminal=unsigned), "certificate: r or"),
        ("bank-is-0", "no certificate", _bundle([], bank=bytes(200)), "certificate: "),
    )
    return [invalid(f"bundle/{case}", *rest, "head") for case, *rest in cases]


def _bad_items(sale: bytes) -> list[Vector]:
    item = _item(SALE, sale)
    cut, many = "it is cut off", f"more items than {MAX_ITEMS}"
    reserved = "reserved bytes are not zero"
    cases = (
        ("item-short", "its last byte is missing", _bundle([item[:-1]]), cut),
        ("count-low", "an item too many", _bundle([item] * 2, count=1), "bytes stand behind"),
        ("count-high", "an item too few", _bundle([item], count=2), cut),
        ("count-over", "more than a bundle holds", _bundle([], count=MAX_ITEMS + 1), many),
        ("count-bomb", "as many as the field says", _bundle([], count=0xFFFF), many),
        ("item-head-cut", "three bytes of an item's head", _bundle([b"\1\0\0"]), cut),
        ("item-cut", "a length of one more", _bundle([_item(SALE, b"ab", size=3)]), cut),
        ("item-in-signature", "it reaches there", _bundle([_item(SALE, b"", size=64)]), cut),
        ("item-bomb", "a length of 65535", _bundle([_item(SALE, sale, size=0xFFFF)]), cut),
        ("kind-0", "no such kind", _bundle([_item(0, sale)]), "item kind 0 is unknown"),
        ("kind-4", "no such kind", _bundle([_item(4, sale)]), "item kind 4 is unknown"),
        ("item-reserved-01", "a reserved byte", _bundle([_item(SALE, sale, 1)]), reserved),
        ("item-reserved-80", "a reserved byte", _bundle([_item(SALE, sale, 128)]), reserved),
    )
    return [invalid(f"bundle/{case}", *rest, "item") for case, *rest in cases]
