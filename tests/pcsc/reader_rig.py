# SPDX-License-Identifier: Apache-2.0
"""The whole chain: pcscd, libccid, the reader's firmware in MicroPython, a PN532, a card.

The PN532 is its double behind a pseudo-terminal; the card is a MicroPython board in its field.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from boards.VIRTUAL.reader import VirtualReader
from host_bridge.closing import Closing
from host_bridge.demo.cards import BoardCard
from host_bridge.transport.monitor import ReaderMonitor
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.pcsc_context import ReaderInfo
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_isodep_card import Application, IsoDepCard
from tests.doubles.pn532_port import Pn532Port
from tests.pcsc.service import PcscService, twin_reader

_NOTICED_S = 20.0  # a deadline, not a promise


class ReaderRig(Closing):
    """One reader with an empty field, seen by pcscd, until `close`."""

    def __init__(self, folder: Path, *, bits: int = 64, debug: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.chip = Pn532Double()
        self.log = folder / "reader.log"
        with ExitStack() as stack:
            port = stack.enter_context(Pn532Port(self.chip))
            self.reader = stack.enter_context(VirtualReader(port.path, bits=bits, log=self.log))
            entry = twin_reader(self.reader.port)
            self.service = PcscService(folder / "pcscd", [entry], debug=debug)
            stack.enter_context(self.service)
            self._monitor = stack.enter_context(ReaderMonitor())
            (only,) = self._monitor.readers
            self.name = only.name
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Takes it apart."""
        self._stack.close()
        print(f"--- the reader's log ---\n{self.log.read_text()}")

    def lay(self, card: IsoDepCard) -> None:
        """Puts a card into the field, and waits until pcscd has noticed."""
        self.chip.field.put(card)
        self.wait_for(True)

    def lift(self, card: IsoDepCard | None = None) -> None:
        """Takes a card, or all of them, out of the field, and waits until pcscd has noticed."""
        self.chip.field.pull(card)
        self.wait_for(False)

    def wait_for(self, has_card: bool) -> None:
        """Until pcscd says that there is a card, or none."""

        def is_so(readers: list[ReaderInfo]) -> bool:
            return [reader.has_card for reader in readers] == [has_card]

        self._monitor.wait_until(is_so, _NOTICED_S)

    def open(self) -> PcscTransport:
        """The card, through PC/SC."""
        return PcscTransport(self.name)


class FieldCard(Closing):
    """A MicroPython board as a contactless card. In the field it has power; torn out, none."""

    def __init__(self, rig: ReaderRig, board: BoardCard) -> None:
        self._rig = rig
        self._board = board
        self.card: IsoDepCard | None = None

    def lay(self, tear: tuple[int, str] | None = None) -> None:
        """Lays it down; it may be torn out in the n-th of its APDUs, at a moment of TEARS."""
        self.card = IsoDepCard(self._board.open())
        if tear is not None:
            self.card.tear(self._rig.chip.field, *tear)
        self._rig.lay(self.card)

    def lift(self) -> None:
        """Takes it away, if it was not torn out, and its power with it."""
        self._rig.lift(None)
        self._board.cut_power()

    def close(self) -> None:
        """Switches the board off."""
        self._board.close()

    def __enter__(self) -> Self:
        return self


def application(answer: bytes) -> Application:
    """A card's program with one answer for everything."""

    class Same:
        def transmit(self, command: bytes) -> bytes:
            return answer

        def reset(self) -> None:
            """It remembers nothing."""

    return Same()
