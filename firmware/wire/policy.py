# SPDX-License-Identifier: Apache-2.0
"""Policies: a bank's signed, versioned limits for its purses (protocol section 3)."""

from firmware.wire.certificate import PURPOSE_BEST_MATCH, PURPOSE_GENERAL, TIER_CARD
from firmware.wire.layout import Layout, Record, WireError

POLICY_EMERGENCY = 1  # flags bit 0: the emergency set of limits is in force
_KNOWN_FLAGS = POLICY_EMERGENCY

BAN_PAY = 1  # operations, as bits of `banned_operations`
BAN_LOAD = 2
BAN_PURSE_TO_PURSE = 4
_KNOWN_BANS = BAN_PAY | BAN_LOAD | BAN_PURSE_TO_PURSE

BANNED_PURPOSE_SLOTS = 8

LIMITS = Layout(
    ("max_balance", "I"),
    ("max_payment", "I"),
    ("pinless_payment", "I"),
    ("pinless_total", "I"),
    ("max_offline_total", "I"),
    ("max_offline_seconds", "I"),
    ("max_offline_count", "H"),
    ("hop_limit", "B"),
    ("reserved", "B"),
)


class Limits:
    """One set of limits: amounts in tiyn, times in seconds since the last sync."""

    max_balance: int
    max_payment: int
    pinless_payment: int
    pinless_total: int
    max_offline_total: int
    max_offline_seconds: int
    max_offline_count: int
    hop_limit: int

    def __init__(self, raw: bytes) -> None:
        for name, value in LIMITS.unpack(raw).items():
            setattr(self, name, value)


class Policy(Record):
    """The limits of a bank's purses, normal and emergency, and what is banned."""

    NAME = "policy"
    TYPE = 4
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("tier", "B"),
        ("flags", "B"),
        ("bank", "8s"),
        ("policy_version", "I"),
        ("currency", "H"),
        ("reserved", "2s"),
        ("issued_at", "I"),
        ("valid_until", "I"),
        ("normal", "28s"),
        ("emergency", "28s"),
        ("banned_purposes", "8H"),
        ("banned_operations", "I"),
        ("signature", "64s"),
    )
    tier: int
    flags: int
    bank: bytes
    policy_version: int
    currency: int
    issued_at: int
    valid_until: int
    normal: bytes
    emergency: bytes
    banned_purposes: "tuple[int, ...]"
    banned_operations: int

    def check(self) -> None:
        """Known tier, flags and bans, dates in order, both sets of limits well formed."""
        if self.tier > TIER_CARD:
            raise WireError("tier %d is unknown" % self.tier)
        if self.flags & ~_KNOWN_FLAGS or self.banned_operations & ~_KNOWN_BANS:
            raise WireError("unknown flags are set")
        if PURPOSE_BEST_MATCH in self.banned_purposes:
            raise WireError("purpose FFFF is not a purpose")
        if self.policy_version == 0:
            raise WireError("version 0 is no version")
        if self.issued_at >= self.valid_until:
            raise WireError("it ends before it begins")
        Limits(self.normal)
        Limits(self.emergency)

    @property
    def limits(self) -> Limits:
        """The set that is in force."""
        return Limits(self.emergency if self.flags & POLICY_EMERGENCY else self.normal)

    def bans(self, operation: int) -> bool:
        """Whether `operation` (one of BAN_…) is forbidden."""
        return bool(self.banned_operations & operation)

    def bans_purpose(self, purpose: int) -> bool:
        """Whether money of `purpose` is forbidden; general money never: 0 fills empty slots."""
        return purpose != PURPOSE_GENERAL and purpose in self.banned_purposes
