# SPDX-License-Identifier: Apache-2.0
"""What an ATECC608 is sent and what it answers: packets and their CRC.

Microchip ATECC508A/608A data sheets, section "I/O Transactions".
"""

from array import array

from firmware.hal.atecc608_errors import AnswerGarbled, status_error

_COMMAND = 0x03  # the word address in front of a command
_EMPTY_COMMAND = 7  # count, opcode, mode, two of parameter, two of CRC
_CRC_SIZE = 2
_STATUS_ANSWER = 4  # count, status, two of CRC
MAX_DATA = 128  # bytes that a command carries: VERIFY's signature and public key
MAX_ANSWER = 64  # bytes of data in an answer: a public key, a signature
COMMAND_BUFFER = 1 + _EMPTY_COMMAND + MAX_DATA
ANSWER_BUFFER = 1 + MAX_ANSWER + _CRC_SIZE


def _table() -> "array[int]":
    """What the lowest eight bits of a mirrored register do to it; 512 bytes.

    With four bits at a time the bytes of a payment's packets took twice as long.
    """
    table = array("H", bytes(512))
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)  # polynomial 8005, mirrored
        table[value] = crc
    return table


_TABLE = _table()


def crc16(data: "bytes | bytearray | memoryview") -> int:
    """The chip's CRC: polynomial 8005 from 0, each byte's lowest bit first."""
    table = _TABLE
    crc = 0  # mirrored, as the bytes come
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc = crc >> 1 & 0x5555 | (crc & 0x5555) << 1
    crc = crc >> 2 & 0x3333 | (crc & 0x3333) << 2
    crc = crc >> 4 & 0x0F0F | (crc & 0x0F0F) << 4
    return crc >> 8 | (crc & 0xFF) << 8


def write_command(
    buffer: "bytearray | memoryview", opcode: int, mode: int, parameter: int, data: bytes
) -> int:
    """Puts a command into `buffer` (COMMAND_BUFFER bytes) and returns how long it is.

    Raises ValueError for more than MAX_DATA bytes of data.
    """
    if len(data) > MAX_DATA:
        raise ValueError("a command carries no more than %d bytes" % MAX_DATA)
    end = 1 + _EMPTY_COMMAND + len(data)
    buffer[0] = _COMMAND
    buffer[1] = end - 1
    buffer[2] = opcode
    buffer[3] = mode
    buffer[4:6] = parameter.to_bytes(2, "little")
    buffer[6 : end - _CRC_SIZE] = data
    crc = crc16(memoryview(buffer)[1 : end - _CRC_SIZE])
    buffer[end - _CRC_SIZE : end] = crc.to_bytes(_CRC_SIZE, "little")
    return end


def answer_size(size: int) -> int:
    """How many bytes to read for an answer with `size` bytes of data, or for a status."""
    return max(1 + size + _CRC_SIZE, _STATUS_ANSWER)


def read_answer(buffer: "bytearray | memoryview", size: int) -> bytes:
    """The `size` bytes of data in an answer; none, where the answer is the status 00.

    Raises AnswerGarbled, or the StatusError that the chip answered with.
    """
    count = buffer[0]
    if count not in (_STATUS_ANSWER, answer_size(size)):
        raise AnswerGarbled("the secure element's answer has a wrong length")
    end = count - _CRC_SIZE
    if int.from_bytes(buffer[end:count], "little") != crc16(memoryview(buffer)[:end]):
        raise AnswerGarbled("the secure element's answer has a wrong CRC")
    if count > _STATUS_ANSWER:
        return bytes(buffer[1:end])
    status = buffer[1]
    if status or size:
        raise status_error(status)
    return b""
