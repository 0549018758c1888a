# SPDX-License-Identifier: Apache-2.0
"""What a purse needs from outside: a memory that survives power cuts, and a secure element.

The purse is handed objects of these kinds. `firmware/storage` and `firmware/hal` implement
them on a board; a test may hand in its own.
"""

from firmware.wire.limits import TOKEN_KEYS


class StorageDamaged(Exception):
    """A stored record is not what was written. The purse refuses to pay and keeps it."""


class CounterExhausted(Exception):
    """The element's counter is at its end: no further payment, ever."""


class Store:
    """Small named records, each replaced as a whole: the old one or the new, never between."""

    def read(self, name: str) -> "bytes | None":
        """The record, or None where there is none. Raises StorageDamaged."""
        raise NotImplementedError

    def must_read(self, name: str) -> bytes:
        """The record. Raises StorageDamaged where there is none, too."""
        data = self.read(name)
        if data is None:
            raise StorageDamaged(name)
        return data

    def replace(self, name: str, data: bytes) -> None:
        """Writes the record, durably, before it returns."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        """Gives a record another name in one step, over whatever had that name."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Forgets the record; it is no error if there is none."""
        raise NotImplementedError

    def names(self, prefix: str) -> "list[str]":
        """The names that begin with `prefix`, sorted."""
        raise NotImplementedError


class Element:
    """Keys that never leave it, in numbered slots, and a counter that never goes back."""

    TIER = 0
    TOKEN_KEYS = TOKEN_KEYS  # slots 1 to this many are for token keys, 0 is the identity's

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, over any older one; returns its public key."""
        raise NotImplementedError

    def public_key(self, slot: int) -> "bytes | None":
        """The public key in `slot`, or None where it is empty."""
        raise NotImplementedError

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes."""
        raise NotImplementedError

    def counter(self) -> int:
        """The monotonic counter."""
        raise NotImplementedError

    def advance(self) -> int:
        """Adds one to the counter, durably, and returns it. Raises CounterExhausted."""
        raise NotImplementedError

    def counter_is_at_end(self) -> bool:
        """Whether `advance` would raise."""
        raise NotImplementedError

    def random(self, size: int) -> bytes:
        """Random bytes fit for keys and challenges."""
        raise NotImplementedError
