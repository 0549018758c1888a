# SPDX-License-Identifier: Apache-2.0
"""The driver on the chip's double, which was written apart from it, over any of the buses."""

from __future__ import annotations

from collections.abc import Callable

from firmware.reader.bus import Bus
from firmware.reader.bus_hsu import HsuBus
from firmware.reader.bus_i2c import I2cBus
from firmware.reader.bus_spi import SpiBus
from firmware.reader.contactless import Pn532Contactless
from firmware.reader.pn532 import Pn532
from firmware.reader.target import CardTarget
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_buses import ChipSelect, I2c, InterruptPin, Spi, Uart
from tests.doubles.pn532_isodep_card import IsoDepCard
from tests.doubles.pn532_target import OtherReader

PAY = bytes.fromhex("8032000004") + b"pay!"


class Counting:
    """An application that answers the number of the command, and counts what it executes."""

    def __init__(self) -> None:
        self.executed: list[bytes] = []
        self.resets = 0
        self.answer: Callable[[bytes], bytes] = lambda command: (
            len(self.executed).to_bytes(2, "big") + b"\x90\x00"
        )

    def transmit(self, command: bytes) -> bytes:
        """One APDU."""
        self.executed.append(command)
        return self.answer(command)

    process = transmit

    def reset(self) -> None:
        """A new reader."""
        self.resets += 1


def hsu(chip: Pn532Double) -> Bus:
    """A UART at 115,200 baud."""
    return HsuBus(Uart(chip), chip.time)


def spi(chip: Pn532Double) -> Bus:
    """SPI whose hardware sends the lowest bit first."""
    bus = Spi(chip)
    return SpiBus(bus, ChipSelect(bus), chip.time, lsb_first=True)


def spi_msb(chip: Pn532Double) -> Bus:
    """SPI that sends the highest bit first."""
    bus = Spi(chip, firstbit=Spi.MSB)
    return SpiBus(bus, ChipSelect(bus), chip.time)


def spi_irq(chip: Pn532Double) -> Bus:
    """SPI with the chip's IRQ line."""
    bus = Spi(chip)
    return SpiBus(bus, ChipSelect(bus), chip.time, lsb_first=True, irq=InterruptPin(chip))


def i2c(chip: Pn532Double) -> Bus:
    """I2C, 400 kHz."""
    return I2cBus(I2c(chip), chip.time)


def i2c_busy(chip: Pn532Double) -> Bus:
    """I2C with a chip that does not acknowledge while it is busy."""
    return I2cBus(I2c(chip, freq=100_000, nacks_while_busy=True), chip.time)


BUSES = {bus.__name__: bus for bus in (hsu, spi, spi_msb, spi_irq, i2c, i2c_busy)}
THREE = ("hsu", "spi", "i2c")


class Rig:
    """A chip, a card that counts, and the driver."""

    def __init__(self, kind: str) -> None:
        self.chip = Pn532Double()
        self.application = Counting()
        self.card = IsoDepCard(self.application)
        self.pn532 = Pn532(BUSES[kind](self.chip), self.chip.time)
        self.antenna = Pn532Contactless(self.pn532, self.chip.time)

    def with_card(self) -> Rig:
        """The card is there and was found."""
        self.chip.field.put(self.card)
        assert self.antenna.look()
        return self

    def seconds(self, began_us: int) -> float:
        """Since then."""
        return (self.chip.time.now_us - began_us) / 1_000_000


class CardRig:
    """A chip that is a card, and another reader."""

    def __init__(self, kind: str) -> None:
        self.chip = Pn532Double()
        self.reader = OtherReader(self.chip)
        self.application = Counting()
        self.pn532 = Pn532(BUSES[kind](self.chip), self.chip.time)
        self.target = CardTarget(self.pn532, self.application, b"\x01\x02\x03", b"\x80\x31")
