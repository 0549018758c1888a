# SPDX-License-Identifier: Apache-2.0
"""The secure element of tier 2: keys and counter in an ATECC608 (docs/atecc608.md)."""

from firmware.hal.atecc608 import COUNTER_END, Atecc608
from firmware.hal.atecc608_errors import EccFault, ExecutionRefused
from firmware.hal.atecc608_plan import IDENTITY_SLOT, KEY_SLOTS, NotConfigured, is_configured
from firmware.purse.ports import CounterExhausted, Element
from firmware.wire import limits

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTER = 0  # the chip's other counter is spare
_BUS_HZ = 100_000  # the pulse that wakes the chip is made of bits this long
_TRIES = 3  # of a key or a signature whose computation failed; such faults are rare


class AteccElement(Element):
    """A chip that `atecc608_plan.configure` has prepared.

    The purse's slots 0 to TOKEN_KEYS are the chip's that hold keys, in order; where the purse
    asks for a slot beyond them, it is empty and stays so.

    Making one asks the chip nothing. A chip that is silent, or not configured, makes every
    method raise AteccError, an OSError, until it answers; where nothing can be known, nothing
    is assumed.
    """

    TIER = 2
    COUNTER_JUMP = limits.COUNTER_JUMP
    TOKEN_KEYS = len(KEY_SLOTS) - 1

    def __init__(self, chip: Atecc608) -> None:
        self._any_chip = chip
        self._is_fit = False  # not known to be
        self._public_keys: "dict[int, bytes]" = {}  # by the chip's slot; 115 ms each to compute

    @property
    def _chip(self) -> Atecc608:
        """The chip, once it was seen to follow the plan. Raises NotConfigured."""
        if not self._is_fit:
            if not is_configured(self._any_chip):
                raise NotConfigured("the secure element is not configured for a purse")
            self._is_fit = True
        return self._any_chip

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, over any older one; returns its public key.

        The identity's is locked in at once: a second one is refused by the chip.
        """
        place = _place(slot)
        self._public_keys.pop(place, None)
        public_key = _insist(self._chip.generate, place)
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

    def has_key(self, slot: int) -> bool:
        """Whether `sign` will find its key; the public key is not computed for that."""
        return slot < len(KEY_SLOTS) and self._chip.has_key(_place(slot))

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes, new ones each time."""
        return _insist(self._chip.sign, _place(slot), digest)

    def counter(self) -> int:
        """The monotonic counter."""
        return self._chip.counter(_COUNTER)

    def advance(self) -> int:
        """Adds one to the counter, durably, and returns it. Raises CounterExhausted.

        What it returns is what the chip then stands at: more than one up, if its power failed.
        """
        try:
            return self._chip.count_up(_COUNTER)
        except ExecutionRefused:
            if self.counter_is_at_end():
                raise CounterExhausted from None
            raise

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


def _insist(command: "Callable[..., bytes]", *arguments: "int | bytes") -> bytes:
    """A command's answer, which is asked for again after a fault of the computation.

    Neither a key nor a signature has come into being then (data sheet, "Status/Error Codes").
    """
    for _ in range(_TRIES - 1):
        try:
            return command(*arguments)
        except EccFault:
            pass
    return command(*arguments)


def _place(slot: int) -> int:
    """The chip's slot behind the purse's."""
    if not 0 <= slot < len(KEY_SLOTS):
        raise ValueError("slot %d: the secure element holds %d keys" % (slot, len(KEY_SLOTS)))
    return KEY_SLOTS[slot]
