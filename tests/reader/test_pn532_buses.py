# SPDX-License-Identifier: Apache-2.0
"""What is each bus's own: wake-up, bit order, the ready byte, noise, rates."""

from __future__ import annotations

import pytest

from firmware.reader.bus_hsu import HsuBus
from firmware.reader.bus_i2c import I2cBus
from firmware.reader.bus_spi import SpiBus
from firmware.reader.pn532 import Pn532
from firmware.reader.pn532_errors import BusFailed, FrameDefect, NotTaken, TooLate
from firmware.reader.pn532_initiator import Initiator
from firmware.reader.pn532_link import ChipLink
from firmware.reader.pn532_power import change_baud
from tests.reader.pn532_bench import (
    BUSES,
    FIRMWARE_VERSION,
    GET_FIRMWARE_VERSION,
    SAM_CONFIGURATION,
    START,
    Bench,
    answer,
    command,
    framed,
)
from tests.reader.pn532_script import (
    ACK,
    NAK,
    IrqPin,
    ScriptClock,
    ScriptedChip,
    ScriptedI2c,
    ScriptedSpi,
    ScriptedUart,
)

VERSION = bytes.fromhex("32010607")


# -- HSU ---------------------------------------------------------------------------------------


class RawUart(ScriptedUart):
    """Keeps what was written, wake-up bytes too."""

    def __init__(self, chip: ScriptedChip) -> None:
        super().__init__(chip)
        self.written = b""

    def write(self, data: bytes) -> int | None:
        """As the UART."""
        self.written += data
        return super().write(data)


def test_hsu_wakes_with_rising_edges_in_front_of_the_first_command() -> None:
    chip, clock = ScriptedChip(*START), ScriptClock()
    uart = RawUart(chip)
    Pn532(HsuBus(uart, clock), clock).begin()
    assert uart.written.startswith(bytes.fromhex("5555000000"))
    assert uart.written.index(SAM_CONFIGURATION) < uart.written.index(GET_FIRMWARE_VERSION)


@pytest.mark.parametrize("noise", [b"\x00", b"\xff", b"\x00\x00\x11", b"\x55" * 5])
def test_hsu_noise_while_the_chip_works_is_no_frame(noise: bytes) -> None:
    """Less than a frame's bytes: the chip is not asked again while it is at work."""
    bench = Bench("hsu", [ACK, noise])

    def work() -> None:
        bench.chip.says.append(FIRMWARE_VERSION)

    bench.link.on_wait = work
    assert bench.link.run(0x02, b"", 1000) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION]


def test_hsu_a_frame_that_comes_byte_by_byte() -> None:
    bench = Bench("hsu", [ACK])
    slow = [FIRMWARE_VERSION[index : index + 1] for index in range(len(FIRMWARE_VERSION))]
    read = bench.uart.read
    beats = [0]

    def drip(size: int) -> bytes | None:
        """Nothing every other time."""
        beats[0] += 1
        if beats[0] % 2:
            return None
        if slow and not bench.chip.says:
            bench.chip.says.append(slow.pop(0))
        return read(size)

    bench.link.wake()
    bench.uart.read = drip  # type: ignore[method-assign]
    assert bench.link.run(0x02, b"", 1000) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION]


def test_hsu_a_line_that_is_never_silent_is_given_up() -> None:
    bench = Bench("hsu")
    bench.uart.read = lambda size: b"\x11" * size  # type: ignore[method-assign]
    with pytest.raises((NotTaken, TooLate, FrameDefect)):
        bench.link.run(0x02, b"", 100)
    assert bench.clock.now_ms < 5000


def test_hsu_clearing_forgets_the_noise_of_before() -> None:
    """Two bits of noise, each shorter than a frame: together they are none either."""
    bench = Bench("hsu")
    bench.chip.says.append(b"\x11" * 5)
    assert bench.bus.receive(3, 0) is None
    bench.bus.clear()
    bench.chip.says.append(b"\x11" * 5)
    assert bench.bus.receive(100, 0) is None


