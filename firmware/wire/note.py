# SPDX-License-Identifier: Apache-2.0
"""Notes: money as it is issued, `value` units numbered 0 to value-1 (protocol sections 1, 3)."""

from firmware.wire.certificate import PURPOSE_BEST_MATCH, TIER_CARD
from firmware.wire.layout import Layout, Record, WireError, check_point

NOTE_NO_PURSE_TO_PURSE = 1  # flags bit 0
_KNOWN_FLAGS = NOTE_NO_PURSE_TO_PURSE


class Note(Record):
    """One issue of money to one owner key, with the caps that every payee enforces."""

    NAME = "note"
    TYPE = 2
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("currency", "H"),
        ("note_id", "16s"),
        ("value", "I"),
        ("purpose", "H"),
        ("hop_limit", "B"),
        ("min_tier", "B"),
        ("max_payment", "I"),
        ("max_transfers", "H"),
        ("flags", "H"),
        ("issued_at", "I"),
        ("expires_at", "I"),
        ("issuer", "8s"),
        ("owner", "64s"),
        ("signature", "64s"),
    )
    currency: int
    note_id: bytes
    value: int
    purpose: int
    hop_limit: int
    min_tier: int
    max_payment: int
    max_transfers: int
    flags: int
    issued_at: int
    expires_at: int
    issuer: bytes
    owner: bytes

    def check(self) -> None:
        """A value, caps that allow at least one payment, dates in order, a point of the curve."""
        if self.value == 0:
            raise WireError("its value is zero")
        if self.purpose == PURPOSE_BEST_MATCH:
            raise WireError("purpose FFFF is not a purpose")
        if self.hop_limit == 0 or self.max_payment == 0 or self.max_transfers == 0:
            raise WireError("its caps allow no payment")
        if self.min_tier > TIER_CARD:
            raise WireError("tier %d is unknown" % self.min_tier)
        if self.flags & ~_KNOWN_FLAGS:
            raise WireError("unknown flags are set")
        if self.issued_at >= self.expires_at:
            raise WireError("it expires before it is issued")
        check_point(self.owner)
