# SPDX-License-Identifier: Apache-2.0
"""What every department of the bank works with: database, keys, trust, clock, randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from firmware.purse.trust import Trust
from firmware.wire.certificate import ROLE_AUTHORITY, ROLE_BANK, ROLE_NAMES, Certificate
from firmware.wire.layout import sha256
from host_bridge.bank import schema
from host_bridge.bank.store import Store
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused

Clock = Callable[[], int]
Randomness = Callable[[int], bytes]

MAX_EVIDENCE = 10_000  # refused uploads kept; anyone may send some, so there is an end
MAX_FINDINGS = 10_000


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: what kind, about what, in one sentence."""

    kind: str
    subject: str
    sentence: str


@dataclass(frozen=True)
class NoteCaps:
    """What a bank writes into the notes of its clients (protocol section 3)."""

    hop_limit: int = 4
    min_tier: int = 0
    max_payment_tiyn: int = 5_000_000
    max_transfers: int = 256
    validity_seconds: int = 180 * 86_400


@dataclass(frozen=True)
class Participant:
    """Issuer, notary, bank or authority."""

    name: str
    certificate: Certificate
    key: SigningKey
    bank: str  # where an authority's budget is; empty for the others
    note_caps: NoteCaps


@dataclass(frozen=True)
class Office:
    """Built once when the bank is opened, and handed to every department."""

    store: Store
    trust: Trust
    participants: Mapping[str, Participant]
    currency: int
    grace_seconds: int
    clock: Clock
    random: Randomness

    @property
    def names(self) -> list[str]:
        """The names of all participants."""
        return list(self.participants)

    @property
    def banks(self) -> list[Participant]:
        """The second-tier banks."""
        return [p for p in self.participants.values() if p.certificate.role == ROLE_BANK]

    @property
    def authorities(self) -> list[Participant]:
        """The public authorities."""
        return [p for p in self.participants.values() if p.certificate.role == ROLE_AUTHORITY]

    def certificate(self, name: str) -> Certificate:
        """A participant's certificate. Raises BankRefused for an unknown name."""
        if name not in self.participants:
            raise BankRefused(f"There is no participant called '{name}'.")
        return self.participants[name].certificate

    def participant(self, name: str, role: int) -> Participant:
        """The participant of that name and role. Raises BankRefused."""
        found = self.participants.get(name)
        if found is None or found.certificate.role != role:
            raise BankRefused(f"There is no {ROLE_NAMES[role]} called '{name}'.")
        return found

    def bank(self, name: str) -> Participant:
        """The bank of that name. Raises BankRefused."""
        return self.participant(name, ROLE_BANK)

    def keep_evidence(
        self, connection: Connection, reason: str, sentence: str, raw: bytes
    ) -> None:
        """Keep refused bytes with their reason; the same refusal is kept once."""
        if _count(connection, schema.evidence.c.evidence_id) >= MAX_EVIDENCE:
            return
        row = {
            "evidence_id": sha256(reason.encode() + b"\0" + raw),
            "seen_at": self.clock(),
            "reason": reason,
            "sentence": sentence,
            "raw": raw,
        }
        connection.execute(insert(schema.evidence).on_conflict_do_nothing(), row)

    def note_finding(self, connection: Connection, finding: Finding) -> None:
        """Write a finding down, once."""
        if _count(connection, schema.findings.c.id) >= MAX_FINDINGS:
            return
        row = {
            "seen_at": self.clock(),
            "kind": finding.kind,
            "subject": finding.subject,
            "sentence": finding.sentence,
        }
        connection.execute(insert(schema.findings).on_conflict_do_nothing(), row)


def _count(connection: Connection, column: object) -> int:
    return connection.execute(select(func.count(column))).scalar_one()  # type: ignore[arg-type]
