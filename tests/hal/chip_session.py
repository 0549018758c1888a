# SPDX-License-Identifier: Apache-2.0
"""What a purse asks of its chip in a life, as one program for both interpreters.

Under MicroPython `play` takes the bus from a file of recorded events, one a line, and prints what
it was answered; any byte that the driver sends otherwise than recorded ends it.
"""

import json

from firmware.hal.atecc608 import Atecc608
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.atecc608_errors import ExecutionRefused
from firmware.hal.atecc608_plan import configure, is_configured
from firmware.purse.ports import CounterExhausted

DIGEST = bytes(range(32))


class Player:
    """Bus and clock, from what was recorded. file: its lines are read as they are needed."""

    def __init__(self, file: "object") -> None:
        self._file = file

    @property
    def is_over(self) -> bool:
        """Whether everything was played."""
        return not self._file.readline()

    def _next(self, *expected: object) -> object:
        event = json.loads(self._file.readline())
        if tuple(event[:-1]) != expected:
            raise AssertionError(f"{expected}, recorded was {event}")
        return event[-1]

    def writeto(self, address: int, data: "bytes | memoryview") -> int:
        """Must be the bytes that were recorded."""
        if not self._next("w", address, bytes(data).hex()):
            raise OSError(19)
        return len(data)

    def readfrom_into(self, address: int, buffer: "bytearray | memoryview") -> None:
        """Gives the bytes that were recorded."""
        data = self._next("r", address, len(buffer))
        if data is None:
            raise OSError(19)
        buffer[:] = bytes.fromhex(str(data))

    def sleep_ms(self, duration_ms: int) -> None:
        """Nothing to wait for."""

    def ticks_ms(self) -> int:
        """The time that was recorded."""
        return int(str(self._next("t")))

    def ticks_diff(self, end_ms: int, start_ms: int) -> int:
        """Milliseconds from start to end."""
        return end_ms - start_ms


def live(bus: "object", clock: "object") -> "list[str]":
    """One line an answer: from the factory to the end of the counter."""
    chip = Atecc608(bus, clock)
    lines = [chip.revision().hex(), str(is_configured(chip))]
    configure(chip)
    lines.append(str(is_configured(chip)))
    element = AteccElement(chip)
    for slot in (0, 1, 14):
        key = element.generate(slot)
        signature = element.sign(slot, DIGEST)
        good = chip.verify(key, DIGEST, signature), chip.verify(key, bytes(32), signature)
        lines.append(f"{key.hex()} {signature.hex()} {good}")
    lines.append(str(element.public_key(1) == AteccElement(chip).public_key(1)))
    lines.append(f"{element.public_key(2)} {element.public_key(16)}")
    lines.append(element.random(40).hex())
    lines.append(str([element.counter(), element.advance(), element.advance()]))
    try:
        element.generate(0)
    except ExecutionRefused as refused:
        lines.append(str(refused))
    try:
        lines.append(str(element.advance()))
        element.advance()
    except CounterExhausted:
        lines.append("exhausted")
    return lines


def play(path: str) -> None:
    """Plays a file of recorded events."""
    with open(path) as file:
        player = Player(file)
        for line in live(player, player):
            print(line)
        print("over" if player.is_over else "more was recorded")
