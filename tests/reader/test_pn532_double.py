# SPDX-License-Identifier: Apache-2.0
"""The PN532's double keeps to the manual on its host's side; its defects are what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_buses import ChipSelect, InterruptPin, ResetPin, Spi, Uart
from tests.doubles.pn532_frames import (
    ACK,
    ANSWER_DEFECTS,
    LINK_DEFECTS,
    NAK,
    SYNTAX_ERROR,
    TO_CHIP,
    Heard,
    Listener,
    encode,
)
from tests.doubles.pn532_hosts import (
    VERSION,
    Host,
    HsuHost,
    I2cHost,
    SpiHost,
    ask,
    awake_host,
    body,
    card_in,
)
from tests.doubles.pn532_target import OtherReader

HOSTS: dict[str, Callable[[Pn532Double], Host]] = {
    "hsu": HsuHost,
    "spi": SpiHost,
    "i2c": I2cHost,
}


@pytest.fixture(params=HOSTS)
def link(request: pytest.FixtureRequest) -> Host:
    """Each of the three links, to a chip that is awake."""
    return HOSTS[request.param](Pn532Double())


@pytest.fixture
def host() -> Host:
    """A chip in normal mode that gives up looking at once."""
    return awake_host()


# -- the link ----------------------------------------------------------------------------------


def test_every_link_carries_a_command(link: Host) -> None:
    assert b"\xd5\x03" + ask(link, b"\x02") == VERSION


def test_every_link_carries_the_longest_frame(link: Host) -> None:
    data = b"\x00" + bytes(range(256)) + bytes(6)
    assert ask(link, b"\x00" + data) == data


def test_a_frame_is_extended_from_256_bytes() -> None:
    assert encode(bytes(254))[3:5] == b"\xff\x01"
    assert encode(bytes(255))[3:8] == b"\xff\xff\x01\x00\xff"


def test_a_nak_repeats_the_answer(link: Host) -> None:
    first = ask(link, b"\x02")
    link.send(NAK)
    assert body(link.receive())[2:] == first
    assert link.chip.executed == [0x02]


def test_a_host_that_turns_the_bits_itself() -> None:
    def turned(data: bytes) -> bytes:
        return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)

    spi = Spi(Pn532Double(), firstbit=Spi.MSB)
    select = ChipSelect(spi)
    select(0)
    select(1)
    spi._chip.time.sleep_ms(2)
    select(0)
    spi.write(turned(b"\x01" + encode(b"\x02", TO_CHIP)))
    select(1)
    spi._chip.time.sleep_ms(1)
    select(0)
    spi.write(turned(b"\x03"))
    assert turned(spi.read(6)) == ACK


def test_asleep_it_hears_nothing() -> None:
    chip = Pn532Double()
    uart = Uart(chip, timeout=100)
    uart.write(encode(b"\x02", TO_CHIP))
    assert uart.read() is None
    assert not chip.executed


def test_power_down_and_awake_again() -> None:
    chip = Pn532Double()
    host = SpiHost(chip)
    assert ask(host, b"\x16\x20") == b"\x00"
    assert not chip.awake and host.transact(b"\x02", 1) == b"\xaa"
    chip.time.sleep_ms(2)
    assert ask(host, b"\x02") == VERSION[2:]


def test_reset_forgets() -> None:
    host = HsuHost(Pn532Double())
    assert ask(host, b"\x14\x01\x00") == b""
    reset = ResetPin(host.chip)
    reset(0)
    reset(1)
    assert not host.chip.awake and not host.chip.normal


def test_before_sam_configuration_there_is_no_antenna() -> None:
    host = HsuHost(Pn532Double())
    assert ask(host, b"\x4a\x01\x00") == SYNTAX_ERROR


def test_the_interrupt_line_says_what_the_status_says() -> None:
    host = I2cHost(Pn532Double())
    line = InterruptPin(host.chip)
    assert line() == 1
    host.send(encode(b"\x02", TO_CHIP))
    host.chip.time.sleep_ms(1)
    assert line() == 0
    host.receive()
    host.receive()
    assert line() == 1


def test_i2c_may_refuse_while_busy() -> None:
    host = I2cHost(Pn532Double())
    host.i2c.nacks_while_busy = True
    with pytest.raises(OSError):
        host.i2c.readfrom(0x24, 1)


def test_the_baud_rate_changes_with_the_acknowledgement() -> None:
    host = HsuHost(Pn532Double())
    assert ask(host, b"\x10\x08") == b""
    assert ask(host, b"\x02") == VERSION[2:]
    assert ask(host, b"\x10\x06") == b""
    host.send(ACK)
    host.uart.write(encode(b"\x02", TO_CHIP))
    assert host.uart.read() is None, "the old rate is not understood"
    host.uart.init(baudrate=460_800)
    assert ask(host, b"\x02") == VERSION[2:]


@pytest.mark.parametrize("command", ["", "99", "0200", "1400", "12ff", "06", "0800", "4a0300"])
def test_what_is_no_command_gets_the_error_frame(host: Host, command: str) -> None:
    host.send(encode(bytes.fromhex(command), TO_CHIP))
    assert host.receive() == ACK
    assert host.receive() == SYNTAX_ERROR


def test_general_commands(host: Host) -> None:
    assert ask(host, b"\x08\x63\x3d\x07") == b""
    assert ask(host, b"\x06\x63\x3d\x63\x02") == b"\x07\x80"
    assert ask(host, b"\x0e\x81\x00") == b"" and ask(host, b"\x0c")[:2] == b"\x01\x06"
    assert ask(host, b"\x04") == bytes(4)
    assert ask(host, b"\x12\x14") == b""
    assert ask(host, b"\x00\x01") == b"\x00"


@pytest.mark.parametrize("name", LINK_DEFECTS)
def test_l01_every_defect_is_one(name: str) -> None:
    """A defect spoils one command, and the next is well."""
    chip = Pn532Double()
    chip.spoil(name)
    host = HsuHost(chip)
    host.send(encode(b"\x02", TO_CHIP))
    well = ACK + encode(VERSION[1:])
    assert (host.uart.read(6) or b"") + (host.uart.read() or b"") != well
    while host.uart.read():
        pass
    host.send(ACK)
    assert ask(host, b"\x02") == VERSION[2:]


@pytest.mark.parametrize("name", ANSWER_DEFECTS)
def test_l01_a_nak_gets_the_answer_well_unless_it_lasts(name: str) -> None:
    chip = Pn532Double()
    chip.spoil(name)
    chip.spoil(name, lasting=True)
    host = HsuHost(chip)
    answers = []
    for _ in range(2):
        host.send(encode(b"\x02", TO_CHIP))
        while host.uart.read():
            pass
        host.send(NAK)
        answers.append(host.uart.read() or b"")
    assert answers[0] == encode(VERSION[1:])
    assert answers[1] == ANSWER_DEFECTS[name](answers[0]) != answers[0]


def test_the_ear_ignores_what_is_no_frame() -> None:
    good = encode(b"\x02", TO_CHIP)
    bad_sum, bad_length = bytearray(good), bytearray(good)
    bad_sum[-2] ^= 1
    bad_length[4] ^= 1
    ear = Listener()
    heard = list(ear.feed(b"\x55\x00\xff" + bytes(bad_sum) + bytes(bad_length) + good + ACK))
    assert heard == [Heard("command", b"\xd4\x02"), Heard("ack")]
    assert ear.ignored >= 2


# -- time --------------------------------------------------------------------------------------


def test_time_is_that_of_the_bytes(host: Host) -> None:
    card_in(host)
    time = host.chip.time
    before = (time.bus_us, time.air_us)
    assert len(ask(host, b"\x40\x01" + bytes(50))) == 53
    # 9 bytes around each way, the acknowledgement; 10 bits at 115,200 baud.
    sent, received = 52 + 8, 6 + 53 + 9
    assert time.bus_us - before[0] == pytest.approx((sent + received) * 86.8, abs=10)
    # Protocol byte and CRC each way; 9 bits of 9.44 us, and a pause after each.
    assert time.air_us - before[1] == pytest.approx((53 + 55) * 84.96 + 2 * 105.3, abs=10)
    assert time.elapsed_ms == pytest.approx(time.bus_ms + time.air_ms + time.chip_us / 1000)


# -- the chip as a card ------------------------------------------------------------------------

TARGET = bytes([0x8C, 0x05]) + bytes.fromhex("0400 123456 20") + bytes(28) + b"\x00\x00"


def test_as_a_card_it_answers_another_reader(host: Host) -> None:
    other = OtherReader(host.chip)
    assert ask(host, b"\x12\x34") == b""
    host.send(encode(TARGET, TO_CHIP))
    assert host.receive() == ACK and host.receive() == b""
    other.approach()
    assert body(host.receive())[2:] == b"\x08\xe0\x50"
    assert other.found is not None and other.found.uid == bytes.fromhex("08123456")
    for size in (5, 300):
        other.send(bytes(size))
        answer = ask(host, b"\x86")
        command = answer[1:]
        while answer[0] == 0x40:
            answer = ask(host, b"\x86")
            command += answer[1:]
        assert command == bytes(size)
        host.chip.time.sleep_ms(500)
        assert ask(host, b"\x94" + bytes(200)) == b"\x00"
        assert ask(host, b"\x8e" + bytes(150) + b"\x90\x00") == b"\x00"
    assert other.answers == [bytes(350) + b"\x90\x00"] * 2
    assert ask(host, b"\x8a") == b"\x01\x00"


@pytest.mark.parametrize("how", ["leave", "deselect"])
def test_as_a_card_it_notices_the_reader_going(host: Host, how: str) -> None:
    other = OtherReader(host.chip)
    assert ask(host, b"\x86") == b"\x25"
    assert ask(host, b"\x12\x34") == b""
    other.approach()
    assert ask(host, TARGET)[0] == 0x08
    other.send(b"abc")
    assert ask(host, b"\x86") == b"\x00abc"
    assert ask(host, b"\x8e\x90\x00") == b"\x00"
    getattr(other, how)()
    assert ask(host, b"\x86") == b"\x29" and ask(host, b"\x8e\x90\x00") == b"\x29"
    assert ask(host, b"\x8a")[0] == (2 if how == "deselect" else 0)
