# SPDX-License-Identifier: Apache-2.0
"""An I2C bus, and time, that pass only when a test's program moves a byte or waits.

The bus has the methods of MicroPython's `machine.I2C`, the clock those of its module `time`.
Between any two transactions a test can put an accident, and the power can fail at any of them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from tests.doubles.power import AFTER, BEFORE, PowerCut

GENERAL_CALL = 0
_BITS_A_BYTE = 9  # with the acknowledgement
_START_BITS = 8  # address and direction, all of them zero in a write to address 0


class SimulatedClock:
    """Microseconds since the beginning of the test."""

    def __init__(self) -> None:
        self.now_us = 0

    def sleep_ms(self, duration_ms: int, /) -> None:
        """Waits, at no cost."""
        self.now_us += 1000 * duration_ms

    def ticks_ms(self) -> int:
        """Milliseconds."""
        return self.now_us // 1000

    def ticks_diff(self, end_ms: int, start_ms: int, /) -> int:
        """Milliseconds from start to end."""
        return end_ms - start_ms


class Device(Protocol):
    """What hangs on the bus."""

    def line_low(self, duration_us: int) -> None:
        """SDA was low for so long without a break."""

    def receive(self, data: bytes) -> bool:
        """Bytes written to it; whether it acknowledged."""

    def deliver(self, size: int) -> bytes | None:
        """Bytes read from it; None where it does not acknowledge."""


class I2cBus:
    """Transactions are counted from 1; `accidents[n]` happens before the n-th."""

    def __init__(self, clock: SimulatedClock, frequency_hz: int = 100_000) -> None:
        self.clock = clock
        self.transactions = 0
        self.accidents: dict[int, Callable[[], object]] = {}
        self._bit_us = 1_000_000 // frequency_hz
        self._devices: dict[int, Device] = {}
        self._cut_at = 0
        self._moment = BEFORE

    def attach(self, address: int, device: Device) -> None:
        """Solders a device on."""
        self._devices[address] = device

    def cut(self, number: int, moment: str) -> None:
        """The power fails before or after this transaction, counting from 1 again; 0: never."""
        self.transactions = 0
        self._cut_at = number
        self._moment = moment

    def writeto(self, address: int, data: bytes | memoryview, /) -> int:
        """As `machine.I2C.writeto`."""
        self._begin(1 + len(data))
        if address == GENERAL_CALL:
            for device in self._devices.values():
                device.line_low(_START_BITS * self._bit_us)
        taken = address in self._devices and self._devices[address].receive(bytes(data))
        self._end()
        if not taken:
            raise OSError(errno.ENODEV, "nobody acknowledged")
        return len(data)

    def readfrom_into(self, address: int, buffer: bytearray | memoryview, /) -> None:
        """As `machine.I2C.readfrom_into`."""
        self._begin(1)
        device = self._devices.get(address)
        data = None if device is None else device.deliver(len(buffer))
        if data is not None:
            self.clock.now_us += _BITS_A_BYTE * self._bit_us * len(data)
        self._end()
        if data is None:
            raise OSError(errno.ENODEV, "nobody acknowledged")
        buffer[:] = data

    def readfrom(self, address: int, size: int, /) -> bytes:
        """As `machine.I2C.readfrom`."""
        buffer = bytearray(size)
        self.readfrom_into(address, buffer)
        return bytes(buffer)

    def _begin(self, size: int) -> None:
        self.transactions += 1
        if self.transactions in self.accidents:
            self.accidents.pop(self.transactions)()
        if self.transactions == self._cut_at and self._moment == BEFORE:
            raise PowerCut
        self.clock.now_us += _BITS_A_BYTE * self._bit_us * size

    def _end(self) -> None:
        if self.transactions == self._cut_at and self._moment == AFTER:
            raise PowerCut


class Recorder:
    """Stands between a program and its bus and clock, and writes down what passed.

    `events` can be written as JSON: ["w", address, hex, taken], ["r", address, size, hex or
    null], ["t", ms]. What is played again from them needs neither bus nor clock.
    """

    def __init__(self, bus: I2cBus) -> None:
        self._bus = bus
        self.events: list[list[object]] = []

    def writeto(self, address: int, data: bytes | memoryview, /) -> int:
        """Passes a write on."""
        event: list[object] = ["w", address, bytes(data).hex(), False]
        self.events.append(event)
        count = self._bus.writeto(address, data)
        event[3] = True
        return count

    def readfrom_into(self, address: int, buffer: bytearray | memoryview, /) -> None:
        """Passes a read on."""
        event: list[object] = ["r", address, len(buffer), None]
        self.events.append(event)
        self._bus.readfrom_into(address, buffer)
        event[3] = bytes(buffer).hex()

    def sleep_ms(self, duration_ms: int, /) -> None:
        """Waits; a player need not."""
        self._bus.clock.sleep_ms(duration_ms)

    def ticks_ms(self) -> int:
        """The bus's clock."""
        now_ms = self._bus.clock.ticks_ms()
        self.events.append(["t", now_ms])
        return now_ms

    def ticks_diff(self, end_ms: int, start_ms: int, /) -> int:
        """Milliseconds from start to end."""
        return end_ms - start_ms
