# SPDX-License-Identifier: Apache-2.0
"""Packets and CRC of the ATECC608, against packets that are published and against the double."""

import secrets

import pytest

from firmware.hal.atecc608_errors import AnswerGarbled, ExecutionRefused, JustAwake, StatusError
from firmware.hal.atecc608_packet import (
    ANSWER_BUFFER,
    COMMAND_BUFFER,
    MAX_DATA,
    crc16,
    read_answer,
    write_command,
)
from tests.doubles.atecc608 import chip_crc, packed

# What logic analysers show of any ATECC508A or 608A.
PUBLISHED_COMMANDS = {
    "INFO revision": (0x30, 0x00, "03 07 30 00 00 00 03 5d"),
    "RANDOM": (0x1B, 0x00, "03 07 1b 00 00 00 24 cd"),
    "READ the first block of the configuration": (0x02, 0x80, "03 07 02 80 00 00 09 ad"),
}
PUBLISHED_ANSWERS = ["04 11 33 43", "04 00 03 40", "07 00 00 60 02 80 38"]


@pytest.mark.parametrize("name", PUBLISHED_COMMANDS)
def test_published_commands(name: str) -> None:
    opcode, mode, expected = PUBLISHED_COMMANDS[name]
    buffer = bytearray(COMMAND_BUFFER)
    size = write_command(buffer, opcode, mode, 0, b"")
    assert buffer[:size] == bytes.fromhex(expected)


@pytest.mark.parametrize("packet", PUBLISHED_ANSWERS)
def test_published_answers(packet: str) -> None:
    raw = bytes.fromhex(packet)
    assert crc16(raw[:-2]).to_bytes(2, "little") == raw[-2:]


def test_driver_and_double_agree_on_the_crc() -> None:
    for size in range(140):
        data = secrets.token_bytes(size)
        assert crc16(data).to_bytes(2, "little") == chip_crc(data)


def test_a_command_carries_its_data() -> None:
    buffer = bytearray(COMMAND_BUFFER)
    size = write_command(buffer, 0x45, 0x22, 0x0104, bytes(range(MAX_DATA)))
    assert buffer[:7] == bytes([0x03, 135, 0x45, 0x22, 0x04, 0x01, 0x00])
    assert buffer[size - 2 : size] == chip_crc(bytes(buffer[1 : size - 2]))
    with pytest.raises(ValueError, match="no more than 128 bytes"):
        write_command(buffer, 0x45, 0x22, 4, bytes(MAX_DATA + 1))


def test_an_answer_with_any_bit_flipped_is_garbled() -> None:
    good = packed(secrets.token_bytes(4))
    assert read_answer(good, 4) == good[1:5]
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AnswerGarbled):
            read_answer(bad, 4)


@pytest.mark.parametrize("count", [0, 1, 3, 5, 8, 34, 36, 66, 68, 255])
def test_an_answer_of_another_length_is_garbled(count: int) -> None:
    buffer = bytearray(ANSWER_BUFFER)
    buffer[0] = count
    with pytest.raises(AnswerGarbled, match="length"):
        read_answer(buffer, 32)


def test_every_status_has_its_error() -> None:
    for status in range(1, 256):
        with pytest.raises(StatusError, match=f"status {status:02X}") as raised:
            read_answer(packed(status), 64)
        known = status in (0x01, 0x03, 0x05, 0x07, 0x08, 0x0F, 0x11, 0xEE, 0xFF)
        assert (type(raised.value) is not StatusError) == known
    with pytest.raises(JustAwake):
        read_answer(packed(0x11), 0)
    with pytest.raises(ExecutionRefused):
        read_answer(packed(0x0F), 32)


def test_success_alone_is_no_data() -> None:
    assert read_answer(packed(0), 0) == b""
    with pytest.raises(StatusError, match="status 00"):
        read_answer(packed(0), 32)
