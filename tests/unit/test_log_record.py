# SPDX-License-Identifier: Apache-2.0
"""One record of a log: its bytes, the bits that it can do without, what it is never taken for."""

import random
import struct
import zlib

import pytest

from firmware.storage.frame import OVERHEAD, find, framed, mend

SALT = 0x1EAF_CAFE


def by_hand(kind: int, sequence: int, payload: bytes, salt: int) -> bytes:
    """A record's bytes, with nothing of the firmware's."""
    body = struct.pack(">HB", kind << 12 | len(payload), sequence) + payload
    return body + struct.pack(">I", zlib.crc32(body, salt))


@pytest.mark.parametrize("kind", [1, 8, 14])
@pytest.mark.parametrize("size", [0, 1, 2, 85, 257])
@pytest.mark.parametrize("salt", [0, 1, SALT, 0xFFFF_FFFF])
def test_bytes(kind: int, size: int, salt: int) -> None:
    payload = bytes(at * 7 & 0xFF for at in range(size))
    raw = framed(kind, 200, payload, salt)
    assert raw == by_hand(kind, 200, payload, salt)
    assert len(raw) == OVERHEAD + size
    for before in (0, 5):
        found = find(b"\xee" * before + raw + b"\xdd" * 9, before, salt)
        assert found is not None
        assert (found.kind, found.sequence, found.payload) == (kind, 200, payload)
        assert (found.size, found.was_mended) == (len(raw), False)


@pytest.mark.parametrize("size", [0, 1, 4, 85, 237])
def test_any_one_bit_is_put_right(size: int) -> None:
    """S04: head, sequence, payload or CRC."""
    payload = bytes(at * 11 & 0xFF for at in range(size))
    raw = framed(5, 9, payload, SALT)
    space = raw + b"\xff" * 300
    for bit in range(8 * len(raw)):
        torn = bytearray(space)
        torn[bit >> 3] ^= 1 << (bit & 7)
        assert find(torn, 0, SALT) is None
        found = mend(torn, 0, SALT)
        assert found is not None and found.was_mended
        assert (found.kind, found.sequence, found.payload) == (5, 9, payload)
        assert torn == space, "the bytes are left mended"
        assert found.size == len(raw)


def test_a_bit_in_the_head_where_nothing_follows() -> None:
    """Its size then seems to lead behind the sector's end."""
    raw = framed(5, 9, b"abc", SALT)
    for bit in range(16):
        torn = bytearray(raw)
        torn[bit >> 3] ^= 1 << (bit & 7)
        found = mend(torn, 0, SALT)
        assert found is not None and found.payload == b"abc"


def test_an_empty_record_at_the_very_end() -> None:
    found = find(framed(5, 9, b"", SALT), 0, SALT)
    assert found is not None and found.payload == b""


def test_no_two_bits_make_another_record() -> None:
    """CRC-32 keeps records of one size four bits apart, so what is mended was written."""
    raw = framed(1, 3, b"\x00\xffpiece", SALT)
    for first in range(16, 8 * len(raw)):
        for second in range(first):
            torn = bytearray(raw)
            torn[first >> 3] ^= 1 << (first & 7)
            torn[second >> 3] ^= 1 << (second & 7)
            before = bytes(torn)
            assert find(torn, 0, SALT) is None
            assert mend(torn, 0, SALT) is None, (first, second)
            assert torn == before, "what cannot be mended is left as it lies"


@pytest.mark.parametrize("seed", range(4))
def test_garbage_is_no_record(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(20_000):
        raw = draw.randbytes(draw.randrange(1, 40))
        assert find(raw, 0, SALT) is None, (seed, raw)


@pytest.mark.parametrize("raw", [b"", b"\x50", b"\xff" * 20, bytes(20), bytes(6)])
def test_no_record_where_none_fits(raw: bytes) -> None:
    assert find(raw, 0, SALT) is None
    assert find(raw, len(raw), SALT) is None
    assert mend(bytearray(raw), len(raw), SALT) is None


@pytest.mark.parametrize("kind", [0, 15])
def test_no_record_of_such_a_kind(kind: int) -> None:
    """0 is what zeros would be, 15 what erased flash would be, whatever CRC follows."""
    assert find(by_hand(kind, 1, b"abc", SALT), 0, SALT) is None


def test_another_salt_is_another_sector() -> None:
    raw = framed(5, 9, bytes(20), SALT)
    for salt in (0, SALT ^ 1, SALT + 1, SALT ^ 0xFFFF_FFFF):
        assert find(raw, 0, salt) is None
        assert mend(bytearray(raw), 0, salt) is None


def test_a_record_that_was_cut_short() -> None:
    raw = framed(5, 9, bytes(range(20)), SALT)
    for size in range(len(raw) - 1):
        assert find(raw[:size], 0, SALT) is None
        assert find(raw[:size] + b"\xff" * 50, 0, SALT) is None
