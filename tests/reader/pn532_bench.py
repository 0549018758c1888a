# SPDX-License-Identifier: Apache-2.0
"""A scripted chip on one of the three buses, with the driver's bus and link to it."""

from __future__ import annotations

from firmware.reader.bus import Bus
from firmware.reader.bus_hsu import HsuBus
from firmware.reader.bus_i2c import I2cBus
from firmware.reader.bus_spi import SpiBus
from firmware.reader.pn532 import Pn532
from tests.reader.pn532_script import (
    ACK,
    ScriptClock,
    ScriptedChip,
    ScriptedI2c,
    ScriptedSpi,
    ScriptedUart,
)

BUSES = ("hsu", "spi", "i2c")

# Written out by hand from UM0701-02, 6.2.1 and 7.2.2.
GET_FIRMWARE_VERSION = bytes.fromhex("0000ff02fed4022a00")
FIRMWARE_VERSION = bytes.fromhex("0000ff06fad50332010607e800")
SAM_CONFIGURATION = bytes.fromhex("0000ff05fbd4140100011600")
SAM_CONFIGURED = bytes.fromhex("0000ff02fed5151600")
START = [[ACK, SAM_CONFIGURED], [ACK, FIRMWARE_VERSION]]


def framed(body: bytes) -> bytes:
    """A frame around a body, reckoned without the driver."""
    size = len(body)
    if size < 256:
        length = bytes([size, (256 - size) % 256])
    else:
        high, low = divmod(size, 256)
        length = bytes([0xFF, 0xFF, high, low, (-high - low) % 256])
    return b"\x00\x00\xff" + length + body + bytes([(-sum(body)) % 256, 0])


def command(text: str, more: bytes = b"") -> bytes:
    """The frame of a command; hexadecimal, from its code on."""
    return framed(b"\xd4" + bytes.fromhex(text) + more)


def answer(text: str, more: bytes = b"") -> list[bytes]:
    """What a chip says to a command: ACK, and a response from its code on."""
    return [ACK, framed(b"\xd5" + bytes.fromhex(text) + more)]


class Bench:
    """`chip` is the script, `pn532` the driver on it."""

    def __init__(self, kind: str, *script: list[bytes]) -> None:
        self.chip = ScriptedChip(*script)
        self.clock = ScriptClock()
        self.uart = ScriptedUart(self.chip)
        self.spi = ScriptedSpi(self.chip)
        self.i2c = ScriptedI2c(self.chip)
        self.bus = self._bus(kind)
        self.pn532 = Pn532(self.bus, self.clock)
        self.link = self.pn532.link

    def _bus(self, kind: str) -> Bus:
        if kind == "hsu":
            return HsuBus(self.uart, self.clock)
        if kind == "spi":
            return SpiBus(self.spi, self.spi.select, self.clock)
        return I2cBus(self.i2c, self.clock)
