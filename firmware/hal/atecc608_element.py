# SPDX-License-Identifier: Apache-2.0
"""The secure element of tier 2: keys and counter in an ATECC608 (docs/atecc608.md)."""

from firmware.crypto import p256
from firmware.hal.atecc608 import COUNTER_END, Atecc608
from firmware.hal.atecc608_bus import TwoSpeedBus
from firmware.hal.atecc608_errors import EccFault, ExecutionRefused
from firmware.hal.atecc608_plan import IDENTITY_SLOT, KEY_SLOTS, NotConfigured, is_configured
from firmware.purse.ports import CounterExhausted, Element
from firmware.wire import limits

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from firmware.hal.atecc608_power import Bus

    Answer = TypeVar("Answer", bytes, bool)

_COUNTER = 0  # the chip's other counter is spare
_TRIES = 3  # of a computation on the curve that failed; such faults are rare


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
    COUNTER_END = COUNTER_END

    def __init__(self, chip: Atecc608) -> None:
        self._any_chip = chip
        self._is_fit = False  # not known to be
        self._public_keys: "dict[int, bytes]" = {}  # by the chip's slot; 115 ms each to compute
        self._filled: "set[int]" = set()  # slots of the chip that were seen to hold a key

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
        self._filled.discard(place)
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
        """Whether `sign` will find its key; the public key is not computed for that.

        Once seen it is not asked for again: nothing but `generate` takes a key away.
        """
        if slot >= len(KEY_SLOTS):
            return False
        place = _place(slot)
        if place not in self._filled and self._chip.has_key(place):
            self._filled.add(place)
        return place in self._filled

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes, new ones each time."""
        return _insist(self._chip.sign, _place(slot), digest)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """As `p256.verify`, by the chip; what can be no key or signature is not shown to it.

        Raises AteccError where the chip says neither yes nor no.
        """
        if not (p256.on_curve(public_key) and len(digest) == 32 and _is_signature(signature)):
            return False
        return _insist(self._chip.verify, public_key, digest, signature)

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
            if self.counter() >= COUNTER_END:
                raise CounterExhausted from None
            raise

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

    def open_at(hertz: int) -> "Bus":
        return machine.I2C(bus, scl=machine.Pin(scl), sda=machine.Pin(sda), freq=hertz)

    return Atecc608(TwoSpeedBus(open_at), time)  # type: ignore[arg-type]  # CPython's: no sleep_ms


def _insist(command: "Callable[..., Answer]", *arguments: "int | bytes") -> "Answer":
    """A command's answer, which is asked for again after a fault of the computation.

    Nothing has come of it then, no key, no signature and no verdict (data sheet, "Status/Error
    Codes").
    """
    for _ in range(_TRIES - 1):
        try:
            return command(*arguments)
        except EccFault:
            pass
    return command(*arguments)


def _is_signature(signature: bytes) -> bool:
    """Whether these are 64 bytes, r and s from 1 to the order less one."""
    if len(signature) != p256.SIGNATURE_SIZE:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return 0 < r < p256.ORDER and 0 < s < p256.ORDER


def _place(slot: int) -> int:
    """The chip's slot behind the purse's."""
    if not 0 <= slot < len(KEY_SLOTS):
        raise ValueError("slot %d: the secure element holds %d keys" % (slot, len(KEY_SLOTS)))
    return KEY_SLOTS[slot]
