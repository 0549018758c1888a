# SPDX-License-Identifier: Apache-2.0
"""The PN532's double behind its pseudo-terminal: threads, cards torn out meanwhile, unplugging."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from boards.VIRTUAL.board import VirtualBoard
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_frames import TO_CHIP, Listener, encode
from tests.doubles.pn532_hosts import VERSION, Echo, ask, awake_host, card_in
from tests.doubles.pn532_isodep_card import IsoDepCard
from tests.doubles.pn532_port import Pn532Port

_DEADLINE_S = 20.0


class Client:
    """A program at the other end of the terminal."""

    def __init__(self, port: Pn532Port) -> None:
        self._line = serial.Serial(port.path, timeout=_DEADLINE_S)
        self._line.write(b"\x55\x55" + bytes(14))
        assert self.ask(b"\x14\x01\x00") == b""

    def send(self, command: bytes) -> None:
        self._line.write(encode(command, TO_CHIP))

    def receive(self) -> bytes:
        """What follows the code of the next answer."""
        ear = Listener()
        while data := self._line.read(max(1, self._line.in_waiting)):
            for heard in ear.feed(data):
                if heard.kind == "command":
                    return heard.body[2:]
        raise AssertionError("no answer in time")

    def ask(self, command: bytes) -> bytes:
        self.send(command)
        return self.receive()

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def port() -> Iterator[Pn532Port]:
    """A chip at a terminal."""
    with Pn532Port(Pn532Double()) as made:
        yield made
        assert made.failure is None


@pytest.fixture
def client(port: Pn532Port) -> Iterator[Client]:
    """A program that has woken the chip."""
    made = Client(port)
    yield made
    made.close()


class SlowCard(Echo):
    """It answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.allowed = threading.Event(), threading.Event()

    def transmit(self, command: bytes) -> bytes:
        self.asked.set()
        assert self.allowed.wait(_DEADLINE_S)
        assert not self.resets, "it was reset while it worked"
        return super().transmit(command)


def test_another_program_finds_a_card(port: Pn532Port, client: Client) -> None:
    port.chip.field.put(IsoDepCard(Echo()))
    assert client.ask(b"\x4a\x01\x00")[0] == 1
    assert client.ask(b"\x40\x01abc") == b"\x00abc\x90\x00"
    assert port.chip.time.air_us > 5_000 and port.chip.time.bus_us > 5_000


def test_a_card_comes_while_the_chip_looks(port: Pn532Port, client: Client) -> None:
    card = IsoDepCard(Echo())
    for _ in range(30):  # each time at another moment of its looking
        client.send(b"\x4a\x01\x00")
        port.chip.field.put(card)
        assert client.receive()[0] == 1
        port.chip.field.pull(card)


def test_a_card_is_torn_out_while_it_works(port: Pn532Port, client: Client) -> None:
    slow = SlowCard()
    card = IsoDepCard(slow)
    port.chip.field.put(card)
    assert client.ask(b"\x4a\x01\x00")[0] == 1
    client.send(b"\x40\x01abc")
    assert slow.asked.wait(_DEADLINE_S)
    port.chip.field.pull(card)
    port.chip.field.put(card)
    slow.allowed.set()
    assert client.receive() == b"\x01"
    assert card.executed == [b"abc"] and slow.resets == 1


def test_unplugging_is_heard_at_the_other_end() -> None:
    with Pn532Port(Pn532Double()) as port:
        descriptor = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
    try:
        assert os.read(descriptor, 1) == b"", "it hung up"
    finally:
        os.close(descriptor)


def test_in_real_time_it_takes_its_time() -> None:
    with Pn532Port(Pn532Double(), in_real_time=True) as port:
        client = Client(port)
        begin_s, before_us = time.monotonic(), port.chip.time.now_us
        assert client.ask(b"\x00\x00" + bytes(200)) == b"\x00" + bytes(200)
        waited_us = (time.monotonic() - begin_s) * 1_000_000
        assert waited_us >= port.chip.time.now_us - before_us > 30_000
        client.close()


def test_a_virtual_board_lies_in_the_field(
    port: Pn532Port, client: Client, tmp_path: Path
) -> None:
    image = tmp_path / "card.img"
    build_image(image)
    with VirtualTransport(VirtualBoard(image)) as card:
        port.chip.field.put(IsoDepCard(card))
        assert client.ask(b"\x4a\x01\x00")[0] == 1
        answer = client.ask(b"\x40\x01\x00\xa4\x04\x00\x00")
        assert answer[0] == 0 and len(answer) >= 3
        port.chip.field.pull()
        assert client.ask(b"\x40\x01\x00\xa4\x04\x00\x00") == b"\x01"


@pytest.mark.parametrize("seed", range(40))
def test_l04_noise_makes_no_command_run_twice(seed: int) -> None:
    """Whatever is lost or spoilt: an answer is the right one, and a command ran once at most."""
    print("seed", seed)
    chance = random.Random(seed)
    host = awake_host()
    card = card_in(host)
    card.extensions = [chance.randrange(3) for _ in range(20)]
    card.fsci = chance.randrange(9)

    def interfere(direction: str, data: bytes) -> bytes | None:
        draw = chance.random()
        if draw < 0.08:
            return None
        if draw < 0.16:
            place = chance.randrange(len(data))
            spoilt = bytearray(data)
            spoilt[place] ^= 1 << chance.randrange(8)
            return bytes(spoilt)
        return data

    good = 0
    for number in range(30):
        command = bytes([number]) + chance.randbytes(chance.randrange(2, 200))
        host.chip.field.interfere = interfere
        answer = ask(host, b"\x40\x01" + command)
        host.chip.field.interfere = None
        assert card.executed.count(command) <= 1
        if answer[0] == 0:
            assert answer[1:] == command + b"\x90\x00" and command in card.executed
            good += 1
        else:
            assert answer[0] in (0x01, 0x02, 0x0B) and len(answer) == 1
            assert ask(host, b"\x4a\x01\x00")[0] == 1
    assert good > 0
    assert ask(host, b"\x02") == VERSION[2:]
