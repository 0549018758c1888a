# SPDX-License-Identifier: Apache-2.0
"""Sleep, wake, the watchdog, lost bits and slow chips: what the driver does about each."""

import pytest

from firmware.hal import atecc608_opcodes as op
from firmware.hal.atecc608 import ADDRESS, Atecc608
from firmware.hal.atecc608_errors import (
    AnswerGarbled,
    AteccError,
    ChipSilent,
    CommandGarbled,
    NotTaken,
    SelfTestFailed,
    WatchdogNear,
)
from firmware.hal.atecc608_plan import is_configured
from tests.doubles.atecc608 import ACTIVE, IDLE, SLEEPING, Atecc608Double, chip_crc, packed
from tests.doubles.i2c_bus import I2cBus, SimulatedClock
from tests.hal.bench import DIGEST, ChipBench

INCREMENT = (op.COUNTER, op.COUNTER_INCREMENT)
SIGN = (op.SIGN, 0xA0)  # a digest that waits in the message digest buffer
WATCHDOGS_MS = [700, 1_300, 1_700]


# -- sleep and wake ----------------------------------------------------------------------------


def test_a_sleeping_chip_acknowledges_nothing(bench: ChipBench) -> None:
    assert bench.double.state == SLEEPING
    with pytest.raises(OSError):
        bench.bus.writeto(ADDRESS, b"\x03\x07\x30\x00\x00\x00\x03\x5d")
    with pytest.raises(OSError):
        bench.bus.readfrom(ADDRESS, 4)


def test_wake_sleep_and_idle(bench: ChipBench) -> None:
    bench.chip.wake()
    assert bench.double.state == ACTIVE
    bench.chip.idle()
    assert bench.double.state == IDLE
    bench.chip.wake()
    bench.chip.sleep()
    assert bench.double.state == SLEEPING


def test_commands_wake_the_chip(bench: ChipBench) -> None:
    bench.chip.revision()
    bench.chip.sleep()
    bench.chip.revision()
    assert bench.double.wakes == 3, "configured, and twice since"


def test_the_chip_needs_its_time_to_wake(bench: ChipBench) -> None:
    with pytest.raises(OSError):
        bench.bus.writeto(0, b"\x00")
    with pytest.raises(OSError):
        bench.bus.readfrom(ADDRESS, 4)
    bench.clock.sleep_ms(2)
    assert bench.bus.readfrom(ADDRESS, 4) == bytes.fromhex("04113343")


def test_a_bus_that_is_too_fast_wakes_nobody() -> None:
    clock = SimulatedClock()
    bus = I2cBus(clock, frequency_hz=400_000)
    bus.attach(ADDRESS, Atecc608Double(clock))
    with pytest.raises(ChipSilent, match="answers at address 60"):
        Atecc608(bus, clock).revision()


def test_a_chip_that_is_not_there_is_silent() -> None:
    clock = SimulatedClock()
    with pytest.raises(ChipSilent) as raised:
        Atecc608(I2cBus(clock), clock).random()
    assert isinstance(raised.value, OSError), "a card answers 6581 to it"
    assert clock.now_us < 150_000, "the longest command, and a little"


def test_a_host_that_restarts_finds_the_chip_awake(bench: ChipBench) -> None:
    bench.chip.counter(0)
    bench.boot()
    assert bench.double.state == ACTIVE
    assert bench.chip.count_up(0) == 1


def test_a_host_that_restarts_finds_an_error_in_the_buffer(bench: ChipBench) -> None:
    with pytest.raises(AteccError):
        bench.chip.public_key(1)
    bench.boot()
    assert bench.chip.counter(0) == 0


def test_a_host_that_restarts_finds_the_chip_busy(bench: ChipBench) -> None:
    bench.chip.generate(1)
    bench.chip.wake()
    bench.double.slow = True
    bench.bus.writeto(ADDRESS, b"\x03" + packed_command(op.GENKEY, 0x04, 1))
    bench.boot()
    assert bench.chip.counter(0) == 0
    assert bench.double.strikes == 0, "it was waited for, as long as a command may take"


