# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come, a parser gives a WireError or exactly those bytes (reliability I8)."""

import functools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware.wire.apdu import Command
from firmware.wire.bundle import ITEM_SALE, MAX_ITEMS, Bundle
from firmware.wire.certificate import Certificate, label_bytes, label_text
from firmware.wire.denylist import MAX_DENIED, Denylist
from firmware.wire.layout import Layout, WireError
from firmware.wire.policy import Policy
from firmware.wire.tlv import decode, encode, find
from tests.vectors import generate
from tests.wire import walk
from tests.wire.test_vectors import vectors_of

MAX_RANDOM = 800
MAX_EDITS = 6


@functools.cache
def valid_inputs(kind: str) -> tuple[bytes, ...]:
    """The inputs of all valid vectors of a kind."""
    return tuple(
        bytes.fromhex(vector["input"])
        for name in generate.FILES
        for vector in vectors_of(name)
        if vector["id"].startswith(kind + "/") and vector["result"]["valid"]
    )


@st.composite
def mutated(draw: st.DrawFn, kind: str) -> bytes:
    """A valid input with a few bytes set, put in, taken out, or its end cut off or doubled."""
    raw = bytearray(draw(st.sampled_from(valid_inputs(kind))))
    for _ in range(draw(st.integers(0, MAX_EDITS))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        edit = draw(st.sampled_from(("set", "insert", "delete", "cut", "repeat", "zero")))
        if edit == "set" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif edit == "insert":
            raw[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif edit == "delete":
            del raw[at : at + draw(st.integers(1, 4))]
        elif edit == "cut":
            del raw[at:]
        elif edit == "repeat":
            raw += raw[at:]
        else:
            raw[at : at + 32] = bytes(len(raw[at : at + 32]))
    return bytes(raw)


def parse_or_refuse(kind: str, raw: bytes) -> None:
    """Fails unless `raw` is refused with WireError or given back byte for byte."""
    try:
        parsed = walk.parse(kind, raw)
    except WireError as error:
        assert str(error)
        return
    assert parsed.raw == raw
    assert walk.repack(parsed) == raw


@pytest.mark.parametrize("kind", walk.KINDS)
def test_random_bytes(kind: str) -> None:
    @given(st.binary(max_size=MAX_RANDOM))
    @example(b"")
    def run(raw: bytes) -> None:
        parse_or_refuse(kind, raw)

    run()


@pytest.mark.parametrize("kind", walk.KINDS)
def test_mutated_records(kind: str) -> None:
    @settings(max_examples=300)
    @given(mutated(kind))
    def run(raw: bytes) -> None:
        parse_or_refuse(kind, raw)

    run()


@pytest.mark.parametrize("kind", [*walk.SIGNED, "denylist"])
def test_every_flipped_bit_shows(kind: str) -> None:
    """A record with one bit flipped is refused, or has another RecordId or signature."""
    raw = valid_inputs(kind)[0]
    right = walk.parse(kind, raw)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            parsed = walk.parse(kind, bytes(changed))
        except WireError:
            continue
        in_signature = bit >= 8 * (len(raw) - 64)
        assert (parsed.signature != right.signature) is in_signature
        assert (parsed.record_id == right.record_id) is in_signature
        assert _differences(parsed, right) == 1


def _differences(one: object, other: object) -> int:
    """How many fields of two records differ."""
    layout = one.LAYOUT.fields  # type: ignore[attr-defined]
    names = {name for name, _ in layout} | {"signature", "keys", "notes"}
    return sum(getattr(one, name, None) != getattr(other, name, None) for name in names)


@given(st.text(max_size=30))
@example("\ud800")
@example("Дүкен Әл")
def test_labels_go_there_and_back(name: str) -> None:
    try:
        label = label_bytes(name)
    except WireError:
        assert "\0" in name or len(name.encode(errors="surrogatepass")) > 24 or _has_half(name)
        return
    assert label_text(label) == name


def _has_half(name: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in name)


@pytest.mark.parametrize("size", [0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF])
def test_tlv_there_and_back(size: int) -> None:
    value = bytes(size)
    assert decode(encode(0x9F6E, value) + encode(0x84, b"x")) == [(0x9F6E, value), (0x84, b"x")]


def test_tlv_of_more_than_a_length_holds() -> None:
    with pytest.raises(WireError, match="too long"):
        encode(0x84, bytes(0x10000))


def test_tlv_finds_one_object_or_refuses() -> None:
    raw = encode(0x84, b"a") + encode(0x85, b"b") + encode(0x85, b"c")
    assert find(raw, 0x84) == b"a"
    for tag in (0x85, 0x86):
        with pytest.raises(WireError, match="stands"):
            find(raw, tag)


def test_a_command_holds_255_bytes_and_no_more() -> None:
    assert Command.parse(Command(0x80, 0x32, data=bytes(255), le=256).raw).le == 256
    with pytest.raises(WireError, match="more data"):
        _ = Command(0x80, 0x32, data=bytes(256)).raw


def test_the_longest_denylist() -> None:
    keys = {number.to_bytes(8, "big") for number in range(MAX_DENIED)}
    notes = {number.to_bytes(16, "big") for number in range(MAX_DENIED)}
    signature = bytes(31) + b"\1" + bytes(31) + b"\1"
    denied = Denylist.issue_list(lambda _: signature, bytes(8), 1, 2, keys, notes)
    assert denied.denies_key(max(keys)) and denied.denies_note(min(notes))
    assert not denied.denies_key(b"\xff" * 8) and not denied.denies_note(b"\xff" * 16)
    with pytest.raises(WireError, match="more entries"):
        keys.add(b"\xff" * 8)
        Denylist.issue_list(lambda _: signature, bytes(8), 1, 2, keys, notes)


def test_a_bundle_holds_its_bounds_and_no_more() -> None:
    typical = Bundle.parse(valid_inputs("bundle")[0])

    def issue(items: list[tuple[int, bytes]]) -> Bundle:
        head = (typical.created_at, typical.terminal, typical.bank)
        return Bundle.issue(lambda _: typical.signature, *head, items)

    assert len(issue([(ITEM_SALE, b"")] * MAX_ITEMS).items) == MAX_ITEMS
    with pytest.raises(WireError, match="more items"):
        issue([(ITEM_SALE, b"")] * (MAX_ITEMS + 1))
    assert issue([(ITEM_SALE, bytes(0xFFFF))]).items[0][1] == bytes(0xFFFF)
    with pytest.raises(WireError, match="longer than 65535"):
        issue([(ITEM_SALE, bytes(0x10000))])


def test_a_certificate_is_valid_from_its_first_second_to_its_last() -> None:
    certificate = Certificate.parse(valid_inputs("certificate")[0])
    first, last = certificate.not_before, certificate.not_after
    valid = [certificate.valid_at(time) for time in (first - 1, first, last, last + 1)]
    assert valid == [False, True, True, False]
    assert certificate.accepts(0) and certificate.accepts(7) and not certificate.accepts(8)
    assert certificate.name == "Bakery No. 1"


def test_the_set_of_limits_that_the_flag_names_is_in_force() -> None:
    normal, emergency = (Policy.parse(raw).limits for raw in valid_inputs("policy")[:2])
    assert (normal.max_payment, emergency.max_payment) == (2_000_000, 300_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"number": 1}, "field pair is missing"),
        ({"number": 256, "pair": (1, 2)}, "field number does not fit"),
        ({"number": -1, "pair": (1, 2)}, "field number does not fit"),
        ({"number": True, "pair": (1, 2)}, "field number does not fit"),
        ({"number": 1, "pair": (1, 2, 3)}, "field pair does not fit"),
        ({"number": 1, "pair": (1, 0x10000)}, "field pair does not fit"),
        ({"number": b"\1", "pair": (1, 2)}, "field number does not fit"),
        ({"number": 1, "pair": (1, 2), "more": 1}, "unknown fields"),
    ],
)
def test_a_layout_packs_what_fits_and_nothing_else(fields: dict, message: str) -> None:
    layout = Layout(("number", "B"), ("reserved", "B"), ("pair", "2H"))
    assert layout.pack({"number": 7, "pair": (1, 2)}) == b"\7\0\0\1\0\2"
    with pytest.raises(WireError, match=message):
        layout.pack(fields)
