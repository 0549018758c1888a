# SPDX-License-Identifier: Apache-2.0
"""An ATECC608 that keeps time: the driver's own commands, polls and wakes on a simulated bus.

It does what the driver asks, without faults and without slots' rules: only how long all of it
takes is of interest here. The double that the tests of the driver use is another one.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping

from firmware.crypto import p256 as software
from firmware.hal import atecc608_opcodes as op
from firmware.hal.atecc608 import ADDRESS
from firmware.hal.atecc608_packet import crc16
from firmware.hal.atecc608_plan import plan
from host_bridge.bench.counts import Counts
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey

NAMES = {
    op.READ: "READ",
    op.NONCE: "NONCE",
    op.LOCK: "LOCK",
    op.RANDOM: "RANDOM",
    op.COUNTER: "COUNTER",
    op.INFO: "INFO",
    op.GENKEY: "GENKEY",
    op.SIGN: "SIGN",
    op.VERIFY: "VERIFY",
}

_GENERAL_CALL = 0
_SLEEP, _IDLE, _COMMAND = 1, 2, 3  # word addresses
_BITS_A_BYTE = 9  # with the acknowledgement
_AFTER_WAKE, _OK, _MISCOMPARE = 0x11, 0x00, 0x01
_WATCHDOG_US = 1_300_000
_LOCKED = b"\x00\x00"
_LOCKS = 86
_REVISION = bytes((0, 0, 0x60, 2))
_BLOCK = 32


class ChipClock:
    """The time that passes for whoever waits for the chip; `now_us` counts microseconds."""

    def __init__(self) -> None:
        self.now_us = 0

    def sleep_ms(self, duration_ms: int) -> None:
        """Waits."""
        self.now_us += 1000 * duration_ms

    def ticks_ms(self) -> int:
        """As MicroPython's."""
        return self.now_us // 1000

    def ticks_diff(self, end_ms: int, start_ms: int) -> int:
        """From start to end."""
        return end_ms - start_ms


class TimedChip:
    """A configured chip and its bus. times_ms: how long each command takes, by its name."""

    def __init__(self, clock: ChipClock, times_ms: Mapping[str, float], counts: Counts) -> None:
        self._clock = clock
        self._times_ms = times_ms
        self._counts = counts
        config = bytearray(plan())
        config[4:8] = _REVISION
        config[_LOCKS : _LOCKS + 2] = _LOCKED
        self._config = bytes(config)
        self._keys: dict[int, SigningKey] = {}
        self._counters = [0, 0]
        self._digest = bytes(_BLOCK)
        self._answer = b""
        self._at = 0
        self._ready_us = 0
        self._asleep_us = 0  # when it falls asleep
        self._bit_us = 0.0

    def open_at(self, hertz: int) -> TimedChip:
        """The bus at this frequency, as a new `machine.I2C`."""
        self._counts.add("i2c_open")
        self._bit_us = 1_000_000 / hertz
        return self

    def writeto(self, address: int, data: bytes | memoryview) -> int:
        """As `machine.I2C.writeto`."""
        self._pass(1 + len(data))
        if address == _GENERAL_CALL:
            self._counts.add("i2c")
            if not self._is_awake:
                self._asleep_us = self._clock.now_us + _WATCHDOG_US
                self._counts.add("chip.wake")
                self._put(bytes((_AFTER_WAKE,)))
            raise OSError(errno.ENODEV, "nobody acknowledges a general call")
        self._must_listen(address)
        word, packet = data[0], bytes(data[1:])
        self._at = 0
        if word in (_SLEEP, _IDLE):
            self._asleep_us = 0
        elif word == _COMMAND:
            self._execute(packet[1], packet[2], int.from_bytes(packet[3:5], "little"), packet[5:])
        return len(data)

    def readfrom_into(self, address: int, buffer: bytearray | memoryview) -> None:
        """As `machine.I2C.readfrom_into`."""
        self._pass(1)
        self._must_listen(address)
        self._pass(len(buffer))
        part = self._answer[self._at : self._at + len(buffer)]
        self._at += len(part)
        buffer[:] = part.ljust(len(buffer), b"\xff")

    def _pass(self, size: int) -> None:
        """So many bytes on the bus."""
        self._clock.now_us += round(_BITS_A_BYTE * self._bit_us * size)

    @property
    def _is_awake(self) -> bool:
        return self._clock.now_us < self._asleep_us

    def _must_listen(self, address: int) -> None:
        """Asleep or busy it does not acknowledge."""
        if address != ADDRESS or not self._is_awake or self._clock.now_us < self._ready_us:
            raise OSError(errno.ENODEV, "nobody acknowledged")
        self._counts.add("i2c")  # those that nobody acknowledges pass while the chip works

    def _execute(self, opcode: int, mode: int, parameter: int, rest: bytes) -> None:
        name = NAMES[opcode]
        self._counts.add(f"chip.{name}")
        self._ready_us = self._clock.now_us + round(1000 * self._times_ms[name])
        self._put(self._do(opcode, mode, parameter, rest[:-2]))

    def _do(self, opcode: int, mode: int, parameter: int, data: bytes) -> bytes:
        """The content of the answer: data, or a status."""
        if opcode == op.READ:
            size = _BLOCK if mode & op.WHOLE_BLOCK else 4
            return self._config[4 * parameter : 4 * parameter + size]
        if opcode == op.INFO:
            return bytes((0, 0, 0, parameter in self._keys)) if mode else _REVISION
        if opcode == op.RANDOM:
            return secrets.token_bytes(_BLOCK)
        if opcode == op.COUNTER:
            self._counters[parameter] += mode
            return self._counters[parameter].to_bytes(4, "little")
        if opcode == op.GENKEY:
            if mode & op.GENKEY_CREATE:
                self._keys[parameter] = SigningKey.generate()
            return self._keys[parameter].public_key
        if opcode == op.SIGN:
            self._counts.add("sign")
            return self._keys[parameter].sign(self._digest)
        if opcode == op.VERIFY:
            size = software.SIGNATURE_SIZE
            good = p256.verify(data[size:], self._digest, data[:size])
            return bytes((_OK if good else _MISCOMPARE,))
        if opcode == op.NONCE:
            self._digest = data
        return bytes((_OK,))

    def _put(self, content: bytes) -> None:
        group = bytes((len(content) + 3,)) + content
        self._answer = group + crc16(group).to_bytes(2, "little")
        self._at = 0
