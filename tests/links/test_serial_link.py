# SPDX-License-Identifier: Apache-2.0
"""The serial link between pyserial and the real MicroPython, with noise, loss and repetition."""

import os
import random
from pathlib import Path

import pytest
import serial

from boards.VIRTUAL.board import VirtualBoard
from firmware.wire import frame as wire
from host_bridge.transport.base import LinkTimeout, TransportError
from host_bridge.transport.serial_link import SerialTransport

OK = b"\x90\x00"
COUNT = b"\x80\x02\x00\x00"


def echo(data: bytes) -> bytes:
    return b"\x80\x01" + data


def read_frames(line: serial.Serial, wanted: int) -> list[wire.Frame]:
    """Read frames from a raw port until `wanted` have come or the line is quiet."""
    decoder = wire.Decoder()
    frames: list[wire.Frame] = []
    while len(frames) < wanted:
        chunk = line.read(max(1, line.in_waiting))
        if not chunk:
            break
        frames += [frame for byte in chunk if (frame := decoder.feed(byte))]
    return frames


def test_every_length_and_every_byte_comes_back(card: SerialTransport) -> None:
    assert card.hello == "qalta-card 1"
    longest = wire.MAX_PAYLOAD - 2
    for length in (2, 3, 251, 252, 253, 254, 255, 256, 261, 507, 508, 509, longest):
        data = bytes(i % 256 for i in range(length))
        assert card.transmit(echo(data)) == data + OK
    assert card.transmit(echo(b"\x00" * longest)) == b"\x00" * longest + OK
    assert card.transmit(echo(b"\x03" * 10)) == b"\x03" * 10 + OK  # Ctrl-C is data
    assert card.traffic.apdus == 15
    assert card.traffic.bytes_in == card.traffic.bytes_out


def test_commands_of_impossible_length_are_refused(card: SerialTransport) -> None:
    for command in (b"", b"\x80\x01\x00", bytes(wire.MAX_PAYLOAD + 1)):
        with pytest.raises(TransportError, match="cannot be sent"):
            card.transmit(command)


def test_garbage_never_moves_anything(board: VirtualBoard) -> None:
    """L06: noise before and between frames is passed over, and nothing is executed by it."""
    noise = random.Random(2026)
    with serial.Serial(board.port, timeout=1.0) as line:
        for _ in range(30):
            line.write(noise.randbytes(noise.randrange(1, 1500)))
            line.read(line.in_waiting)
    with SerialTransport(board.port) as card:
        assert card.transmit(COUNT) == b"\x01" + OK


def test_a_damaged_command_is_not_executed(board: VirtualBoard) -> None:
    good = wire.encode(wire.COMMAND_APDU, 7, COUNT)
    with serial.Serial(board.port, timeout=0.3) as line:
        for index in range(1, len(good) - 1):
            for bit in range(8):
                damaged = bytearray(good)
                damaged[index] ^= 1 << bit
                line.write(damaged)
        assert read_frames(line, 1) == []
        line.write(good)
        (answer,) = read_frames(line, 1)
    assert answer.payload == b"\x01" + OK


def test_a_retransmission_executes_once(board: VirtualBoard) -> None:
    """I3, L04: the same frame gets the very same answer; a new one is executed."""
    first = wire.encode(wire.COMMAND_APDU, 1, COUNT)
    second = wire.encode(wire.COMMAND_APDU, 2, COUNT)
    with serial.Serial(board.port, timeout=2.0) as line:
        line.write(first * 3 + second)
        counts = [frame.payload[0] for frame in read_frames(line, 4)]
        assert counts == [1, 1, 1, 2]
        line.write(wire.encode(wire.RESET, 1, b"") + first)
        ready, answer = read_frames(line, 2)
    assert (ready.kind, answer.payload[0]) == (wire.READY, 3)  # a new tap is no retransmission


def test_a_slow_answer_is_waited_for_and_counted_once(board: VirtualBoard) -> None:
    with SerialTransport(board.port, timeout_s=0.4) as card:
        assert card.transmit(b"\x80\x08\x00\x00") == b"\x01" + OK  # 0.6 s: sent twice
        assert card.transmit(COUNT) == b"\x02" + OK  # the second answer of above is passed over


def test_no_answer_is_a_timeout_and_late_answers_are_ignored(board: VirtualBoard) -> None:
    slow = b"\x80\x08\x00\x00"
    with SerialTransport(board.port, timeout_s=0.2) as card, pytest.raises(LinkTimeout):
        card.transmit(slow)
    with SerialTransport(board.port) as card:
        assert card.transmit(COUNT) == b"\x02" + OK


@pytest.mark.parametrize(
    ("choice", "sentence"), [(3, "failed and was reset"), (6, "failed and was reset"), (5, "long")]
)
def test_a_failing_application_says_so_and_goes_on(
    card: SerialTransport, choice: int, sentence: str
) -> None:
    card.transmit(COUNT)
    with pytest.raises(TransportError, match=sentence):
        card.transmit(bytes((0x80, choice, 0, 0)))
    assert card.transmit(COUNT) == b"\x02" + OK


def test_failure_and_reset_clear_the_session(card: SerialTransport) -> None:
    commands = b"\x80\x07\x00\x00"
    assert [card.transmit(commands)[0] for _ in range(3)] == [1, 2, 3]
    assert card.reset() == "qalta-card 1"
    assert card.transmit(commands)[0] == 1
    with pytest.raises(TransportError):
        card.transmit(b"\x80\x03\x00\x00")
    assert card.transmit(commands)[0] == 1


def test_unknown_kinds_are_refused(board: VirtualBoard) -> None:
    with serial.Serial(board.port, timeout=2.0) as line:
        for kind in (0, wire.RESPONSE_APDU, 99, 255):
            line.write(wire.encode(kind, 5, b"x"))
            (answer,) = read_frames(line, 1)
            expected = (wire.ERROR, 5, bytes((wire.ERROR_BAD_KIND,)))
            assert (answer.kind, answer.sequence, answer.payload) == expected


def test_heap_figures(card: SerialTransport) -> None:
    card.transmit(echo(bytes(500)))
    stats = card.stats()
    assert 0 < stats.used_now <= stats.peak < stats.total <= 256 * 1024


def test_one_client_at_a_time(card: SerialTransport) -> None:
    with pytest.raises(TransportError, match="in use by another program"):
        SerialTransport(card.port)


def test_ports_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="There is no serial port"):
        SerialTransport(str(tmp_path / "none"))
    for wrong in (str(tmp_path), "/dev/null"):
        with pytest.raises(TransportError, match="is not a serial port"):
            SerialTransport(wrong)


def test_a_port_where_nothing_answers() -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(TransportError, match="No card answers at"):
            SerialTransport(os.ttyname(slave), timeout_s=0.1)
    finally:
        os.close(master)
        os.close(slave)


def test_answers_to_an_earlier_host_are_not_taken_for_ours(board: VirtualBoard) -> None:
    """L06: a host that died left its answers behind, with the numbers that we use now."""
    with serial.Serial(board.port, timeout=1.0) as line:
        for sequence in range(6):
            line.write(wire.encode(wire.RESET, sequence, b""))
            line.write(wire.encode(wire.COMMAND_APDU, sequence, b"\x00\x01stale"))
            line.write(wire.encode(99, sequence, b""))
    with SerialTransport(board.port) as card:
        for _ in range(5):
            assert card.transmit(b"\x00\x01fresh") == b"fresh" + OK
