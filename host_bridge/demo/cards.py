# SPDX-License-Identifier: Apache-2.0
"""The cards of a scenario: each a real MicroPython on a flash image of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from boards.VIRTUAL.board import VirtualBoard
from firmware.wire.apdu import INS_PAY
from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, Traffic, Transport
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image


class Card(Protocol):
    """A card that can be held to a till, cut off, copied by a thief, and looked into."""

    def open(self) -> Transport:
        """Into the till's field."""

    def cut_power(self) -> None:
        """As when a battery dies: the processor stops where it stands."""

    def copy(self, copy_id: str) -> Card:
        """What a thief makes of it: another card with the same memory, keys included."""

    def heap_live(self) -> int | None:
        """The heap that it holds between commands, in bytes, where it can tell."""

    def close(self) -> None:
        """The end of the scenario."""


class CardMaker(Protocol):
    """Where blank cards come from."""

    def blank(self, card_id: str, bits: int) -> Card:
        """A new card with nothing on it but its firmware."""


class BoardCard:
    """A virtual board: a MicroPython process on a flash-image file."""

    def __init__(self, image: Path, bits: int) -> None:
        self._image = image
        self._bits = bits
        self._board = VirtualBoard(image, bits=bits, log=image.with_suffix(".log"))

    def open(self) -> Transport:
        """Starts the board if it is off, and opens its port."""
        if not self._board.alive:
            self._board.start()
        return VirtualTransport(self._board)

    def cut_power(self) -> None:
        """kill -9: what was in RAM is gone, what was in flash stays."""
        self._board.kill()

    def copy(self, copy_id: str) -> BoardCard:
        """Another board on a copy of the flash image."""
        self._board.stop()
        image = self._image.with_name(f"{copy_id}.img")
        shutil.copyfile(self._image, image)
        return BoardCard(image, self._bits)

    def heap_live(self) -> int | None:
        """Asks the running board; None if it is off."""
        if not self._board.alive:
            return None
        with VirtualTransport(self._board) as transport:
            return transport.stats().used_now

    def close(self) -> None:
        """Stops the board."""
        self._board.stop()


class BoardMaker:
    """Makes cards on virtual boards in one folder, all from one flash image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blank = folder / "blank.img"

    def blank(self, card_id: str, bits: int) -> BoardCard:
        """A copy of the blank image; it is built at the first call."""
        if not self._blank.exists():
            build_image(self._blank)
        image = self._folder / f"{card_id}.img"
        shutil.copyfile(self._blank, image)
        return BoardCard(image, bits)


class TornTransport(Closing):
    """A tap that ends badly, at the PAY of one payment.

    `before`: the card is gone before PAY reaches it. `after`: it has paid, and its answer is
    lost. `power`: it has paid, and its power fails before the answer can be kept.
    """

    def __init__(self, card: Card, tear: str) -> None:
        self._card = card
        self._inner = card.open()
        self._tear = tear

    @property
    def traffic(self) -> Traffic:
        """What went over the link before it was torn."""
        return self._inner.traffic

    def transmit(self, command: bytes) -> bytes:
        """Passes everything on but the PAY that is to be torn."""
        if command[1] != INS_PAY:
            return self._inner.transmit(command)
        if self._tear != "before":
            self._inner.transmit(command)
        if self._tear == "power":
            self._card.cut_power()
        raise LinkLost("The card was taken away too early.")

    def reset(self) -> str:
        """A new tap."""
        return self._inner.reset()

    def close(self) -> None:
        """Lets the card go."""
        self._inner.close()
