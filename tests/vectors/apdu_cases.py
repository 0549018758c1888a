# SPDX-License-Identifier: Apache-2.0
"""Vectors of APDUs, of the fixed data inside them, and of BER-TLV."""

import struct

from tests.vectors import craft
from tests.vectors.craft import Table, Value, invalid, pack, valid
from tests.vectors.fixed_cases import Vector
from tests.vectors.sync_cases import TERMINAL

AID = b"\xf0QALTA\1"

PAY_DATA: Table = (
    ("amount", "I", 35_050),
    ("currency", "H", 398),
    ("purpose", "H", 0xFFFF),
    ("payment_id", "16s", craft.filler("payment id", 16)),
    ("time", "I", craft.NOW + craft.DAY),
    ("payee", "200s", b""),  # always given
)
SELECT_ANSWER: Table = (
    ("protocol", "B", 1),
    ("tier", "B", 2),
    ("currency", "H", 398),
    ("policy_version", "I", 12),
    ("lifecycle", "B", 1),
    ("flags", "B", 0),
)
BALANCE: Table = (("purpose", "H", 7), ("amount", "I", 1_250_000))


def apdu() -> list[Vector]:
    """Commands of cases 1 to 4, answers, and the fixed data that they carry."""
    return _commands() + _answers() + _payloads()


def _commands() -> list[Vector]:
    def good(case: str, comment: str, raw: bytes, data: bytes, le: int | None) -> Vector:
        names = ("cla", "ins", "p1", "p2")
        found: dict[str, object] = dict(zip(names, raw[:4], strict=True))
        found |= {"data": data.hex(), "le": le}
        return valid(f"command/{case}", comment, raw, found)

    def bad(case: str, comment: str, raw: bytes) -> Vector:
        error = "its length byte does not fit" if len(raw) > 4 else "shorter than its header"
        return invalid(f"command/{case}", comment, raw, "apdu: " + error, "length")

    head = b"\x80\x32\x00\x00"
    pay = pack(PAY_DATA, payee=TERMINAL)
    select = b"\x00\xa4\x04\x00"
    full = bytes(range(255))
    return [
        good("case-1", "a header alone", head, b"", None),
        good("case-2", "16 bytes are expected", head + b"\x10", b"", 16),
        good("case-2-256", "Le 00 stands for 256", head + b"\0", b"", 256),
        good("case-2-255", "the highest Le byte", head + b"\xff", b"", 255),
        good("case-3", "one byte of data", head + b"\1\xaa", b"\xaa", None),
        good("case-3-full", "as much data as there may be", head + b"\xff" + full, full, None),
        good("case-4", "data and Le", head + b"\2\xaa\xbb\5", b"\xaa\xbb", 5),
        good("case-4-full", "the longest command", head + b"\xff" + full + b"\0", full, 256),
        good("select", "SELECT by name", select + b"\7" + AID + b"\0", AID, 256),
        good("pay", "a whole PAY", head + bytes([len(pay)]) + pay + b"\0", pay, 256),
        good("get-response", "GET RESPONSE for 104", b"\0\xc0\0\0\x68", b"", 104),
        good("all-ones", "every header byte at its end", b"\xff" * 4, b"", None),
        bad("empty", "no bytes at all", b""),
        bad("one-byte", "a class alone", head[:1]),
        bad("three-bytes", "no P2", head[:3]),
        bad("data-cut", "Lc says two, one follows", head + b"\2\xaa"),
        bad("data-none", "Lc says five, none follows but one", head + b"\5\0"),
        bad("data-long", "two bytes behind the data", head + b"\1\xaa\0\0"),
        bad("lc-0", "Lc 00 and a byte", head + b"\0\0"),
        bad("extended-le", "an extended Le, which short commands do not have", head + b"\0\1\0"),
        bad("extended-lc", "an extended Lc", head + b"\0\0\1\xaa"),
        bad("lc-cut-by-one", "254 of 255 bytes", head + b"\xff" + full[:-1]),
        bad("too-long", "longer than any short command", head + b"\xff" + full + b"\0\0"),
    ]


def _answers() -> list[Vector]:
    def good(case: str, comment: str, data: bytes, word: int) -> Vector:
        found = {"data": data.hex(), "word": word}
        return valid(f"answer/{case}", comment, data + struct.pack(">H", word), found)

    no_word = "the answer has no status word"
    return [
        good("done", "no data", b"", 0x9000),
        good("data", "data, and more of it", b"abc", 0x6100),
        good("refused", "not enough money", b"", 0x9401),
        good("longest", "256 bytes", bytes(range(256)), 0x9000),
        good("word-inside", "data that look like a status word", b"\x90\x00", 0x6982),
        invalid("answer/empty", "no bytes at all", b"", no_word, "length"),
        invalid("answer/one-byte", "half a status word", b"\x90", no_word, "length"),
    ]


