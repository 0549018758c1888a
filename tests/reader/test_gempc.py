# SPDX-License-Identifier: Apache-2.0
"""The frames of a GemPC Twin: found in whatever comes, and nothing else taken for one (L06)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.reader import gempc
from firmware.reader.ccid import COMMANDS, MAX_DATA
from firmware.reader.gempc import Decoder
from tests.doubles.twin_host import SLOT_STATUS, TRANSFER, frame, message

STATUS = message(SLOT_STATUS, sequence=7)
APDU = message(TRANSFER, bytes(range(20)), sequence=8)
LONGEST = message(TRANSFER, bytes(MAX_DATA), sequence=9)
HALF = frame(APDU)[:20]  # the header is whole

messages = st.builds(
    lambda kind, data, sequence: message(kind, data, sequence=sequence),
    st.sampled_from(sorted(COMMANDS)),
    st.binary(max_size=MAX_DATA),
    st.integers(0, 255),
)
# Bytes of which none can begin a frame.
noise = st.binary(max_size=40).map(lambda data: data.replace(b"\x03", b"\x04"))


def fed(decoder: Decoder, data: bytes, step: int = 1) -> list[bytes]:
    """Every command that comes out when the bytes go in a few at a time."""
    found = []
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])
        command = decoder.next()
        if command is not None:
            found.append(command)
    return found


def test_a_frame_is_what_libccid_sends() -> None:
    assert gempc.encode(STATUS) == frame(STATUS)
    assert gempc.encode(STATUS).hex() == "03066500000000000700000067"


@pytest.mark.parametrize("text", [STATUS, APDU, LONGEST])
@pytest.mark.parametrize("step", [1, 2, 7, 400])
def test_a_frame_comes_in_pieces(text: bytes, step: int) -> None:
    """L10: however few bytes at a time."""
    decoder = Decoder()
    assert fed(decoder, frame(text), step) == [text]
    assert not decoder.is_waiting


@given(st.lists(st.tuples(noise, messages), max_size=5), st.integers(1, 30))
def test_commands_are_found_between_noise(parts: list[tuple[bytes, bytes]], step: int) -> None:
    """L06; a step may bring two commands at once, and then the newer one counts."""
    decoder = Decoder()
    stream = b"".join(before + frame(text) for before, text in parts)
    assert fed(decoder, stream, 1) == [text for _, text in parts]
    assert not decoder.is_waiting
    found = fed(decoder, stream, step)
    assert set(found) <= {text for _, text in parts}
    assert not parts or found[-1] == parts[-1][1]


@given(st.binary(max_size=600), messages)
def test_after_a_silence_the_next_command_is_found(garbage: bytes, text: bytes) -> None:
    """L06: whatever came before."""
    decoder = Decoder()
    fed(decoder, garbage, 50)
    decoder.give_up()
    assert fed(decoder, frame(text), 16) == [text]


@pytest.mark.parametrize("cut", range(1, len(frame(APDU))))
def test_a_command_behind_half_of_one_is_found(cut: int) -> None:
    """L06: the half's length swallows the next frame's beginning, and gives it back."""
    decoder = Decoder()
    found = fed(decoder, frame(APDU)[:cut] + 2 * frame(STATUS), 1)
    assert found[-1:] == [STATUS]
    assert not decoder.is_waiting


@pytest.mark.parametrize("place", range(2, len(frame(APDU))))
def test_a_damaged_command_is_not_carried_out(place: int) -> None:
    damaged = bytearray(frame(APDU))
    damaged[place] ^= 0x10
    decoder = Decoder()
    assert fed(decoder, bytes(damaged)) == []
    decoder.give_up()
    assert fed(decoder, frame(STATUS)) == [STATUS]


def test_the_newer_of_two_commands_counts() -> None:
    """Who sends a second one has given up the first."""
    decoder = Decoder()
    decoder.feed(frame(APDU) + frame(STATUS))
    assert decoder.next() == STATUS
    assert decoder.next() is None


@pytest.mark.parametrize(
    ("came", "was_command"),
    [
        (HALF, True),
        (frame(APDU)[:-1], True),
        (frame(APDU)[:-1] + b"\x00", True),  # whole, with a wrong checksum
        (frame(APDU)[:12], True),
        (frame(APDU)[:11], False),  # it may be noise
        (b"\x03\x06", False),
        (b"\x03", False),
        (b"", False),
        (b"AT\r\nAT\r\nATZ\r\n", False),
    ],
)
def test_only_a_command_is_missed(came: bytes, was_command: bool) -> None:
    """A NAK for which nobody waits would be taken for the answer to the next command."""
    decoder = Decoder()
    assert fed(decoder, came) == []
    assert decoder.give_up() == was_command
    assert not decoder.is_waiting
    assert not decoder.give_up()


@pytest.mark.parametrize(
    "head",
    [
        message(0x80),  # an answer: this reader's own, sent back by something
        message(0x00),
        bytes([TRANSFER]) + (MAX_DATA + 1).to_bytes(4, "little") + bytes(5),
        bytes([TRANSFER]) + b"\xff\xff\xff\xff" + bytes(5),
    ],
)
def test_what_can_be_no_command_is_not_waited_for(head: bytes) -> None:
    decoder = Decoder()
    assert fed(decoder, frame(head)) == []
    assert not decoder.is_waiting


def test_what_is_kept_is_bounded() -> None:
    """L06: a line that is never silent while a card works takes no memory, hides no command."""
    decoder = Decoder()
    for _ in range(1000):
        decoder.feed(HALF)
    assert len(decoder._bytes) < 1000
    decoder.feed(frame(LONGEST))
    assert decoder.next() == LONGEST


def test_marks_on_the_line() -> None:
    """As libccid tells them apart (src/ccid_serial.c)."""
    assert gempc.NAK[:2] == b"\x03\x15"
    assert gempc.NAK[2:] == bytes([0x03 ^ 0x15])
    assert (gempc.CARD_LEFT, gempc.CARD_CAME) == (b"\x50\x02", b"\x50\x03")
    assert gempc.MORE_TIME[0] >= 0x80
