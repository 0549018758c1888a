# SPDX-License-Identifier: Apache-2.0
"""Hosts of a PN532 for the double's own tests: as plain as can be, one for each link."""

from __future__ import annotations

from typing import Protocol

from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_buses import ChipSelect, I2c, Spi, Uart
from tests.doubles.pn532_frames import ACK, NAK, SYNTAX_ERROR, TO_CHIP, Listener, encode
from tests.doubles.pn532_isodep_card import IsoDepCard

VERSION = bytes.fromhex("d50332010607")  # the whole answer to GetFirmwareVersion
_POLLS_MAX = 200_000
UID_1, UID_2 = bytes.fromhex("04a1b2c3d4e5f6"), bytes.fromhex("04a1b2c3d4e5f7")


class Echo:
    """Answers a command with itself and 9000; one of two bytes with so much data."""

    def __init__(self) -> None:
        self.resets = 0

    def transmit(self, command: bytes) -> bytes:
        if len(command) == 2:
            return bytes(index & 0xFF for index in range(int.from_bytes(command, "big")))
        return command + b"\x90\x00"

    def reset(self) -> None:
        self.resets += 1


class Host(Protocol):
    """A way to the chip: a frame there, the next frame back."""

    chip: Pn532Double

    def send(self, frame: bytes) -> None: ...

    def receive(self) -> bytes: ...


class HsuHost:
    def __init__(self, chip: Pn532Double) -> None:
        self.chip = chip
        self.uart = Uart(chip, timeout=1_000, timeout_char=5)
        self.uart.write(b"\x55\x55" + bytes(14))

    def send(self, frame: bytes) -> None:
        self.uart.write(frame)

    def receive(self) -> bytes:
        data = self.uart.read(6) or b""
        if data in (ACK, NAK) or len(data) < 6:
            return data
        return data + (self.uart.read() or b"")


class SpiHost:
    def __init__(self, chip: Pn532Double, firstbit: int = Spi.LSB) -> None:
        self.chip = chip
        self.spi = Spi(chip, firstbit=firstbit)
        self.select = ChipSelect(self.spi)
        self.transact(b"\x02", 1)
        chip.time.sleep_ms(2)

    def transact(self, data: bytes, size: int = 0) -> bytes:
        self.select(0)
        self.spi.write(data)
        answer = self.spi.read(size)
        self.select(1)
        return answer

    def send(self, frame: bytes) -> None:
        self.transact(b"\x01" + frame)

    def receive(self) -> bytes:
        for _ in range(_POLLS_MAX):
            if self.transact(b"\x02", 1) == b"\x01":
                return self.transact(b"\x03", 300)
        return b""


class I2cHost:
    def __init__(self, chip: Pn532Double) -> None:
        self.chip = chip
        self.i2c = I2c(chip)
        assert not self.i2c.scan(), "it hears its address, and wakes"
        chip.time.sleep_ms(2)

    def send(self, frame: bytes) -> None:
        self.i2c.writeto(0x24, frame)

    def receive(self) -> bytes:
        for _ in range(_POLLS_MAX):
            if self.i2c.readfrom(0x24, 1) == b"\x01":
                return self.i2c.readfrom(0x24, 300)[1:]
        return b""


def body(frame: bytes) -> bytes:
    """What a frame holds, read with the chip's own ear."""
    (heard,) = Listener().feed(frame)
    assert heard.kind == "command"
    return heard.body


def ask(host: Host, command: bytes) -> bytes:
    """One command, its answer after the code; SYNTAX_ERROR for an error frame."""
    host.send(encode(command, TO_CHIP))
    assert host.receive()[:6] == ACK
    answer = host.receive()
    if answer[:8] == SYNTAX_ERROR:
        return SYNTAX_ERROR
    content = body(answer)
    assert content[:2] == bytes([0xD5, command[0] + 1])
    return content[2:]


def awake_host() -> HsuHost:
    """A chip in normal mode that gives up looking at once."""
    made = HsuHost(Pn532Double())
    assert ask(made, b"\x14\x01\x00") == b""
    assert ask(made, b"\x32\x05\xff\x01\x00") == b""
    return made


def card_in(host: Host, uid: bytes = UID_1) -> IsoDepCard:
    """A card, put in the field and activated."""
    card = IsoDepCard(Echo(), uid)
    host.chip.field.put(card)
    assert ask(host, b"\x4a\x01\x00")[0] == 1
    return card