def packed_command(opcode: int, mode: int, parameter: int) -> bytes:
    """A command's group without its word address."""
    group = bytes([7, opcode, mode]) + parameter.to_bytes(2, "little")
    return group + chip_crc(group)


def test_a_wake_answer_that_is_garbled_is_asked_for_again(bench: ChipBench) -> None:
    bench.double.garbled_answers = 1
    bench.chip.wake()
    assert bench.double.state == ACTIVE
    bench.chip.sleep()
    bench.double.garbled_answers = 99
    with pytest.raises(ChipSilent):
        bench.chip.wake()


def test_a_chip_that_finds_itself_broken(bench: ChipBench) -> None:
    bench.accident(2, lambda: setattr(bench.double, "_answer", packed(0x07)))
    with pytest.raises(SelfTestFailed):
        bench.chip.wake()


# -- the watchdog ------------------------------------------------------------------------------


@pytest.mark.parametrize("watchdog_ms", WATCHDOGS_MS)
def test_the_watchdog_never_strikes_in_a_long_session(watchdog_ms: int) -> None:
    """Slow commands for many watchdogs' time: each is executed once, none is in vain."""
    bench = ChipBench(watchdog_ms=watchdog_ms).configured()
    bench.chip.generate(1)
    bench.double.slow = True
    bench.double.executed.clear()
    for _ in range(20):
        bench.chip.sign(1, DIGEST)
        bench.chip.public_key(1)
    assert (bench.double.strikes, bench.double.warnings) == (0, 0)
    assert bench.double.executed == 20 * [op.RANDOM, op.NONCE, op.SIGN, op.GENKEY]


@pytest.mark.parametrize("watchdog_ms", WATCHDOGS_MS)
def test_a_pause_of_any_length_costs_nothing_but_a_wake(watchdog_ms: int) -> None:
    bench = ChipBench(watchdog_ms=watchdog_ms).configured()
    bench.chip.generate(1)
    bench.double.slow = True
    for pause_ms in range(0, 2_000, 25):
        bench.clock.sleep_ms(pause_ms)
        bench.double.executed.clear()
        bench.chip.sign(1, DIGEST)
        assert bench.double.executed == [op.RANDOM, op.NONCE, op.SIGN]
    assert bench.double.warnings == 0


def test_personalising_outlasts_the_watchdog() -> None:
    bench = ChipBench(watchdog_ms=700)
    bench.double.slow = True
    bench.configured()
    assert bench.double.wakes == 2
    assert (bench.double.strikes, bench.double.warnings) == (0, 0)
    assert is_configured(bench.chip)


@pytest.mark.parametrize("transaction", range(1, 11))
def test_the_watchdog_strikes_in_the_middle_of_a_signature(
    bench: ChipBench, transaction: int
) -> None:
    """The host was held up for two seconds: what TempKey held is gone, all is sent again."""
    public_key = bench.chip.generate(1)
    bench.chip.sleep()
    bench.accident(transaction, lambda: bench.clock.sleep_ms(2_000))
    try:
        signature = bench.chip.sign(1, DIGEST)
    except ChipSilent:  # a command was under way: its answer is lost, and that is said
        assert bench.double.state == SLEEPING
        signature = bench.chip.sign(1, DIGEST)
    assert bench.chip.verify(public_key, DIGEST, signature)


def test_a_digest_that_the_watchdog_took_is_given_again(bench: ChipBench) -> None:
    public_key = bench.chip.generate(1)
    bench.chip.counter(0)
    bench.double.executed.clear()
    bench.double.before[SIGN] = lambda: bench.clock.sleep_ms(2_000)
    signature = bench.chip.sign(1, DIGEST)
    assert bench.double.executed == [op.RANDOM, op.NONCE, op.RANDOM, op.NONCE, op.SIGN]
    assert bench.chip.verify(public_key, DIGEST, signature)


