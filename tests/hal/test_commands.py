# SPDX-License-Identifier: Apache-2.0
"""Every command of the driver, asked well and asked badly."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.hal.atecc608 import (
    CONFIG_ZONE,
    COUNTER_END,
    DATA_ZONE,
    DIGEST_BUFFER,
    TEMP_KEY,
)
from firmware.hal.atecc608_errors import EccFault, ExecutionRefused, ParseRefused
from firmware.hal.atecc608_packet import crc16
from host_bridge.crypto import p256
from tests.hal.bench import DIGEST, ChipBench

BUFFERS = [DIGEST_BUFFER, TEMP_KEY]


def test_info(bench: ChipBench) -> None:
    assert bench.chip.revision() == bytes.fromhex("00006002")
    assert not bench.chip.has_key(3)
    bench.chip.generate(3)
    assert bench.chip.has_key(3)
    assert not bench.chip.has_key(4)


def test_serial(fresh: ChipBench, bench: ChipBench) -> None:
    serial = fresh.chip.serial()
    assert (len(serial), serial[:2], serial[-1:]) == (9, b"\x01\x23", b"\xee")
    assert serial == fresh.chip.config()[:4] + fresh.chip.config()[8:13]
    assert bench.chip.serial() != serial


def test_random(fresh: ChipBench, bench: ChipBench) -> None:
    assert bench.chip.random() != bench.chip.random()
    assert fresh.chip.random() == bytes.fromhex("ffff0000") * 8, "not locked, not random"


def test_genkey(bench: ChipBench) -> None:
    public_key = bench.chip.generate(5)
    assert p256.on_curve(public_key)
    assert bench.chip.public_key(5) == public_key
    assert bench.chip.generate(5) != public_key, "over the older one"
    assert bench.chip.public_key(5) != public_key


def test_genkey_refused(fresh: ChipBench, bench: ChipBench) -> None:
    with pytest.raises(ExecutionRefused):
        fresh.chip.generate(5)  # nothing is locked yet
    with pytest.raises(ExecutionRefused):
        bench.chip.public_key(5)  # empty
    with pytest.raises(ExecutionRefused):
        bench.chip.generate(8)  # no slot for keys
    bench.chip.generate(0)
    bench.chip.lock_slot(0)
    with pytest.raises(ExecutionRefused):
        bench.chip.generate(0)


@pytest.mark.parametrize("by", BUFFERS)
def test_sign_and_verify(bench: ChipBench, by: int) -> None:
    public_key = bench.chip.generate(2)
    signature = bench.chip.sign(2, DIGEST, by)
    assert p256.verify(public_key, DIGEST, signature)
    assert bench.chip.verify(public_key, DIGEST, signature, by)
    assert not bench.chip.verify(public_key, bytes(32), signature, by)
    assert bench.chip.sign(2, DIGEST, by) != signature


def test_sign_refused(fresh: ChipBench, bench: ChipBench) -> None:
    with pytest.raises(ExecutionRefused):
        bench.chip.sign(2, DIGEST)
    fresh.chip.lock_config(crc16(fresh.chip.config()))
    fresh.chip.generate(2)
    with pytest.raises(ExecutionRefused):
        fresh.chip.sign(2, DIGEST)  # the slots are not locked
    with pytest.raises(ValueError, match="digest has 32 bytes"):
        bench.chip.sign(2, DIGEST[:31])


def test_verify_refused(bench: ChipBench) -> None:
    with pytest.raises(EccFault):
        bench.chip.verify(bytes(64), DIGEST, bytes(64))
    with pytest.raises(ValueError, match="64 bytes each"):
        bench.chip.verify(bytes(63), DIGEST, bytes(64))
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    key = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert not bench.chip.verify(key, DIGEST, bytes(range(64)))


def test_counter(bench: ChipBench) -> None:
    assert bench.chip.counter(0) == 0
    assert [bench.chip.count_up(0) for _ in range(3)] == [1, 2, 3]
    assert bench.chip.counter(0) == 3
    assert bench.chip.counter(1) == 0
    assert bench.chip.count_up(1) == 1


def test_counter_refused(fresh: ChipBench, bench: ChipBench) -> None:
    with pytest.raises(ExecutionRefused):
        fresh.chip.count_up(0)
    with pytest.raises(ParseRefused):
        bench.chip.counter(2)


def test_the_counter_ends(bench: ChipBench) -> None:
    bench.double.eeprom.counters[0] = COUNTER_END - 1
    assert bench.chip.count_up(0) == COUNTER_END == 2_097_151
    with pytest.raises(ExecutionRefused):
        bench.chip.count_up(0)
    assert bench.chip.counter(0) == COUNTER_END


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (0, "ffffffff00000000"),
        (1, "7fffffff00000000"),
        (16, "0000ffff00000000"),
        (45, "0007000000010000"),  # as a chip in the field had it
        (COUNTER_END, "00000001ffffffff"),
    ],
)
def test_a_counter_in_the_configuration(bench: ChipBench, value: int, stored: str) -> None:
    """Counters lie there in a form of their own; the driver asks COUNTER and never reads them."""
    bench.double.eeprom.counters[0] = value
    assert bench.chip.config()[52:60].hex() == stored
    assert bench.chip.counter(0) == value


def test_read_and_write(fresh: ChipBench) -> None:
    block = bytes(range(96, 128))
    fresh.chip.write(CONFIG_ZONE, 24, block)
    fresh.chip.write(CONFIG_ZONE, 5, b"abcd")
    assert fresh.chip.read(CONFIG_ZONE, 24, 32) == block
    assert fresh.chip.read(CONFIG_ZONE, 5, 4) == b"abcd"
    assert fresh.chip.config()[20:24] == b"abcd"
    assert fresh.chip.config()[96:] == block


def test_read_and_write_refused(fresh: ChipBench, bench: ChipBench) -> None:
    for address in range(4):
        with pytest.raises(ExecutionRefused):
            fresh.chip.write(CONFIG_ZONE, address, bytes(4))  # the factory's
    with pytest.raises(ExecutionRefused):
        fresh.chip.write(CONFIG_ZONE, 21, bytes(4))  # the locks
    with pytest.raises(ExecutionRefused):
        bench.chip.write(CONFIG_ZONE, 5, bytes(4))  # locked
    with pytest.raises(ParseRefused):
        bench.chip.read(CONFIG_ZONE, 32, 4)
    with pytest.raises(ExecutionRefused):
        bench.chip.read(DATA_ZONE, 0, 32)  # a private key
    with pytest.raises(ExecutionRefused):
        bench.chip.write(DATA_ZONE, 0, bytes(32))
    with pytest.raises(ValueError, match="by 4 bytes or by 32"):
        bench.chip.read(CONFIG_ZONE, 0, 8)


def test_lock(fresh: ChipBench) -> None:
    config = fresh.chip.config()
    with pytest.raises(ExecutionRefused):
        fresh.chip.lock_data()  # the configuration comes first
    with pytest.raises(ExecutionRefused):
        fresh.chip.lock_config(crc16(config) ^ 1)
    assert fresh.chip.config()[86:88] == b"UU"
    fresh.chip.lock_config(crc16(config))
    fresh.chip.lock_data()
    assert fresh.chip.config()[86:88] == bytes(2)
    for again in (
        lambda: fresh.chip.lock_config(crc16(fresh.chip.config())),
        fresh.chip.lock_data,
    ):
        with pytest.raises(ExecutionRefused):
            again()


def test_lock_slot(bench: ChipBench) -> None:
    bench.chip.lock_slot(0)
    assert bench.chip.config()[88:90] == b"\xfe\xff"
    with pytest.raises(ExecutionRefused):
        bench.chip.lock_slot(0)  # it is locked
    with pytest.raises(ExecutionRefused):
        bench.chip.lock_slot(1)  # not lockable


@pytest.mark.parametrize("slot", [-1, 16])
def test_slots_that_there_are_not(bench: ChipBench, slot: int) -> None:
    chip = bench.chip
    for ask in (chip.has_key, chip.generate, chip.public_key, chip.lock_slot):
        with pytest.raises(ValueError, match="slots 0 to 15"):
            ask(slot)
    with pytest.raises(ValueError, match="slots 0 to 15"):
        chip.sign(slot, DIGEST)
