# SPDX-License-Identifier: Apache-2.0
"""A chip, its bus and its driver on a bench; and a card whose element is that chip."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware.card.application import Application
from firmware.hal.atecc608 import ADDRESS, Atecc608
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.atecc608_plan import configure
from firmware.purse.purse import Purse
from firmware.storage.memory import BoardMemory
from firmware.storage.migrations import upgrade
from firmware.wire.certificate import ROLE_PURSE, Certificate
from host_bridge.crypto.keys import SigningKey
from tests.doubles.atecc608 import Atecc608Double, Eeprom
from tests.doubles.desk import Desk
from tests.doubles.folder_flash import FolderFlash
from tests.doubles.i2c_bus import I2cBus, SimulatedClock
from tests.doubles.in_process import InProcessCard
from tests.doubles.power import PowerSupply

TIER = 2
DIGEST = bytes(range(32))


class ChipBench:
    """A double of the chip on a bus of its own, and the driver under test."""

    def __init__(self, eeprom: Eeprom | None = None, **chip: int) -> None:
        self.clock = SimulatedClock()
        self.bus = I2cBus(self.clock)
        self.double = Atecc608Double(self.clock, **chip)
        if eeprom is not None:
            self.double.eeprom = copy.copy(eeprom)  # the keys cannot be copied deeply
            self.double.eeprom.config = bytearray(eeprom.config)
            self.double.eeprom.keys = dict(eeprom.keys)
            self.double.eeprom.counters = list(eeprom.counters)
        self.bus.attach(ADDRESS, self.double)
        self.boot()

    def boot(self) -> None:
        """The host starts anew; the chip does not."""
        self.chip = Atecc608(self.bus, self.clock)

    def configured(self) -> ChipBench:
        """Writes the plan and lets the chip sleep."""
        configure(self.chip)
        self.chip.sleep()
        self.double.executed.clear()
        return self

    def accident(self, transaction: int, happens: Callable[[], object]) -> None:
        """Something that happens before the n-th transaction from now."""
        self.bus.accidents[self.bus.transactions + transaction] = happens


class ChipCard(InProcessCard):
    """A card whose flash is a folder and whose element is a chip, which verifies, too."""

    def __init__(self, folder: Path, bench: ChipBench, supply: PowerSupply | None = None) -> None:
        self.bench = bench
        super().__init__(folder, supply)

    def boot(self) -> None:
        """Power was gone, for the host and for the chip."""
        self.bench.bus.cut(0, "")
        self.bench.double.cut_power()
        self.bench.boot()
        flash: Any = FolderFlash(self._folder)
        if self._supply is not None:
            flash = self._supply.wrap(flash)
        self.memory = BoardMemory(flash.files, flash.copies, flash.partition)
        upgrade(self.memory)
        element = self.element = AteccElement(self.bench.chip)
        self.purse = Purse(self.memory, element, element.verify)
        self.application = Application(self.memory, self.purse)


class TierDesk(Desk):
    """A desk that certifies purses of tier 2 and writes their policies."""

    def certify(
        self, signer: SigningKey, key: SigningKey | bytes, role: int, **fields: object
    ) -> Certificate:
        """As any desk, but a purse's tier is 2."""
        if role == ROLE_PURSE:
            fields.setdefault("tier", TIER)
        return super().certify(signer, key, role, **fields)