def test_hsu_a_line_that_takes_nothing() -> None:
    bench = Bench("hsu")
    bench.uart.takes = False
    with pytest.raises(NotTaken, match="takes nothing"):
        bench.pn532.firmware()


def test_hsu_an_echo_is_no_answer() -> None:
    """Receive and transmit joined: the host hears itself."""
    bench = Bench("hsu", [GET_FIRMWARE_VERSION], [NAK], [NAK], [NAK])
    with pytest.raises((NotTaken, FrameDefect, TooLate)):
        bench.pn532.firmware()
    assert bench.chip.commands.count(GET_FIRMWARE_VERSION) == 1


def test_hsu_the_rate_changes_after_the_host_s_acknowledgement() -> None:
    bench = Bench("hsu", answer("11"), [ACK, FIRMWARE_VERSION])
    rates: list[tuple[int, bytes]] = []
    init = bench.uart.init
    bench.uart.init = lambda *, baudrate: (  # type: ignore[method-assign]
        rates.append((baudrate, bench.chip.heard[-1])),
        init(baudrate=baudrate),
    )[1]
    assert isinstance(bench.bus, HsuBus)
    change_baud(bench.link, bench.bus, 460_800)
    assert bench.chip.commands == [command("1006")]
    assert rates == [(460_800, ACK)]
    assert bench.pn532.firmware() == VERSION
    with pytest.raises(ValueError, match="not in tuple"):
        change_baud(bench.link, bench.bus, 300)


# -- SPI ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lsb_first", [False, True])
def test_spi_sends_the_lowest_bit_first(lsb_first: bool) -> None:
    chip, clock = ScriptedChip([ACK, FIRMWARE_VERSION]), ScriptClock()
    spi = ScriptedSpi(chip, lsb_first)
    bus = SpiBus(spi, spi.select, clock, lsb_first=lsb_first)
    assert Pn532(bus, clock).firmware() == VERSION
    assert chip.commands == [GET_FIRMWARE_VERSION]


def test_spi_turns_bytes_round_where_the_bus_does_not() -> None:
    bench = Bench("spi")
    written: list[bytes] = []
    bench.spi.write = lambda data: written.append(bytes(data))  # type: ignore[method-assign]
    bench.bus.send(b"\x00\x00\xff\x01\x80\xd4")
    assert written == [bytes.fromhex("800000ff80012b")], "80 is the 01 of a data write"


def test_spi_selects_the_chip_for_each_transaction_alone() -> None:
    bench = Bench("spi", *START)
    assert bench.spi.select.level == 1
    bench.pn532.begin()
    assert bench.spi.select.level == 1


def test_spi_lets_go_of_the_chip_when_the_bus_fails() -> None:
    bench = Bench("spi", [ACK, b"\x11" * 100])

    def fail(data: bytes | bytearray) -> None:
        raise OSError(5)

    bench.link.wake()
    write = bench.spi.write
    bench.spi.write = fail  # type: ignore[method-assign]
    with pytest.raises(BusFailed):
        bench.pn532.firmware()
    assert bench.spi.select.level == 1
    with pytest.raises(BusFailed):
        bench.pn532.begin()
    bench.spi.write = write  # type: ignore[method-assign]
    bench.chip.script = [*START]
    bench.pn532.begin()


def test_spi_wakes_with_its_select_line() -> None:
    bench = Bench("spi", *START)
    levels: list[tuple[int, int | None]] = []
    value = bench.spi.select.value

    def watched(level: int | None = None) -> int | None:
        levels.append((bench.clock.now_ms, level))
        return value(level)

    bench.spi.select.value = watched  # type: ignore[method-assign]
    bench.bus.wake()
    assert [level for _, level in levels] == [0, 1]
    assert levels[1][0] - levels[0][0] >= 2, "T_osc_start"


@pytest.mark.parametrize("idle", [0x00, 0xFF])
def test_spi_without_a_chip(idle: int) -> None:
    """The line stays low, or high: neither says that a frame is there."""
    bench = Bench("spi")
    bench.spi.idle = idle
    with pytest.raises(NotTaken):
        bench.pn532.begin()
    assert bench.clock.now_ms < 1000


# -- I2C ---------------------------------------------------------------------------------------


