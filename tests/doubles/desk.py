# SPDX-License-Identifier: Apache-2.0
"""A central bank, two banks, an authority and their clients on one desk, for tests of cards.

It signs what the reference bank would sign, with none of its ledgers, and it was written apart
from it: a card that both can personalise believes the protocol, not one bank's code.
"""

from __future__ import annotations

import secrets

from firmware.wire import certificate as roles
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import PurseExport
from firmware.wire.certificate import CURRENCY_KZT, Certificate, label_bytes
from firmware.wire.journal import KeyAttestation
from firmware.wire.layout import key_id
from firmware.wire.note import Note
from firmware.wire.policy import LIMITS, Policy
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.purse import PayRequest, PurseSession
from host_bridge.session.secure_channel import DEFAULT_KEYS, diversify
from host_bridge.transport.base import Transport

NOW = 1_790_000_000  # September 2026
DAY = 86_400
PIN = "2580"
PUK = "12345678"
MEDICAL = 7

LIMIT_VALUES = {
    "max_balance": 10_000_000,
    "max_payment": 2_000_000,
    "pinless_payment": 500_000,
    "pinless_total": 1_500_000,
    "max_offline_total": 5_000_000,
    "max_offline_seconds": 30 * DAY,
    "max_offline_count": 50,
    "hop_limit": 1,
}


