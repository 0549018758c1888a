# SPDX-License-Identifier: Apache-2.0
"""The secure element of tier 0: keys and counter in plain flash. For development only.

Whoever holds the board can read and copy them; a production root never certifies it.
A chip takes this class's place behind the same interface (`firmware.purse.ports.Element`).
"""

import os

from firmware.crypto import p256
from firmware.purse.ports import CounterExhausted, Element, Log, Store

_COUNT = 8  # the kind of record in the counter's log: the counter, u32; the newest counts
_COUNTER = "counter"  # the record that had it in storage version 1
_COUNTER_SIZE = 4
COUNTER_END = Element.COUNTER_END  # as an ATECC608 counts, so that no code relies on more


class SoftwareElement(Element):
    """Keys as records `key.<slot>` (private ‖ public) in a store; the counter in a log."""

    TIER = 0

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._value: "int | None" = None  # of the counter, once it was read

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, over any older one; returns its public key."""
        while True:  # ends: a draw outside 1..n-1 has a chance of 2^-32
            private_key = os.urandom(p256.PRIVATE_KEY_SIZE)
            if 0 < int.from_bytes(private_key, "big") < p256.ORDER:
                break
        public_key = p256.public_key(private_key)
        self._store.replace(_key_name(slot), private_key + public_key)
        return public_key

    def public_key(self, slot: int) -> "bytes | None":
        """The public key in `slot`, or None where it is empty."""
        record = self._store.read(_key_name(slot))
        return None if record is None else record[p256.PRIVATE_KEY_SIZE :]

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes."""
        record = self._store.read(_key_name(slot))
        if record is None:
            raise ValueError("slot %d holds no key" % slot)
        return p256.sign(record[: p256.PRIVATE_KEY_SIZE], digest)

    def counter(self) -> int:
        """The monotonic counter."""
        if self._value is None:
            self._log.load(self._see)
        if self._value is None:
            self._value = int.from_bytes(self._store.read(_COUNTER) or b"", "big")
        return self._value

    def _see(self, place: int, kind: int, payload: bytes) -> None:
        if kind == _COUNT:
            self._value = int.from_bytes(payload, "big")
            self._log.keep_from(place)

    def advance(self) -> int:
        """Adds one to the counter, durably, and returns it. Raises CounterExhausted."""
        value = self.counter() + 1
        if value > COUNTER_END:
            raise CounterExhausted
        self._value = None  # should the write fail, what came of it is read again
        self._log.keep_from(self._log.append(_COUNT, value.to_bytes(_COUNTER_SIZE, "big")))
        self._value = value
        return value

    def random(self, size: int) -> bytes:
        """Random bytes from the system."""
        return os.urandom(size)

    def rest(self) -> bool:
        """Erases ahead for the counter, or mends a copy of a key."""
        return self._log.rest() or self._store.rest()


def _key_name(slot: int) -> str:
    return "key.%02d" % slot