def test_i2c_a_short_answer_is_read_in_one_go() -> None:
    bench = Bench("i2c", [ACK, FIRMWARE_VERSION])
    assert bench.pn532.firmware() == VERSION
    assert bench.i2c.readings == [8, 24]


def test_i2c_a_long_answer_is_asked_for_again_and_read_whole() -> None:
    long = framed(b"\xd5\x41\x00" + bytes(262))
    bench = Bench("i2c", [ACK, long], [long])
    assert bench.link.run(0x40, b"\x01", 100) == bytes(263)
    assert bench.chip.commands == [command("40", b"\x01"), NAK]
    assert bench.i2c.readings[-1] == 1 + len(long), "with the ready byte, and not a byte more"


def test_i2c_a_long_answer_does_not_come_again() -> None:
    long = framed(b"\xd5\x41\x00" + bytes(262))
    bench = Bench("i2c", [ACK, long])
    with pytest.raises((TooLate, FrameDefect)):
        bench.link.run(0x40, b"\x01", 100)
    assert bench.chip.commands[0] == command("40", b"\x01")
    assert set(bench.chip.commands[1:]) == {NAK}


def test_i2c_a_frame_that_is_gone_again() -> None:
    """Ready, and then not: what is read then is nothing."""
    bench = Bench("i2c", answer("33"), [ACK, FIRMWARE_VERSION], [FIRMWARE_VERSION])
    Initiator(bench.link).field(False)
    read = bench.i2c.readfrom_into

    def vanish(address: int, buffer: bytearray) -> None:
        read(address, buffer)
        if len(buffer) > 8 and len(bench.i2c.readings) == 4:
            buffer[0] = 0

    bench.i2c.readfrom_into = vanish  # type: ignore[method-assign]
    assert bench.pn532.firmware() == VERSION
    assert bench.chip.commands[1:] == [GET_FIRMWARE_VERSION, NAK]


def test_i2c_nobody_acknowledges() -> None:
    bench = Bench("i2c")
    bench.i2c.is_there = False
    with pytest.raises(NotTaken, match="acknowledges on the I2C bus"):
        bench.pn532.begin()


def test_i2c_busy_is_not_ready() -> None:
    """A chip that does not acknowledge a reading is asked again."""
    bench = Bench("i2c", [ACK])
    calls = [0]
    read = bench.i2c.readfrom_into

    def busy(address: int, buffer: bytearray) -> None:
        calls[0] += 1
        if 3 < calls[0] < 20:
            raise OSError(110)
        if calls[0] == 20:
            bench.chip.says.append(FIRMWARE_VERSION)
        read(address, buffer)

    bench.i2c.readfrom_into = busy  # type: ignore[method-assign]
    assert bench.pn532.firmware() == VERSION


# -- all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spi", "i2c"])
def test_the_irq_line_spares_asking(kind: str) -> None:
    chip, clock = ScriptedChip([ACK, FIRMWARE_VERSION]), ScriptClock()
    irq = IrqPin(chip)
    spi, i2c = ScriptedSpi(chip), ScriptedI2c(chip)
    spi_bus = SpiBus(spi, spi.select, clock, irq=irq)
    i2c_bus = I2cBus(i2c, clock, irq=irq)
    link = ChipLink(spi_bus if kind == "spi" else i2c_bus, clock)
    assert link.run(0x02, b"", 100) == VERSION


@pytest.mark.parametrize("kind", BUSES)
@pytest.mark.parametrize("lost", [1, 2])
def test_the_frames_that_wake_a_chip_may_be_lost(kind: str, lost: int) -> None:
    bench = Bench(kind, *[[]] * lost, *START)
    bench.pn532.begin()
    assert bench.chip.commands == [SAM_CONFIGURATION] * (lost + 1) + [GET_FIRMWARE_VERSION]


@pytest.mark.parametrize("kind", BUSES)
def test_a_chip_that_does_not_wake_is_given_up(kind: str) -> None:
    bench = Bench(kind)
    with pytest.raises(NotTaken):
        bench.pn532.begin()
    assert bench.chip.commands == [SAM_CONFIGURATION] * 3
