# SPDX-License-Identifier: Apache-2.0
"""The PN532's three links, with the methods of MicroPython's `machine.UART`, `SPI`, `I2C`, `Pin`.

Time passes when bytes do, and a little with every question: nobody sleeps.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

from tests.doubles.pn532 import Pn532Double

I2C_ADDRESS = 0x24
POLL_US = 20  # what a question costs a program besides its bytes
_BITS_A_BYTE_UART, _BITS_A_BYTE_SPI, _BITS_A_BYTE_I2C = 10, 8, 9
_DATA_WRITE, _STATUS_READ, _DATA_READ = 0x01, 0x02, 0x03
_ASLEEP, _IDLE_LINE, _BEYOND = 0xAA, 0xFF, 0x00


class Uart:
    """High speed UART (HSU). timeout, timeout_char: of a read, in ms, as `machine.UART` has."""

    def __init__(
        self, chip: Pn532Double, baudrate: int = 115_200, timeout: int = 0, timeout_char: int = 0
    ) -> None:
        self._chip = chip
        self._time = chip.time
        self._baudrate = baudrate
        self._timeout_ms = timeout
        self._timeout_char_ms = timeout_char
        self._arriving: deque[tuple[int, int]] = deque()  # when, which byte
        self._line_us = 0

    def init(self, *args: Any, **settings: Any) -> None:
        """As `machine.UART.init`: baudrate, timeout, timeout_char; the rest is not looked at."""
        self._baudrate = settings.get("baudrate", args[0] if args else self._baudrate)
        self._timeout_ms = settings.get("timeout", self._timeout_ms)
        self._timeout_char_ms = settings.get("timeout_char", self._timeout_char_ms)

    def deinit(self) -> None:
        """Nothing to let go."""

    def flush(self) -> None:
        """Writing has waited already."""

    def txdone(self) -> bool:
        """Writing has waited already."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Sends; at another rate than the chip's nothing is understood."""
        sent = bytes(data)
        byte_us = _BITS_A_BYTE_UART * 1_000_000 / self._baudrate
        while sent and not self._chip.awake:
            self._time.on_bus(byte_us)
            self._chip.stir()
            sent = sent[1:]  # it woke the chip, and was not heard
        self._time.on_bus(byte_us * len(sent))
        if sent:
            same = self._baudrate == self._chip.baud_rate
            self._chip.hear(sent if same else bytes(byte ^ 0x5A for byte in sent))
        return len(data)

    def any(self) -> int:
        """How many bytes have arrived."""
        self._time.polled(POLL_US)
        return self._count()

    def read(self, nbytes: int | None = None) -> bytes | None:
        """What arrives within the timeouts; None if that is nothing."""
        limit = 1 << 16 if nbytes is None else nbytes
        data = bytearray()
        self._time.polled(POLL_US)
        while len(data) < limit and self._wait_for_one(self._allowed_us(bool(data))):
            data.append(self._arriving.popleft()[1])
        return bytes(data) or None

    def readinto(self, buffer: bytearray | memoryview, nbytes: int | None = None) -> int | None:
        """As `read`, into a buffer; how many, or None."""
        data = self.read(len(buffer) if nbytes is None else min(nbytes, len(buffer)))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def inject(self, data: bytes) -> None:
        """Bytes that the chip never sent: a disturbed line."""
        self._arriving.extend((self._time.now_us, byte) for byte in data)

    def drain(self) -> bytes:
        """Waits for as long as the chip works at the moment; all that it has said by then."""
        self._time.catch_up()
        frame = self._chip.take()
        data = b"" if frame is None else frame.data
        self._chip.rest()
        self._time.on_bus(len(data) * _BITS_A_BYTE_UART * 1_000_000 / self._chip.baud_rate)
        return data

    def _allowed_us(self, begun: bool) -> int:
        return 1000 * (self._timeout_char_ms if begun else self._timeout_ms)

    def _count(self) -> int:
        self._collect()
        now_us = self._time.now_us
        return sum(1 for when_us, _ in self._arriving if when_us <= now_us)

    def _collect(self) -> None:
        while (frame := self._chip.take()) is not None:
            byte_us = _BITS_A_BYTE_UART * 1_000_000 / self._chip.baud_rate
            start_us = max(frame.ready_us, self._line_us)
            same = self._baudrate == self._chip.baud_rate
            for place, byte in enumerate(frame.data):
                when_us = start_us + round((place + 1) * byte_us)
                self._arriving.append((when_us, byte if same else byte ^ 0xA5))
            self._line_us = start_us + round(len(frame.data) * byte_us)
            self._time.bus_us += self._line_us - start_us
        self._chip.rest()

    def _wait_for_one(self, allowed_us: int) -> bool:
        """Lets time pass until a byte is there, but no more of it than is allowed."""
        end_us = self._time.now_us + allowed_us
        while not self._count():
            events = [self._chip.next_us, self._arriving[0][0] if self._arriving else None]
            times = [when_us for when_us in events if when_us is not None]
            next_us = min(times, default=end_us)
            if next_us > end_us or not times:
                self._time.now_us = max(self._time.now_us, end_us)
                return False
            self._time.now_us = max(self._time.now_us + 1, next_us)
        return True


