# SPDX-License-Identifier: Apache-2.0
"""What a card has answered, kept by somebody who does not believe it: notes, tokens, balances.

It reads the bytes by the numbers of docs/protocol and uses none of the firmware's own code.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

_NOTE_SIZE = 180
_TRANSFER_SIZE = 180
_BODY_SIZE = 116  # of either: the signature follows
_TRANSFER = struct.Struct(">BBH32sII32s16sIBB2s16s64s")
_TYPE_TRANSFER = 3


@dataclass(frozen=True)
class Run:
    """Units of one note that a signed transfer moves, for a payment."""

    parent: bytes
    start: int
    end: int
    payment_id: bytes
    digest: bytes  # what was signed


@dataclass
class Ledger:
    """Of one card: `loaded` notes by RecordId with their values; `runs` that were signed."""

    loaded: dict[bytes, int] = field(default_factory=dict)
    runs: dict[bytes, Run] = field(default_factory=dict)  # by digest
    earlier: int = 0  # tiyn that were signed away in runs that nobody knows any more

    def copy(self) -> Ledger:
        """Another one that goes on from here."""
        return Ledger(dict(self.loaded), dict(self.runs), self.earlier)

    def load(self, note: bytes, value: int) -> None:
        """A note was taken by the card."""
        self.loaded[hashlib.sha256(note[:_BODY_SIZE]).digest()] = value

    def take(self, tokens: bytes) -> list[Run]:
        """Tokens were answered. Fails if they move units that another payment has moved (I1)."""
        size = _NOTE_SIZE + _TRANSFER_SIZE
        assert tokens and len(tokens) % size == 0, "an answer of whole tokens"
        found = []
        for at in range(0, len(tokens), size):
            note = tokens[at : at + _NOTE_SIZE]
            body = tokens[at + _NOTE_SIZE : at + _NOTE_SIZE + _BODY_SIZE]
            fields = _TRANSFER.unpack(tokens[at + _NOTE_SIZE : at + size])
            assert fields[0] == _TYPE_TRANSFER
            parent, start, end, payment_id = fields[3], fields[4], fields[5], fields[7]
            assert hashlib.sha256(note[:_BODY_SIZE]).digest() == parent, (
                "a transfer of the note before it"
            )
            assert start < end <= self.loaded[parent], "units that the note has"
            run = Run(parent, start, end, payment_id, hashlib.sha256(body).digest())
            self._check_alone(run)
            self.runs[run.digest] = run
            found.append(run)
        return found

    def _check_alone(self, run: Run) -> None:
        for other in self.runs.values():
            if other.digest != run.digest and other.parent == run.parent:
                assert run.end <= other.start or other.end <= run.start, (
                    f"the units {run.start} to {run.end} of a note were signed twice"
                )

    @property
    def left(self) -> int:
        """Tiyn on the card, if all is right (I2): what was loaded less what was signed away."""
        signed = sum(run.end - run.start for run in self.runs.values())
        return sum(self.loaded.values()) - signed - self.earlier
