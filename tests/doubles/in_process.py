# SPDX-License-Identifier: Apache-2.0
"""The firmware's card application inside this interpreter, behind the host's transport.

It stands for the link and the flash only; the application, the purse and the storage are the
firmware's own. Boards with the real MicroPython are in `tests/links` and `tests/system`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from firmware.card.application import Application
from firmware.hal.software_element import SoftwareElement
from firmware.purse.ports import Element
from firmware.purse.purse import Purse
from firmware.storage.memory import BoardMemory
from firmware.storage.migrations import upgrade
from host_bridge.closing import Closing
from host_bridge.crypto import p256
from host_bridge.transport.base import LinkLost, Traffic
from tests.doubles.folder_flash import FolderFlash
from tests.doubles.power import PowerSupply


class InProcessCard(Closing):
    """A card whose flash is a folder. `boot` is what power coming back does.

    supply: what the flash gets its power from, for tests of power cuts.
    """

    def __init__(self, folder: Path, supply: PowerSupply | None = None) -> None:
        self._folder = folder
        self._supply = supply
        self.traffic = Traffic()
        self.lose_next_answer = False
        folder.mkdir(exist_ok=True)
        self.boot()

    def boot(self) -> None:
        """Starts the firmware anew from what the flash holds."""
        flash: Any = FolderFlash(self._folder)
        if self._supply is not None:
            flash = self._supply.wrap(flash)
        self.memory = BoardMemory(flash.files, flash.copies, flash.partition)
        upgrade(self.memory)
        self.element = self.build_element()
        self.purse = Purse(self.memory, self.element, p256.verify)
        self.application = Application(self.memory, self.purse)

    def build_element(self) -> Element:
        """The secure element; a card with a chip has another one."""
        return SoftwareElement(self.memory.keys, self.memory.counter)

    def flash(self) -> dict[str, bytes]:
        """Every byte that the card keeps, by file."""
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in files}

    def transmit(self, command: bytes) -> bytes:
        """One APDU; with `lose_next_answer` the card acts and the answer is torn away."""
        answer = self.application.process(command)
        self.application.rest()
        if self.lose_next_answer:
            self.lose_next_answer = False
            self.application.reset()
            raise LinkLost("The card was taken away.")
        self.traffic.count(command, answer, 0.0)
        return answer

    def reset(self) -> str:
        """A new tap."""
        self.application.reset()
        return "in-process"

    def close(self) -> None:
        """Nothing to let go."""


class InProcessMaker:
    """Cards for a scenario, where two hundred worlds are wanted and boards would take hours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def blank(self, card_id: str, bits: int) -> ScenarioCard:
        """A new card; the bits are those of this interpreter."""
        return ScenarioCard(self._folder / card_id)


class ScenarioCard:
    """A card in a scenario (`host_bridge.demo.cards.Card`) on an `InProcessCard`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._card = InProcessCard(folder)

    def open(self) -> InProcessCard:
        """Into the field: traffic counts from here."""
        self._card.traffic = Traffic()
        self._card.reset()
        return self._card

    def cut_power(self) -> None:
        """RAM is gone; what the folder holds stays."""
        self._card.boot()

    def copy(self, copy_id: str) -> ScenarioCard:
        """Another card on a copy of the folder."""
        folder = self._folder.with_name(copy_id)
        shutil.copytree(self._folder, folder)
        return ScenarioCard(folder)

    def heap_live(self) -> int | None:
        """There is no heap of its own to measure."""
        return None

    def close(self) -> None:
        """Nothing to stop."""