class Spi:
    """SPI, mode 0, the least significant bit first; chosen by a `ChipSelect`.

    firstbit: LSB if the host's hardware turns the bits round, MSB if its program does.
    """

    MSB = 0
    LSB = 1

    def __init__(self, chip: Pn532Double, baudrate: int = 1_000_000, firstbit: int = LSB) -> None:
        self._chip = chip
        self._time = chip.time
        self._baudrate = baudrate
        self._firstbit = firstbit
        self._is_chosen = False
        self._begin()

    def init(self, *args: Any, **settings: Any) -> None:
        """As `machine.SPI.init`: baudrate, firstbit; mode 0 is the only one."""
        self._baudrate = settings.get("baudrate", args[0] if args else self._baudrate)
        self._firstbit = settings.get("firstbit", self._firstbit)
        if settings.get("polarity", 0) or settings.get("phase", 0):
            raise ValueError("the chip speaks mode 0 alone")

    def deinit(self) -> None:
        """Nothing to let go."""

    def write(self, buf: bytes | bytearray | memoryview) -> None:
        """Sends, and looks at nothing."""
        self._transfer(bytes(buf))

    def read(self, nbytes: int, write: int = 0x00) -> bytes:
        """Receives while it sends the same byte."""
        return self._transfer(bytes([write]) * nbytes)

    def readinto(self, buf: bytearray | memoryview, write: int = 0x00) -> None:
        """Receives into a buffer while it sends the same byte."""
        buf[:] = self._transfer(bytes([write]) * len(buf))

    def write_readinto(
        self, write_buf: bytes | bytearray | memoryview, read_buf: bytearray | memoryview
    ) -> None:
        """Both; the buffers have one length and may be the same."""
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        read_buf[:] = self._transfer(bytes(write_buf))

    def choose(self, chosen: bool) -> None:
        """NSS goes low or high."""
        if chosen == self._is_chosen:
            return
        self._is_chosen = chosen
        if chosen:
            self._chip.stir()
        elif self._chip.awake:
            if self._heard[:1] == bytes([_DATA_WRITE]):
                self._chip.hear(bytes(self._heard[1:]))
            self._chip.end_transaction()
        self._begin()

    def _begin(self) -> None:
        self._heard = bytearray()
        self._given = b""
        self._place = 0

    def _transfer(self, data: bytes) -> bytes:
        byte_us = _BITS_A_BYTE_SPI * 1_000_000 / self._baudrate
        answer = bytearray()
        for byte in data:
            sent = byte if self._firstbit == self.LSB else _turned(byte)
            kind = self._heard[0] if self._heard else sent
            if kind == _STATUS_READ:
                self._time.polled(byte_us + POLL_US / 2)
            else:
                self._time.on_bus(byte_us)
            received = self._one(sent)
            answer.append(received if self._firstbit == self.LSB else _turned(received))
        return bytes(answer)

    def _one(self, sent: int) -> int:
        if not self._is_chosen:
            return _IDLE_LINE
        if not self._chip.is_awake():
            return _ASLEEP
        first = not self._heard
        self._heard.append(sent)
        kind = self._heard[0]
        if first:
            if kind == _DATA_READ:
                frame = self._chip.take()
                self._given = frame.data if frame is not None else b""
            return _IDLE_LINE
        if kind == _STATUS_READ:
            return int(self._chip.is_ready())
        if kind == _DATA_READ:
            self._place += 1
            place = self._place - 1
            return self._given[place] if place < len(self._given) else _BEYOND
        return _IDLE_LINE


