# SPDX-License-Identifier: Apache-2.0
"""Cards that count what they do: the firmware in this process, on counting flash and chip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware.card.application import Application
from firmware.hal.atecc608 import Atecc608
from firmware.hal.atecc608_bus import TwoSpeedBus
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.software_element import SoftwareElement
from firmware.purse.ports import Element
from firmware.purse.purse import Purse
from firmware.storage.memory import BoardMemory
from firmware.wire.apdu import COMMAND_NAMES
from host_bridge.bench.chip import ChipClock, TimedChip
from host_bridge.bench.counts import Counts, Watch
from host_bridge.bench.flash import CountedFlash
from host_bridge.closing import Closing
from host_bridge.crypto import p256
from host_bridge.demo.cards import BoardMaker, Card
from host_bridge.transport.base import Traffic, Transport

Verify = Callable[[bytes, bytes, bytes], bool]

_ASLEEP_MS = 10_000  # between two taps: long enough for a chip's watchdog


@dataclass(frozen=True)
class Step:
    """One APDU there and back, and what the card did for it where that was counted."""

    command: bytes
    response: bytes
    counts: Counter[str]
    chip_ms: float = 0.0  # that the card waited for its chip: commands, bus, wakes and polls

    @property
    def name(self) -> str:
        """Of the command."""
        return COMMAND_NAMES[self.command[1]]


class Recorded(Closing):
    """A transport that keeps every APDU of a tap."""

    def __init__(self, inner: Transport, steps: list[Step]) -> None:
        self._inner = inner
        self._steps = steps

    @property
    def traffic(self) -> Traffic:
        """The transport's own."""
        return self._inner.traffic

    def transmit(self, command: bytes) -> bytes:
        """Passes one command on."""
        response = self._inner.transmit(command)
        self._steps.append(Step(command, response, Counter()))
        return response

    def reset(self) -> str:
        """Begins a new tap."""
        return self._inner.reset()

    def close(self) -> None:
        """Lets the card go."""
        self._inner.close()


class BoardUnderTest:
    """A virtual board whose taps are kept; `steps` are those since it was last emptied."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self.steps: list[Step] = []

    def open(self) -> Transport:
        """Into the field."""
        return Recorded(self._card.open(), self.steps)

    def cut_power(self) -> None:
        """As when a battery dies."""
        self._card.cut_power()

    def copy(self, copy_id: str) -> Card:
        """Never: a bench has one card."""
        raise NotImplementedError

    def heap_live(self) -> int | None:
        """Asks the board."""
        return self._card.heap_live()

    def close(self) -> None:
        """Stops the board."""
        self._card.close()


class CountingCard(Closing):
    """A purse on a flash image, with the element of one of KINDS; a chip verifies, too.

    times_ms: of the chip's commands, by name. It is its own transport.
    """

    KINDS = ("software", "chip")

    def __init__(self, kind: str, image: bytes, times_ms: Mapping[str, float]) -> None:
        self._kind = kind
        self._counts = Counts()
        self._watch = Watch(self._counts)
        self._flash = CountedFlash(image, self._counts)
        self._clock = ChipClock()
        self._bus = TimedChip(self._clock, times_ms, self._counts)
        self.steps: list[Step] = []
        self.at_rest: list[Counter[str]] = []  # behind each answer
        self._boot()

    def _boot(self) -> None:
        memory = BoardMemory(self._flash.files, self._flash.copies, self._flash.partition)
        element, self._check = self._element(memory)
        self._purse = Purse(memory, element, self._verify)
        self._application = Application(memory, self._purse)
        self.traffic = Traffic()
        self._counts.taken()

    def _element(self, memory: BoardMemory) -> tuple[Element, Verify]:
        """The element, and who verifies, as `firmware.apps.card` chooses them."""
        if self._kind == "software":
            return SoftwareElement(memory.keys, memory.counter), p256.verify
        chip = AteccElement(Atecc608(TwoSpeedBus(self._bus.open_at), self._clock))
        return chip, chip.verify

    def _verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        self._counts.add("verify")
        return self._check(public_key, digest, signature)

    def transmit(self, command: bytes) -> bytes:
        """One APDU, with everything that is done for its answer counted."""
        before_us = self._clock.now_us
        with self._watch.running():
            response = self._application.process(command)
        chip_ms = (self._clock.now_us - before_us) / 1000
        self.steps.append(Step(command, response, self._counts.taken(), chip_ms))
        self._application.rest()
        self.at_rest.append(self._counts.taken())
        self.traffic.count(command, response, 0.0)
        return response

    def reset(self) -> str:
        """A new tap, a while after the last one."""
        self._clock.sleep_ms(_ASLEEP_MS)
        self._application.reset()
        return "counting"

    def open(self) -> Transport:
        """Into the field."""
        self.reset()
        return self

    def cut_power(self) -> None:
        """RAM is gone; flash and chip stay."""
        self._boot()

    def copy(self, copy_id: str) -> Card:
        """Never: a bench has one card."""
        raise NotImplementedError

    def heap_live(self) -> int | None:
        """It has no heap of its own."""
        return None

    def close(self) -> None:
        """Nothing to let go."""


class BoardBench:
    """Where the one virtual board comes from; `card` is it, once it was made."""

    def __init__(self, folder: Path) -> None:
        self._maker = BoardMaker(folder)

    def blank(self, card_id: str, bits: int) -> Card:
        """A board whose taps are kept."""
        self.card = BoardUnderTest(self._maker.blank(card_id, bits))
        return self.card


class CountingBench:
    """Where the one counting card comes from."""

    def __init__(self, kind: str, image: bytes, times_ms: Mapping[str, float]) -> None:
        self.card = CountingCard(kind, image, times_ms)

    def blank(self, card_id: str, bits: int) -> Card:
        """It was made already."""
        return self.card