class Desk:
    """All keys and certificates of a small world; amounts in tiyn, times in Unix seconds."""

    def __init__(self) -> None:
        self.root = SigningKey.generate()
        self.issuer_key, self.issuer = self._under_root(roles.ROLE_ISSUER)
        self.bank_key, self.bank = self._under_root(roles.ROLE_BANK, "Bank A")
        self.other_bank_key, self.other_bank = self._under_root(roles.ROLE_BANK, "Bank B")
        self.authority_key, self.authority = self._under_root(
            roles.ROLE_AUTHORITY, "Health fund", purposes=(MEDICAL, 0, 0, 0)
        )
        self.shop_key, self.shop = self.terminal("Shop", 5411)
        self.clinic_key, self.clinic = self.terminal("Clinic", 8062, (MEDICAL, 0, 0, 0))
        self.far_shop_key, self.far_shop = self.terminal("Far shop", 5411, bank="B")
        self.purses: dict[bytes, Certificate] = {}
        self.policy_version = 1

    def certify(
        self, signer: SigningKey, key: SigningKey | bytes, role: int, **fields: object
    ) -> Certificate:
        """A certificate over `key`; any field may be given another value."""
        public_key = key if isinstance(key, bytes) else key.public_key
        values: dict[str, object] = {
            "role": role,
            "tier": 0,
            "serial": secrets.token_bytes(16),
            "issuer": signer.key_id,
            "public_key": public_key,
            "not_before": NOW - DAY,
            "not_after": NOW + 400 * DAY,
            "currency": CURRENCY_KZT,
            "mcc": 0,
            "purposes": (0, 0, 0, 0),
            "label": label_bytes(""),
        }
        values.update(fields)
        return Certificate.issue(signer.sign, **values)

    def _under_root(
        self, role: int, name: str = "", purposes: tuple[int, ...] = (0, 0, 0, 0)
    ) -> tuple[SigningKey, Certificate]:
        key = SigningKey.generate()
        label = label_bytes(name)
        return key, self.certify(self.root, key, role, purposes=purposes, label=label)

    def terminal(
        self, name: str, mcc: int, purposes: tuple[int, ...] = (0, 0, 0, 0), bank: str = "A"
    ) -> tuple[SigningKey, Certificate]:
        """A merchant's terminal of Bank A or B."""
        key = SigningKey.generate()
        signer = self.bank_key if bank == "A" else self.other_bank_key
        certificate = self.certify(
            signer,
            key,
            roles.ROLE_TERMINAL,
            mcc=mcc,
            purposes=purposes,
            label=label_bytes(name),
        )
        return key, certificate

    def policy(self, *, signer: SigningKey | None = None, **changes: int) -> Policy:
        """A policy of Bank A, a version above the last one unless `policy_version` says."""
        limits = {name: changes.pop(name, value) for name, value in LIMIT_VALUES.items()}
        signer = signer or self.bank_key
        fields: dict[str, object] = {
            "tier": 0,
            "flags": 0,
            "bank": signer.key_id,
            "policy_version": self.policy_version,
            "currency": CURRENCY_KZT,
            "issued_at": NOW - DAY,
            "valid_until": NOW + 300 * DAY,
            "normal": LIMITS.pack(limits),
            "emergency": LIMITS.pack({**limits, "max_payment": 1_000}),
            "banned_purposes": (0,) * 8,
            "banned_operations": 0,
        }
        fields.update(changes)
        self.policy_version = int(fields["policy_version"]) + 1  # type: ignore[call-overload]
        return Policy.issue(signer.sign, **fields)

    def personalise(self, transport: Transport, **policy: int) -> Certificate:
        """Makes the blank card behind `transport` a purse of Bank A's."""
        session = IssuerSession(transport)
        session.select()
        session.open(DEFAULT_KEYS)
        certificate = self.certify(self.bank_key, session.identity_key(), roles.ROLE_PURSE)
        session.personalise(
            Personalisation(
                root=self.root.public_key,
                bank=self.bank,
                purse=certificate,
                view_key=bytes(16),
                pin=PIN,
                puk=PUK,
                policy=self.policy(**policy),
                channel_keys=diversify(bytes(32), certificate.serial),
            )
        )
        self.purses[certificate.serial] = certificate
        return certificate

    def note(self, owner: bytes, value: int, purpose: int = 0, **changes: object) -> Note:
        """A note for an owner key: the issuer's, or with a purpose the authority's."""
        signer = self.authority_key if purpose else self.issuer_key
        fields: dict[str, object] = {
            "currency": CURRENCY_KZT,
            "note_id": secrets.token_bytes(16),
            "value": value,
            "purpose": purpose,
            "hop_limit": 1,
            "min_tier": 0,
            "max_payment": 3_000_000,
            "max_transfers": 1_000,
            "flags": 0,
            "issued_at": NOW,
            "expires_at": NOW + 180 * DAY,
            "issuer": signer.key_id,
            "owner": owner,
        }
        fields.update(changes)
        return Note.issue(signer.sign, **fields)

    def load(self, session: PurseSession, value: int, purpose: int = 0, **changes: object) -> Note:
        """Loads a note into the selected purse, as a bank's desk does: PIN, key, note."""
        session.verify_pin(PIN)
        attestation: KeyAttestation = session.generate_key(secrets.token_bytes(16))
        note = self.note(attestation.public_key, value, purpose, **changes)
        session.present(self.authority if purpose else self.issuer)
        session.load(note)
        return note

    def acknowledge(self, export: PurseExport, **changes: object) -> Acknowledgement:
        """Bank A's word for everything in an export."""
        statement = export.statement
        counter = export.entries[-1].counter if export.entries else statement.acknowledged
        fields: dict[str, object] = {
            "serial": statement.serial,
            "bank": key_id(self.bank_key.public_key),
            "counter": counter,
            "time": NOW + DAY,
            "policy_version": statement.policy_version,
            "chain": statement.head,
        }
        fields.update(changes)
        return Acknowledgement.issue(self.bank_key.sign, **fields)

    def request(
        self, amount: int, payee: Certificate | None = None, **changes: object
    ) -> PayRequest:
        """A request of the shop's, with a fresh payment id."""
        fields: dict[str, object] = {
            "amount_tiyn": amount,
            "payment_id": secrets.token_bytes(16),
            "time": NOW + 60,
            "payee": payee or self.shop,
        }
        fields.update(changes)
        return PayRequest(**fields)  # type: ignore[arg-type]