class ChipSelect:
    """The pin that chooses the chip on SPI, as `machine.Pin`: low chooses."""

    def __init__(self, spi: Spi) -> None:
        self._spi = spi
        self._level = 1

    def __call__(self, level: int | None = None) -> int | None:
        """As `value`."""
        return self.value(level)

    def init(self, *args: Any, **settings: Any) -> None:
        """As `machine.Pin.init`; of what may be set, `value` is looked at."""
        if "value" in settings:
            self.value(settings["value"])

    def value(self, level: int | None = None) -> int | None:
        """Sets the level, or returns it."""
        if level is None:
            return self._level
        self._level = int(bool(level))
        self._spi.choose(not level)
        return None

    def on(self) -> None:
        """High."""
        self.value(1)

    def off(self) -> None:
        """Low."""
        self.value(0)

    high = on
    low = off


def _turned(byte: int) -> int:
    return int(f"{byte:08b}"[::-1], 2)


class I2c:
    """I2C: the chip answers at 0x24 once it is awake; every read begins with its status.

    nacks_while_busy: it does not acknowledge a read before its answer is ready, as some boards'
    chips do; else its status says so.
    """

    def __init__(
        self, chip: Pn532Double, freq: int = 400_000, nacks_while_busy: bool = False
    ) -> None:
        self._chip = chip
        self._time = chip.time
        self._byte_us = _BITS_A_BYTE_I2C * 1_000_000 / freq
        self.nacks_while_busy = nacks_while_busy

    def scan(self) -> list[int]:
        """Who acknowledges."""
        self._time.on_bus(self._byte_us)
        return [I2C_ADDRESS] if self._chip.stir() else []

    def writeto(self, addr: int, buf: bytes | bytearray | memoryview, stop: bool = True, /) -> int:
        """A frame for the chip. Raises OSError where nobody acknowledges."""
        self._time.on_bus(self._byte_us)
        self._need(addr == I2C_ADDRESS and self._chip.stir())
        self._time.on_bus(self._byte_us * len(buf))
        self._chip.hear(bytes(buf))
        self._chip.end_transaction()
        return len(buf)

    def readfrom_into(self, addr: int, buf: bytearray | memoryview, stop: bool = True, /) -> None:
        """The status, and a frame if there is one: what is not read of it now is gone."""
        self._need(addr == I2C_ADDRESS and self._chip.stir())
        ready = self._chip.is_ready()
        if not ready:
            self._time.polled(self._byte_us * (1 + len(buf)) + POLL_US)
            self._need(not self.nacks_while_busy)
            buf[:] = bytes(len(buf))
            return
        self._time.on_bus(self._byte_us * (1 + len(buf)))
        content = b"\x01"
        if len(buf) > 1:
            frame = self._chip.take()
            assert frame is not None
            content += frame.data
            self._chip.end_transaction()
        buf[:] = (content + bytes([_BEYOND]) * len(buf))[: len(buf)]

    def readfrom(self, addr: int, nbytes: int, stop: bool = True, /) -> bytes:
        """As `readfrom_into`."""
        buffer = bytearray(nbytes)
        self.readfrom_into(addr, buffer)
        return bytes(buffer)

    def _need(self, acknowledged: bool) -> None:
        if not acknowledged:
            self._time.polled(POLL_US)
            raise OSError(errno.ENODEV, "nobody acknowledged")


class InterruptPin:
    """P70_IRQ, as `machine.Pin`: low while a frame waits for the host."""

    def __init__(self, chip: Pn532Double) -> None:
        self._chip = chip

    def __call__(self) -> int:
        """As `value`."""
        return self.value()

    def value(self) -> int:
        """0: ready."""
        self._chip.time.polled(POLL_US)
        return int(not self._chip.is_ready())


class ResetPin:
    """RSTPDN, as `machine.Pin`: low switches the chip off."""

    def __init__(self, chip: Pn532Double) -> None:
        self._chip = chip
        self._level = 1

    def __call__(self, level: int | None = None) -> int | None:
        """As `value`."""
        return self.value(level)

    def value(self, level: int | None = None) -> int | None:
        """Sets the level, or returns it."""
        if level is None:
            return self._level
        self._level = int(bool(level))
        if not level:
            self._chip.reset()
        self._chip.deaf = not level
        return None