def _payloads() -> list[Vector]:
    def group(kind: str, table: Table, **highest: Value) -> list[Vector]:
        typical: dict[str, Value] = {"payee": TERMINAL} if kind == "pay_data" else {}
        raw = pack(table, **typical)
        size = len(raw)
        vectors = []
        for case, changes in (("typical", {}), ("highest", highest)):
            made = pack(table, **typical | changes)
            values = craft.fields(table, **typical | changes)
            found = {name: craft.plain(value) for name, value in values.items()}
            vectors.append(valid(f"{kind}/{case}", "the data of a command", made, found))
        cuts = (("empty", b""), ("short-by-one", raw[:-1]), ("long-by-one", raw + b"\0"))
        for case, cut in cuts:
            error = f"length is {len(cut)}, not {size}"
            vectors.append(invalid(f"{kind}/{case}", "a wrong length", cut, error, "length"))
        return vectors

    u16, u32 = 0xFFFF, 0xFFFFFFFF
    return [
        *group("pay_data", PAY_DATA, amount=u32, currency=u16, time=u32, payment_id=b"\xff" * 16),
        *group(
            "select_answer",
            SELECT_ANSWER,
            protocol=255,
            tier=255,
            currency=u16,
            policy_version=u32,
            lifecycle=255,
            flags=255,
        ),
        *group("balance", BALANCE, purpose=u16, amount=u32),
    ]


def tlv() -> list[Vector]:
    """Objects of each length form; bombs, cuts, forms that are not the shortest."""

    def good(case: str, comment: str, raw: bytes, *objects: tuple[int, bytes]) -> Vector:
        return valid(f"tlv/{case}", comment, raw, {"objects": craft.plain(objects)})

    fci = b"\x84\x07" + AID + b"\xa5\x02\x01\x02"
    a, b = _long(127), _long(255)
    return [
        good("nothing", "no object", b""),
        good("empty-value", "an object of no bytes", b"\x84\0", (0x84, b"")),
        good("fci", "what SELECT answers: one level is read", b"\x6f\x0d" + fci, (0x6F, fci)),
        good("inner", "the level below", fci, (0x84, AID), (0xA5, b"\1\2")),
        good("two-byte-tag", "9F6E", b"\x9f\x6e\x01\x00", (0x9F6E, b"\0")),
        good("same-twice", "decoding keeps both", b"\x80\x01a\x80\x01b", (128, b"a"), (128, b"b")),
        good("127", "the longest short form", b"\x80\x7f" + a, (0x80, a)),
        good("128", "the shortest 81 form", b"\x80\x81\x80" + a + b"z", (0x80, a + b"z")),
        good("255", "the longest 81 form", b"\x80\x81\xff" + b, (0x80, b)),
        good("256", "the shortest 82 form", b"\x80\x82\1\0" + b + b"z", (0x80, b + b"z")),
        *_bad_tlv(),
    ]


def _long(size: int) -> bytes:
    return bytes(number & 0xFF for number in range(size))


def _bad_tlv() -> list[Vector]:
    tag = "the tag is cut off or too long"
    length = "the length is cut off"
    form = "the length is cut off or has an unknown form"
    shortest = "the length is not in its shortest form"
    value = "the value is cut off"
    cases = (
        ("tag-alone", "no length", b"\x84", length),
        ("tag-cut", "half of a two-byte tag", b"\x9f", tag),
        ("tag-of-three", "a tag of three bytes", b"\x9f\x81\x01\x00", tag),
        ("tag-without-end", "each byte says that more follow", b"\x1f" + b"\xff" * 40, tag),
        ("two-byte-tag-alone", "no length", b"\x9f\x6e", length),
        ("value-cut", "five are said, four follow", b"\x84\x05abcd", value),
        ("value-none", "127 are said, none follows", b"\x84\x7f", value),
        ("value-bomb", "65535 are said, one follows", b"\x84\x82\xff\xff\0", value),
        ("second-cut", "a right object and a cut one", b"\x80\x01a\x84\x02b", value),
        ("indefinite", "the indefinite form", b"\x84\x80ab\0\0", form),
        ("81-cut", "no byte behind 81", b"\x84\x81", form),
        ("82-cut", "one byte behind 82", b"\x84\x82\1", form),
        ("83", "a length of three bytes", b"\x84\x83\0\0\1a", form),
        ("84-bomb", "a length of four bytes: 4 GB", b"\x84\x84\xff\xff\xff\xff", form),
        ("length-ff", "a length of 127 bytes", b"\x84\xff" + b"\xff" * 127, form),
        ("81-short", "127 in the 81 form", b"\x84\x81\x7f" + _long(127), shortest),
        ("81-zero", "0 in the 81 form", b"\x84\x81\0", shortest),
        ("82-short", "255 in the 82 form", b"\x84\x82\0\xff" + _long(255), shortest),
        ("82-zero", "0 in the 82 form", b"\x84\x82\0\0", shortest),
        ("three-zeros", "a third zero behind an object of two", b"\0\0\0", length),
    )
    return [
        invalid(f"tlv/{case}", comment, raw, "tlv: " + error, "tlv")
        for case, comment, raw, error in cases
    ]
