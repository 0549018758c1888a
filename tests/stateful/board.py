# SPDX-License-Identifier: Apache-2.0
"""The firmware's card on a flash in RAM, with a power supply that can fail at any write."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from firmware.card.application import Application
from firmware.hal.software_element import COUNTER_END, SoftwareElement
from firmware.purse.purse import Purse
from firmware.storage.memory import BoardMemory
from firmware.wire.certificate import Certificate
from firmware.wire.policy import Policy
from host_bridge.closing import Closing
from host_bridge.crypto import p256
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.secure_channel import DEFAULT_KEYS, diversify
from host_bridge.transport.base import Traffic
from tests.doubles import plain_records as records
from tests.doubles.power import PowerCut, PowerSupply
from tests.doubles.ram_flash import RamFlash
from tests.stateful import town

SLOTS = range(1, 17)
_verify = lru_cache(maxsize=8192)(p256.verify)  # the same certificates come again and again


class DrawnElement(SoftwareElement):
    """The software element, with keys that a test can draw again and a counter that can jump.

    draw(slot): the private key to make. is_real: whether it signs with the firmware's own code.
    """

    draw: Callable[[int], bytes]
    is_real = True
    jump = 0

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, as the real one does but for the draw."""
        secret = self.draw(slot)
        self._store.replace(f"key.{slot:02}", secret + records.public_key(secret))
        return records.public_key(secret)

    def secret(self, slot: int) -> bytes:
        """The private key in a slot; some other one where there is none."""
        record = self._store.read(f"key.{slot:02}")
        return town.secret("none") if record is None else record[:32]

    def sign(self, slot: int, digest: bytes) -> bytes:
        """The same bytes as the firmware's own signature, sooner."""
        if self.is_real:
            return super().sign(slot, digest)
        return p256.sign(self.secret(slot), digest)

    def advance(self) -> int:
        """Adds one, or more where a chip's counter would jump."""
        self._value = min(self.counter() + self.jump, max(COUNTER_END - 1, self.counter()))
        return super().advance()


class Board(Closing):
    """A card. `process` and `boot` may end in a PowerCut if the supply is armed."""

    def __init__(self, flash: RamFlash, draw: Callable[[int], bytes], is_real: bool) -> None:
        self.supply = PowerSupply()
        self.traffic = Traffic()
        self._flash = self.supply.wrap(flash)
        self._draw = draw
        self.drawn_slot = 0  # where the newest key was drawn
        self._is_real = is_real
        self.jump = 0
        self.boot()

    def boot(self) -> None:
        """Power comes back: all objects are built anew."""
        flash: Any = self._flash
        memory = BoardMemory(flash.files, flash.copies, flash.partition)
        self.element = DrawnElement(memory.keys, memory.counter)
        self.element.draw = self._draw_key
        self.element.is_real = self._is_real
        self.purse = Purse(memory, self.element, _verify)
        self.application = Application(memory, self.purse)

    def _draw_key(self, slot: int) -> bytes:
        self.drawn_slot = slot
        return self._draw(slot)

    def process(self, apdu: bytes) -> bytes:
        """The answer to a command."""
        self.element.jump = self.jump
        return self.application.process(apdu)

    def transmit(self, apdu: bytes) -> bytes:
        """The same for the host's sessions."""
        return self.application.process(apdu)

    def reset(self) -> str:
        """A new tap."""
        self.application.reset()
        return "in RAM"

    def close(self) -> None:
        """Nothing to let go."""

    def facts(self) -> dict[str, object]:
        """What `plain_state.State.facts` says of the other purse."""
        purse, state, journal = self.purse, self.purse.state, self.purse.journal
        own = purse.profile.bank.raw
        keys = {slot: self.element.public_key(slot) for slot in SLOTS}
        notes = [
            (one.slot, purse.note_of(one.parent)[1], one.start, one.seq) for one in purse.held
        ]
        return {
            "damage": purse.damage,
            "lifecycle": purse.profile.lifecycle,
            "access": (state["pin"].rstrip(b"\0"), state["pin_tries"], state["puk_tries"]),
            "policy": purse.profile.policy.raw,
            "counter": self.element.counter(),
            "sync": (journal.acknowledged, journal.last_sync, journal.anchor),
            "head": journal.head,
            "since": (journal.since.total, journal.since.count, journal.since.pinless),
            "notes": sorted(notes),
            "keys": {slot: key for slot, key in keys.items() if key is not None},
            "known": sorted(one.raw for one in purse.profile.trust.known if one.raw != own),
        }


@cache
def issued() -> RamFlash:
    """The flash of a card that Bank A has just personalised; to be copied."""
    flash = RamFlash()
    card = Board(flash, lambda slot: town.secret("identity"), True)
    session = IssuerSession(card)
    session.select()
    session.open(DEFAULT_KEYS)
    assert session.identity_key() == town.key("identity")
    session.personalise(
        Personalisation(
            root=town.key("root"),
            bank=Certificate.parse(town.BANK_A),
            purse=Certificate.parse(town.OWN),
            view_key=town.VIEW_KEY,
            pin=town.PIN.decode(),
            puk=town.PUK.decode(),
            policy=Policy.parse(town.first_policy()),
            channel_keys=diversify(bytes(32), town.SERIAL),
        )
    )
    return flash


__all__ = ["Board", "PowerCut", "issued"]
