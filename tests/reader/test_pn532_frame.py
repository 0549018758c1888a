# SPDX-License-Identifier: Apache-2.0
"""Frames of the PN532, one defect a test (L01), with bytes written by hand from UM0701-02."""

from __future__ import annotations

import contextlib

import pytest

from firmware.reader.pn532_errors import FrameDefect
from firmware.reader.pn532_frame import ACK, ERROR, MAX_BODY, NAK, read_frame, write_frame
from tests.reader.pn532_bench import framed


class Wire:
    """Gives what it holds, and no more."""

    def __init__(self, text: str | bytes) -> None:
        self.rest = bytes.fromhex(text) if isinstance(text, str) else text

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.rest):
            raise FrameDefect("a frame ends too early")
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


def read(text: str | bytes) -> bytes:
    """The one frame that these bytes are."""
    wire = Wire(text)
    frame = read_frame(wire.read)
    assert not wire.rest, "bytes of the frame were left"
    return frame


def refused(text: str | bytes) -> str:
    """Why these bytes are no frame."""
    with pytest.raises(FrameDefect) as raised:
        read_frame(Wire(text).read)
    return str(raised.value)


# -- what the manual prints --------------------------------------------------------------------


def test_a_command_as_the_manual_prints_it() -> None:
    assert write_frame(b"\xd4\x02").hex(" ") == "00 00 ff 02 fe d4 02 2a 00"


def test_an_answer_as_the_manual_prints_it() -> None:
    assert read("0000ff06fad50332010607e800") == bytes.fromhex("d50332010607")


def test_the_frames_without_data() -> None:
    assert read("0000ff00ff00") == ACK
    assert read("0000ffff0000") == NAK
    assert read("0000ff01ff7f8100") == ERROR


@pytest.mark.parametrize("size", [1, 2, 254, 255])
def test_up_to_255_bytes_go_in_a_normal_frame(size: int) -> None:
    frame = write_frame(bytes(size))
    assert frame[:5] == bytes([0, 0, 0xFF, size, 256 - size])
    assert len(frame) == size + 7


@pytest.mark.parametrize("size", [256, 257, MAX_BODY])
def test_above_that_it_is_an_extended_one(size: int) -> None:
    frame = write_frame(bytes(size))
    assert frame[:8] == bytes([0, 0, 0xFF, 0xFF, 0xFF, 1, size - 256, (512 - 1 - size) % 256])
    assert len(frame) == size + 10


@pytest.mark.parametrize("size", range(2, MAX_BODY + 1))
def test_every_length_is_read_as_it_was_written(size: int) -> None:
    body = b"\xd5" + bytes(index & 0xFF for index in range(size - 1))
    assert write_frame(body) == framed(body)
    assert read(framed(body)) == body


def test_more_than_the_chip_takes_is_not_written() -> None:
    for size in (0, MAX_BODY + 1):
        with pytest.raises(ValueError, match="1 to 265 bytes"):
            write_frame(bytes(size))


def test_a_short_body_may_come_in_an_extended_frame() -> None:
    assert read("0000ffffff0002fed5151600") == b"\xd5\x15"


# -- defects -----------------------------------------------------------------------------------


def test_l01_preamble_missing() -> None:
    """Its length is free, and nothing depends on it."""
    assert read("00ff00ff00") == ACK
    assert read("00ff02fed5151600") == b"\xd5\x15"


def test_l01_preamble_longer_than_usual() -> None:
    assert read("00000000000000ff02fed5151600") == b"\xd5\x15"


def test_l01_preamble_of_other_bytes() -> None:
    assert read("5aff00ff02fed5151600") == b"\xd5\x15"


def test_l01_garbage_before_the_frame() -> None:
    assert read(b"\x11" * 60 + bytes.fromhex("0000ff02fed5151600")) == b"\xd5\x15"


def test_l01_garbage_without_an_end() -> None:
    assert refused(b"\x11" * 1000) == "no frame begins in what comes from the reader chip"
    wire = Wire(b"\x11" * 1000)
    with pytest.raises(FrameDefect):
        read_frame(wire.read)
    assert len(wire.rest) > 900, "it was given up early"


def test_l01_start_code_wrong() -> None:
    assert "ends too early" in refused("0000fe02fed5151600")


def test_l01_garbage_that_looks_like_a_start_code() -> None:
    assert "wrong checksum" in refused("00ff120000ff02fed5151600")


def test_l01_length_wrong() -> None:
    assert "length has a wrong checksum" in refused("0000ff03fed5151600")


def test_l01_length_checksum_wrong() -> None:
    assert "length has a wrong checksum" in refused("0000ff02ffd5151600")


def test_l01_extended_length_checksum_wrong() -> None:
    assert "extended length has a wrong checksum" in refused("0000ffffff0002ffd5151600")


def test_l01_length_shorter_than_the_data() -> None:
    assert "data have a wrong checksum" in refused("0000ff03fdd50332010607e800")


def test_l01_length_longer_than_the_data() -> None:
    assert "ends too early" in refused("0000ff08f8d50332010607e800")


def test_l01_length_zero() -> None:
    assert "has 0 bytes" in refused("0000ff00000000")
    assert "has 0 bytes" in refused("0000ffffff0000000000")


def test_l01_longer_than_a_frame_can_be() -> None:
    body = b"\xd5\x41" + bytes(MAX_BODY - 1)
    assert refused(framed(body)) == "a frame says that it has 266 bytes"
    assert refused("0000ffffffff0100") == "a frame says that it has 65281 bytes"


def test_l01_data_checksum_wrong() -> None:
    assert "data have a wrong checksum" in refused("0000ff02fed5151700")


@pytest.mark.parametrize("bit", range(4 * 8))
def test_l01_any_bit_of_the_data_flipped(bit: int) -> None:
    frame = bytearray.fromhex("0000ff04fcd541000fdb00")
    frame[5 + bit // 8] ^= 1 << bit % 8
    assert "data have a wrong checksum" in refused(bytes(frame))


def test_l01_frame_identifier_of_the_host() -> None:
    """A line that gives back what was sent."""
    assert "not one from the reader chip: D4" in refused("0000ff02fed4022a00")


def test_l01_frame_identifier_unknown() -> None:
    assert "not one from the reader chip: D6" in refused("0000ff02fed6151500")


def test_l01_response_code_missing() -> None:
    assert "no response code" in refused("0000ff01ffd52b00")


def test_l01_error_frame_with_a_wrong_checksum() -> None:
    assert "data have a wrong checksum" in refused("0000ff01ff7f8000")


def test_l01_postamble_of_another_value() -> None:
    assert read("0000ff02fed51516ff") == b"\xd5\x15"


@pytest.mark.parametrize("size", range(13))
def test_l01_truncated(size: int) -> None:
    assert "ends too early" in refused(bytes.fromhex("0000ff06fad50332010607e800")[:size])


@pytest.mark.parametrize("size", range(12))
def test_l01_extended_truncated(size: int) -> None:
    assert "ends too early" in refused(bytes.fromhex("0000ffffff0002fed5151600")[:size])


def test_l01_two_frames_at_once() -> None:
    wire = Wire("0000ff00ff000000ff02fed5151600")
    assert read_frame(wire.read) == ACK
    assert read_frame(wire.read) == b"\xd5\x15"


def test_any_bytes_end() -> None:
    """I8: whatever comes, there is a frame or a defect."""
    for first in range(256):
        for second in range(0, 256, 5):
            wire = Wire(bytes([0, 0, 0xFF, first, second]) + bytes(300))
            with contextlib.suppress(FrameDefect):
                read_frame(wire.read)
