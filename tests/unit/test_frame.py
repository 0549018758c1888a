# SPDX-License-Identifier: Apache-2.0
"""The serial frame: what is encoded comes back, and nothing else is ever taken for a frame."""

from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire.frame import MAX_PAYLOAD, Decoder, Frame, _stuff, encode

BYTE = st.integers(0, 255)
PAYLOAD = st.one_of(
    st.binary(max_size=MAX_PAYLOAD),
    st.integers(0, MAX_PAYLOAD).map(bytes),
    st.integers(0, MAX_PAYLOAD).map(lambda n: b"\x11" * n),
)
NOISE = st.one_of(st.binary(max_size=700), st.lists(st.sampled_from([0, 1, 2, 255])).map(bytes))


def feed(decoder: Decoder, stream: bytes) -> list[Frame]:
    return [frame for byte in stream if (frame := decoder.feed(byte))]


def facts(frame: Frame) -> tuple[int, int, bytes]:
    return frame.kind, frame.sequence, frame.payload


@given(BYTE, BYTE, PAYLOAD)
def test_round_trip(kind: int, sequence: int, payload: bytes) -> None:
    encoded = encode(kind, sequence, payload)
    assert encoded[0] == encoded[-1] == 0
    assert 0 not in encoded[1:-1]
    decoder = Decoder()
    assert [facts(frame) for frame in feed(decoder, encoded)] == [(kind, sequence, payload)]
    assert decoder.dropped == 0


def test_known_bytes() -> None:
    """The layout in clear, made by hand: crc32(01 02 80 00) = a1fff45c."""
    assert encode(1, 2, b"\x80\x00").hex() == "00" + "04010280" + "05" + "a1fff45c" + "00"


@pytest.mark.parametrize("length", [0, 247, 248, 249, 252, 253, 502, 503, MAX_PAYLOAD])
def test_lengths_around_cobs_runs(length: int) -> None:
    """A run of 254 bytes without a zero is where COBS encoders go wrong."""
    payload = b"\x11" * length
    assert facts(feed(Decoder(), encode(1, 1, payload))[0]) == (1, 1, payload)


def test_payload_too_long() -> None:
    with pytest.raises(ValueError, match="longer than a frame"):
        encode(1, 1, bytes(MAX_PAYLOAD + 1))


@given(st.lists(st.tuples(NOISE, PAYLOAD), max_size=4))
def test_noise_between_frames_is_passed_over(parts: list[tuple[bytes, bytes]]) -> None:
    """Every true frame is found, in order, whatever stands between; no other one is."""
    decoder = Decoder()
    stream = b"".join(noise + encode(1, 9, payload) for noise, payload in parts)
    assert [facts(f) for f in feed(decoder, stream)] == [(1, 9, payload) for _, payload in parts]


@given(PAYLOAD, st.data())
def test_any_flipped_bit_loses_the_frame_only(payload: bytes, data: st.DataObject) -> None:
    encoded = bytearray(encode(1, 5, payload))
    index = data.draw(st.integers(1, len(encoded) - 2))
    encoded[index] ^= 1 << data.draw(st.integers(0, 7))
    decoder = Decoder()
    assert feed(decoder, bytes(encoded)) == []
    assert decoder.dropped >= 1
    assert facts(feed(decoder, encode(2, 6, b"after"))[0]) == (2, 6, b"after")


def test_what_is_dropped_is_counted() -> None:
    decoder = Decoder()
    assert feed(decoder, b"\x00\x00\x00") == []
    assert decoder.dropped == 0  # empty runs are nothing
    assert feed(decoder, b"\x05\x01\x00") == []  # run shorter than announced
    assert feed(decoder, b"\x02\x01\x00") == []  # shorter than a frame
    assert feed(decoder, b"\x11" * 10_000 + b"\x00") == []  # longer than a frame
    assert feed(decoder, encode(1, 1, b"")[:-2] + b"\x00") == []  # cut short
    assert decoder.dropped == 4


@pytest.mark.parametrize("tail", [b"", b"\x11", b"\x00", b"\x11" * 300])
def test_a_longest_frame_with_a_tail_is_no_frame(tail: bytes) -> None:
    """What overruns the buffer is dropped, though its beginning is a right frame."""
    content = b"\x01\x01" + b"\x11" * MAX_PAYLOAD
    content += crc32(content).to_bytes(4, "big") + tail
    frames = feed(Decoder(), _stuff(content) + b"\x00")
    assert len(frames) == (0 if tail else 1)
