# SPDX-License-Identifier: Apache-2.0
"""What `plain_purse` keeps when its power is gone: notes, payments, PIN, policy, in plain objects.

Amounts in tiyn, times in Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.doubles import plain_records as records
from tests.doubles.plain_records import Certificate, Note, Policy

ACTIVE, SYNC_ONLY = 1, 2  # lifecycles


class Word(Exception):
    """A command ends with this status word."""

    def __init__(self, word: int) -> None:
        super().__init__(f"{word:04X}")
        self.word = word


def ask(so: bool, word: int) -> None:
    """Raises Word unless it is so."""
    if not so:
        raise Word(word)


class Issue(NamedTuple):
    """What personalisation gave."""

    root: bytes
    bank: Certificate
    own: Certificate
    view_key: bytes
    identity: bytes  # private


@dataclass(frozen=True)
class Held:
    """A note in a slot: units from `start` on are left, `seq` transfers were made."""

    note: Note
    start: int = 0
    seq: int = 0

    @property
    def left(self) -> int:
        """Tiyn."""
        return self.note.value - self.start

    @property
    def payable(self) -> int:
        """Tiyn that one transfer can move."""
        return min(self.left, self.note.max_payment) if self.seq < self.note.max_transfers else 0


class Entry(NamedTuple):
    """A payment that was made."""

    counter: int
    payment_id: bytes
    payee: bytes
    amount: int
    with_pin: bool
    notes: tuple[bytes, ...]  # their RecordIds
    body: bytes
    raw: bytes  # with its signatures
    tokens: bytes


@dataclass
class State:
    """All that a purse keeps when its power is gone. Values are never changed in place."""

    pin: bytes
    puk: bytes
    policy: Policy
    lifecycle: int = ACTIVE
    tries: dict[str, int] = field(default_factory=lambda: {"pin": 3, "puk": 10})
    counter: int = 0
    has_strayed: bool = False  # the counter stands where no payment has brought it
    acknowledged: int = 0
    synced_at: int = 0
    anchor: bytes = bytes(32)
    held: dict[int, Held] = field(default_factory=dict)  # by slot
    keys: dict[int, bytes] = field(default_factory=dict)  # by slot; private
    known: dict[tuple[int, bytes], Certificate] = field(default_factory=dict)
    entries: dict[bytes, Entry] = field(default_factory=dict)  # by payment_id, the oldest first

    def copy(self) -> State:
        """A state of its own."""
        return replace(
            self,
            tries=dict(self.tries),
            held=dict(self.held),
            keys=dict(self.keys),
            known=dict(self.known),
            entries=dict(self.entries),
        )

    def wake(self) -> None:
        """What a purse finds when its power comes back: whether its counter is explained."""
        if self.has_strayed:
            self.lifecycle = SYNC_ONLY

    def book(self, entry: Entry, held: dict[int, Held]) -> None:
        """The payment is made, and its notes stand so."""
        self.entries[entry.payment_id] = entry
        self.held.update(held)

    @property
    def waiting(self) -> list[Entry]:
        """The entries that no acknowledgement covers, the oldest first."""
        found: list[Entry] = []
        for entry in reversed(self.entries.values()):
            if entry.counter <= self.acknowledged:
                break
            found.append(entry)
        return found[::-1]

    def chain(self, entries: list[Entry]) -> bytes:
        """The journal's hash behind these entries, which follow the anchor."""
        chain = self.anchor
        for entry in entries:
            chain = records.sha256(chain + entry.body)
        return chain

    @property
    def since(self) -> tuple[int, int, int]:
        """Since the acknowledgement: tiyn, payments; and tiyn without a PIN since one with it."""
        total = pinless = 0
        waiting = self.waiting
        for entry in waiting:
            total += entry.amount
            pinless = 0 if entry.with_pin else pinless + entry.amount
        return total, len(waiting), pinless

    def balance(self) -> dict[int, int]:
        """Tiyn by purpose."""
        amounts = {0: 0}
        for held in self.held.values():
            amounts[held.note.purpose] = amounts.get(held.note.purpose, 0) + held.left
        return amounts

    def facts(self) -> dict[str, object]:
        """What two purses must agree on to be the same one."""
        return {
            "lifecycle": self.lifecycle,
            "access": (self.pin, self.tries["pin"], self.tries["puk"]),
            "policy": self.policy.raw,
            "counter": self.counter,
            "sync": (self.acknowledged, self.synced_at, self.anchor),
            "head": self.chain(self.waiting),
            "since": self.since,
            "notes": sorted((s, h.note.raw, h.start, h.seq) for s, h in self.held.items()),
            "keys": {slot: records.public_key(key) for slot, key in self.keys.items()},
            "known": sorted(known.raw for known in self.known.values()),
        }
