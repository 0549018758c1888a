# SPDX-License-Identifier: Apache-2.0
"""The secure element of tier 2: keys and counter in an ATECC608 (docs/atecc608.md)."""

from firmware.hal.atecc608 import COUNTER_END, Atecc608
from firmware.hal.atecc608_plan import IDENTITY_SLOT, KEY_SLOTS
from firmware.purse.ports import CounterExhausted, Element

_COUNTER = 0  # the chip's other counter is spare
_BUS_HZ = 100_000  # the pulse that wakes the chip is made of bits this long


class AteccElement(Element):
    """A chip that `atecc608_plan.configure` has prepared.

    The purse's slots 0 to TOKEN_KEYS are the chip's that hold keys, in order; where the purse
    asks for a slot beyond them, it is empty and stays so.
    """

    TIER = 2
    TOKEN_KEYS = len(KEY_SLOTS) - 1

    def __init__(self, chip: Atecc608) -> None:
        self._chip = chip
        self._public_keys: "dict[int, bytes]" = {}  # by the chip's slot; 115 ms each to compute

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, over any older one; returns its public key.

        The identity's is locked in at once: a second one is refused by the chip.
        """
        place = _place(slot)
        self._public_keys.pop(place, None)
        public_key = self._chip.generate(place)
        if place == IDENTITY_SLOT:
            self._chip.lock_slot(place)
        self._public_keys[place] = public_key
        return public_key

    def public_key(self, slot: int) -> "bytes | None":
        """The public key in `slot`, or None where it is empty."""
        if slot >= len(KEY_SLOTS):
            return None
        place = _place(slot)
        if place not in self._public_keys:
            if not self._chip.has_key(place):
                return None
            self._public_keys[place] = self._chip.public_key(place)
        return self._public_keys[place]

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes, new ones each time."""
        return self._chip.sign(_place(slot), digest)

    def counter(self) -> int:
        """The monotonic counter."""
        return self._chip.counter(_COUNTER)

    def advance(self) -> int:
        """Adds one to the counter, durably, and returns it. Raises CounterExhausted.

        What it returns is what the chip then stands at: more than one up, if its power failed.
        """
        if self.counter_is_at_end():
            raise CounterExhausted
        return self._chip.count_up(_COUNTER)

    def counter_is_at_end(self) -> bool:
        """Whether `advance` would raise."""
        return self.counter() >= COUNTER_END

    def random(self, size: int) -> bytes:
        """Random bytes of the chip's own source."""
        data = b""
        while len(data) < size:  # ends: each round adds 32 bytes
            data += self._chip.random()
        return data[:size]


def open_atecc608(bus: int, scl: int, sda: int) -> Atecc608:
    """The chip on a board's I2C bus with this number, at these pins."""
    import time

    import machine

    i2c = machine.I2C(bus, scl=machine.Pin(scl), sda=machine.Pin(sda), freq=_BUS_HZ)
    return Atecc608(i2c, time)  # type: ignore[arg-type]  # CPython's has no sleep_ms


def _place(slot: int) -> int:
    """The chip's slot behind the purse's."""
    if not 0 <= slot < len(KEY_SLOTS):
        raise ValueError("slot %d: the secure element holds %d keys" % (slot, len(KEY_SLOTS)))
    return KEY_SLOTS[slot]