def test_a_chip_that_always_sleeps_is_given_up(
    bench: ChipBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    awake = bench.double.receive
    monkeypatch.setattr(bench.double, "receive", lambda data: data[0] != 0x03 and awake(data))
    with pytest.raises(NotTaken):
        bench.chip.counter(0)


def test_the_chip_says_that_its_watchdog_is_near(bench: ChipBench) -> None:
    """A host whose clock runs slow: the chip refuses, goes idle and keeps the digest."""
    public_key = bench.chip.generate(1)
    bench.chip.counter(0)
    bench.double.executed.clear()
    wakes = bench.double.wakes
    double = bench.double
    double.before[SIGN] = lambda: bench.clock.sleep_ms(double.left_ms - 20)
    signature = bench.chip.sign(1, DIGEST)
    assert bench.double.executed == [op.RANDOM, op.NONCE, op.SIGN], "SIGN was not executed twice"
    assert (double.wakes, double.strikes) == (wakes + 1, 0)
    assert bench.chip.verify(public_key, DIGEST, signature)


@pytest.mark.parametrize("torn_steps", [0, 1, 2, 7])
def test_the_watchdog_sleeps_in_the_middle_of_an_increment(
    bench: ChipBench, torn_steps: int
) -> None:
    """A chip that gives no warning: the answer is lost and said to be, nothing is sent again."""
    double = bench.double
    double.warns = False
    double.slow = True
    double.torn_steps = torn_steps
    bench.chip.wake()
    bench.chip.counter(0)
    double.before[INCREMENT] = lambda: bench.clock.sleep_ms(double.left_ms - 10)
    double.executed.clear()
    with pytest.raises(ChipSilent):
        bench.chip.count_up(0)
    assert double.executed == [op.COUNTER]
    assert double.strikes == 1
    assert bench.chip.counter(0) == torn_steps, "never down, and by more than one at times"
    assert bench.chip.count_up(0) == torn_steps + 1


def test_a_watchdog_that_is_always_near_is_given_up() -> None:
    bench = ChipBench(watchdog_ms=10)
    bench.double.slow = True
    with pytest.raises(WatchdogNear):
        bench.chip.random()


# -- bits lost on the bus ----------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_is_garbled_is_read_again(bench: ChipBench, times: int) -> None:
    bench.chip.counter(0)
    bench.double.garbled_answers = times
    assert bench.chip.count_up(0) == 1
    assert bench.double.eeprom.counters == [1, 0], "the command itself was not repeated"


def test_answers_that_are_always_garbled_are_given_up(bench: ChipBench) -> None:
    bench.chip.counter(0)
    bench.double.garbled_answers = 3
    with pytest.raises(AnswerGarbled, match="wrong CRC"):
        bench.chip.count_up(0)
    assert bench.chip.counter(0) == 1, "it had counted all the same"


@pytest.mark.parametrize("times", [1, 2])
def test_a_command_that_is_garbled_is_sent_again(bench: ChipBench, times: int) -> None:
    bench.double.garbled_commands = times
    assert bench.chip.count_up(0) == 1
    assert bench.double.eeprom.counters == [1, 0]


def test_commands_that_are_always_garbled_are_given_up(bench: ChipBench) -> None:
    bench.double.garbled_commands = 3
    with pytest.raises(CommandGarbled):
        bench.chip.count_up(0)
    assert bench.double.eeprom.counters == [0, 0]


# -- time and power ----------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [False, True])
def test_commands_are_waited_for_as_long_as_they_may_take(bench: ChipBench, slow: bool) -> None:
    bench.double.slow = slow
    began_us = bench.clock.now_us
    bench.chip.generate(1)
    took_ms = (bench.clock.now_us - began_us) / 1000
    assert took_ms < (140 if slow else 85)


def test_a_command_that_takes_longer_than_it_may(bench: ChipBench) -> None:
    bench.chip.counter(0)
    never_us = bench.clock.now_us + 1_000_000
    bench.accident(2, lambda: setattr(bench.double, "_ready_us", never_us))
    with pytest.raises(ChipSilent, match="does not answer"):
        bench.chip.count_up(0)


def test_power_lost_in_the_chip_alone(bench: ChipBench) -> None:
    """The host lives on: a command under way is lost, and the next one finds the chip again."""
    bench.chip.counter(0)
    bench.accident(2, bench.double.cut_power)
    with pytest.raises(ChipSilent):
        bench.chip.count_up(0)
    assert bench.chip.count_up(0) == 1
