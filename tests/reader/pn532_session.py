# SPDX-License-Identifier: Apache-2.0
"""A card's life at the reader, and a reader's at the card, as one program for both interpreters.

`live` runs the driver on scripted chips over all three buses and gives a line for whatever it is
answered; `main` prints them.
"""

from firmware.reader.bus_hsu import HsuBus
from firmware.reader.bus_i2c import I2cBus
from firmware.reader.bus_spi import SpiBus
from firmware.reader.contactless import Pn532Contactless
from firmware.reader.pn532 import Pn532
from firmware.reader.ports import CardGone, ReaderError
from firmware.reader.target import CardTarget
from tests.reader.pn532_script import (
    ACK,
    ScriptClock,
    ScriptedChip,
    ScriptedI2c,
    ScriptedSpi,
    ScriptedUart,
)


def framed(body: bytes) -> bytes:
    """A frame around a body, reckoned without the driver."""
    size = len(body)
    if size < 256:
        length = bytes([size, (256 - size) % 256])
    else:
        length = bytes([0xFF, 0xFF, size // 256, size % 256, (-(size // 256) - size % 256) % 256])
    return b"\x00\x00\xff" + length + body + bytes([(-sum(body)) % 256, 0])


def answer(text: str, more: bytes = b"") -> "list[bytes]":
    """ACK, and a response from its code on."""
    return [ACK, framed(b"\xd5" + bytes.fromhex(text) + more)]


START = [answer("15"), answer("0332010607"), answer("13")]
CARD = "4b0101000420040102030409" + "7577810280318073"


def bus(kind: str, chip: ScriptedChip, clock: ScriptClock) -> "object":
    """The driver's bus to a scripted chip."""
    if kind == "hsu":
        return HsuBus(ScriptedUart(chip), clock)
    if kind == "spi":
        spi = ScriptedSpi(chip)
        return SpiBus(spi, spi.select, clock)
    return I2cBus(ScriptedI2c(chip), clock)


class Echo:
    """Answers a command with as many bytes as its last one says, and 9000."""

    def process(self, raw: bytes) -> bytes:
        return bytes(raw[-1] * 4) + b"\x90\x00"

    def reset(self) -> None:
        pass


def read(kind: str) -> "list[str]":
    """A reader: a card comes, is asked, is chained to, answers broken, and is torn away."""
    broken = framed(b"\xd5\x41\x00\x90\x00")[:-3] + b"\x55\x55\x00"
    chip = ScriptedChip(*START, answer("33"), answer("33"), answer("33"))
    clock = ScriptClock()
    antenna = Pn532Contactless(Pn532(bus(kind, chip, clock), clock), clock)
    chip.script.extend([answer(CARD), answer("5500")])
    lines = [str(antenna.look()), antenna.historical.hex()]
    chip.script = [answer("4100", b"\x90\x00"), answer("0100")]
    lines.append(antenna.transmit(b"\x00\xa4\x04\x00").hex())
    lines.append(str(antenna.is_there()))
    chip.script = [answer("4100"), answer("4100"), [ACK, broken], answer("4100", b"\x90\x00")[1:]]
    lines.append(antenna.transmit(bytes(700)).hex())
    chip.script = [answer("4140", b"ab"), answer("4101")]
    try:
        antenna.transmit(b"\x00\xb0\x00\x00\x00")
    except CardGone as gone:
        lines.append(str(gone))
    chip.script = [[]]
    try:
        antenna.look()
    except ReaderError as error:
        lines.append(str(error))
    chip.script = list(START)
    chip.script.extend([answer("33"), answer("33"), answer("33"), answer("4b02"), answer("33")])
    lines.append(f"{antenna.look()} {antenna.crowded}")
    lines.extend([frame.hex() for frame in chip.heard])
    return lines


def be_read(kind: str) -> "list[str]":
    """A card: a reader comes, asks for a short and for a long answer, and goes."""
    chip = ScriptedChip(*START, answer("8d08e080"), answer("8700", b"\x01"), answer("8f00"))
    clock = ScriptClock()
    target = CardTarget(Pn532(bus(kind, chip, clock), clock), Echo(), b"\x01\x02\x03", b"\x80")
    lines = [str(target.wait(500)), str(target.answer(500))]
    chip.script = [answer("8700", b"\xff"), answer("9500"), answer("9500"), answer("9500")]
    chip.script += [answer("8f00"), answer("8729")]
    lines += [str(target.answer(500)), str(target.answer(500))]
    lines.extend([frame.hex() for frame in chip.heard])
    return lines


def live() -> "list[str]":
    """Everything, over all three buses."""
    lines = []
    for kind in ("hsu", "spi", "i2c"):
        lines.append(kind)
        lines.extend(read(kind))
        lines.extend(be_read(kind))
    return lines


def main() -> None:
    """Prints it."""
    for line in live():
        print(line)
