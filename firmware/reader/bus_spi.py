# SPDX-License-Identifier: Apache-2.0
"""A PN532 on SPI: mode 0, at most 5 MHz, the lowest bit first. NXP UM0701-02, on the SPI link."""

from firmware.reader.bus import Bus, says_ready
from firmware.reader.pn532_errors import FrameDefect
from firmware.reader.pn532_frame import read_frame

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    from firmware.reader.bus import Clock, Pin

    class Spi(Protocol):
        """What is used of `machine.SPI`."""

        def write(self, data: "bytes | bytearray") -> object: ...
        def readinto(self, buffer: bytearray) -> object: ...


_WRITE = b"\x01"
_STATUS = b"\x02"
_READ = b"\x03"

_WAKE_MS = 2  # T_osc_start is 2 ms at most
_STALE = 4  # frames that a chip may still have to say; it has room for one


class SpiBus(Bus):
    """One chip behind `select`, its NSS, which is low while it is spoken to.

    lsb_first: the bus was built so (`firstbit=SPI.LSB`, which an ESP32's hardware can); without
    it each byte is turned round here. irq: the chip's P70, low while it has something to say;
    without it the chip is asked.
    """

    def __init__(
        self,
        spi: "Spi",
        select: "Pin",
        clock: "Clock",
        lsb_first: bool = False,
        irq: "Pin | None" = None,
    ) -> None:
        Bus.__init__(self, clock)
        self._spi = spi
        self._select = select
        self._irq = irq
        self._turned = b"" if lsb_first else bytes([_turned(byte) for byte in range(256)])
        select.value(1)

    def wake(self) -> None:
        """NSS low is what wakes the chip."""
        self._select.value(0)
        self._clock.sleep_ms(_WAKE_MS)
        self._select.value(1)

    def send(self, frame: bytes) -> None:
        """Sends a frame, once."""
        self._select.value(0)
        try:
            self._write(_WRITE + frame)
        finally:
            self._select.value(1)

    def receive(self, wait_ms: int, size: int) -> "bytes | None":
        """The next frame, or None if none is there in time. Raises FrameDefect."""
        return self._receive() if self._wait(wait_ms) else None

    def clear(self) -> None:
        """Throws away whatever the chip still has to say."""
        for _ in range(_STALE):
            if not self._is_ready():
                return
            try:
                self._receive()
            except FrameDefect:
                pass

    def _receive(self) -> bytes:
        self._select.value(0)
        try:
            self._write(_READ)
            return read_frame(self._read)
        finally:
            self._select.value(1)

    def _is_ready(self) -> bool:
        if self._irq is not None:
            return not self._irq.value()
        self._select.value(0)
        try:
            self._write(_STATUS)
            status = self._read(1)[0]
        finally:
            self._select.value(1)
        return says_ready(status)

    def _write(self, data: bytes) -> None:
        self._spi.write(self._ordered(bytearray(data)))

    def _read(self, size: int) -> bytes:
        data = bytearray(size)
        self._spi.readinto(data)
        return bytes(self._ordered(data))

    def _ordered(self, data: bytearray) -> bytearray:
        """The same bytes, their bits turned round where the bus sends the highest first."""
        if self._turned:
            for index, byte in enumerate(data):
                data[index] = self._turned[byte]
        return data


def _turned(byte: int) -> int:
    turned = 0
    for bit in range(8):
        turned |= (byte >> bit & 1) << (7 - bit)
    return turned
