# SPDX-License-Identifier: Apache-2.0
"""What a purse needs from outside: a memory that survives power cuts, and a secure element.

The purse is handed objects of these kinds. `firmware/storage` and `firmware/hal` implement
them on a board; a test may hand in its own.
"""

from firmware.wire.limits import TOKEN_KEYS

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable


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

    def remove(self, name: str) -> None:
        """Forgets the record; it is no error if there is none."""
        raise NotImplementedError

    def names(self, prefix: str) -> "list[str]":
        """The names that begin with `prefix`, sorted."""
        raise NotImplementedError

    def rest(self) -> bool:
        """Mends what can wait until nobody does; says whether there was work."""
        return False


LOST = 0  # the kind of what stands in a log where a record between others was lost


class Log:
    """Records in the order in which they were stored; the oldest go when they are not needed.

    A `place` is where a record lies: a number that grows from record to record.
    """

    @property
    def first_place(self) -> int:
        """What lay before this place is gone."""
        raise NotImplementedError

    def load(self, see: "Callable[[int, int, bytes], None]") -> None:
        """Reads it all anew: `see(place, kind, payload)` for each record, the oldest first.

        Where records are missing between two others, it sees one of the kind LOST.
        """
        raise NotImplementedError

    def read(self, place: int) -> "tuple[int, bytes]":
        """Kind and payload of the record at a place. Raises StorageDamaged."""
        raise NotImplementedError

    def append(self, kind: int, payload: bytes) -> int:
        """Stores a record, durably, and returns its place. It may take as long as an erase."""
        raise NotImplementedError

    def has_room(self, *sizes: int) -> bool:
        """Whether payloads of these sizes can be stored with no erase."""
        raise NotImplementedError

    def keep_from(self, place: int) -> None:
        """Says that no record before this place is needed any more."""
        raise NotImplementedError

    def rest(self) -> bool:
        """Does a part of what makes room, when nobody waits; says whether there was work."""
        raise NotImplementedError


class Memory:
    """What a purse keeps: named records that seldom change, and two logs of what often does."""

    store: Store
    state: Log
    journal: Log


class Element:
    """Keys that never leave it, in numbered slots, and a counter that never goes back."""

    TIER = 0
    COUNTER_JUMP = 0  # how much more than one an `advance` may add that loses its power
    COUNTER_END = 2_097_151  # where the counter stays: `advance` raises then
    TOKEN_KEYS = TOKEN_KEYS  # slots 1 to this many are for token keys, 0 is the identity's

    def generate(self, slot: int) -> bytes:
        """Makes a new key in `slot`, over any older one; returns its public key."""
        raise NotImplementedError

    def public_key(self, slot: int) -> "bytes | None":
        """The public key in `slot`, or None where it is empty."""
        raise NotImplementedError

    def has_key(self, slot: int) -> bool:
        """Whether `sign` will find its key: asked before a payment, not after."""
        return self.public_key(slot) is not None

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Signs a SHA-256 digest with the key in `slot`: r‖s, 64 bytes."""
        raise NotImplementedError

    def counter(self) -> int:
        """The monotonic counter."""
        raise NotImplementedError

    def advance(self) -> int:
        """Adds one to the counter, durably, and returns it. Raises CounterExhausted."""
        raise NotImplementedError

    def random(self, size: int) -> bytes:
        """Random bytes fit for keys and challenges."""
        raise NotImplementedError

    def rest(self) -> bool:
        """Does a part of what can wait until nobody does; says whether there was work."""
        return False
