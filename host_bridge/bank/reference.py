# SPDX-License-Identifier: Apache-2.0
"""The reference bank as its callers see it: every verb, and which module answers it.

It plays all roles of protocol section 2 in one folder: central bank (root, issuer, notary),
second-tier banks and public authorities. Its public side is `host_bridge.sync.port.BankPort`;
the other verbs are a clerk's. Every verb raises `BankRefused` with one sentence for people.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from firmware.wire.bundle import Bundle, PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.journal import KeyAttestation
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.token import Token
from host_bridge.bank import founding
from host_bridge.bank.audit import Auditor
from host_bridge.bank.books import Books
from host_bridge.bank.founding import FoundingPlan
from host_bridge.bank.issue import Issuing
from host_bridge.bank.journal import JournalDesk
from host_bridge.bank.ledger import Totals
from host_bridge.bank.notary import Notary
from host_bridge.bank.office import Clock, Finding, Office, Randomness
from host_bridge.bank.policies import Policies
from host_bridge.bank.registry import Registry
from host_bridge.bank.reports import Aggregates, Balance, FraudCase, PurseLine, Reports, TAccount
from host_bridge.bank.rescue import RescueDesk, RescueReport
from host_bridge.bank.settle import Settlement
from host_bridge.sync.port import Directory, PurseSync, SaleResult
from host_bridge.sync.rescue_file import Rescue


def _now() -> int:
    return int(time.time())


class ReferenceBank:
    """One folder: `bank.sqlite` and `keys/` beside it. Safe to share between threads.

    `clock` gives Unix seconds, `random(n)` gives n random bytes: hand in others to play a day.
    """

    def __init__(
        self, folder: Path, *, clock: Clock = _now, random: Randomness = secrets.token_bytes
    ) -> None:
        """Open a bank that was founded in `folder`, migrating its database if it is older."""
        office = founding.open_office(folder, clock, random)
        self._office: Office = office
        self._registry = Registry(office)
        self._policies = Policies(office)
        self._books = Books(office)
        self._issuing = Issuing(office)
        self._notary = Notary(office)
        self._settlement = Settlement(office, self._notary)
        self._journals = JournalDesk(office, self._notary, self._settlement)
        self._rescues = RescueDesk(office, self._settlement, self._journals)
        self._reports = Reports(office)

    @classmethod
    def found(
        cls,
        folder: Path,
        plan: FoundingPlan | None = None,
        *,
        clock: Clock = _now,
        random: Randomness = secrets.token_bytes,
    ) -> ReferenceBank:
        """Make keys, certificates and an empty database in a new folder, and open it.

        Without a plan: bank-a, bank-b, and the authority `health` with purpose 1 at bank-a.
        """
        founding.found(folder, plan or FoundingPlan(), clock, random)
        return cls(folder, clock=clock, random=random)

    def close(self) -> None:
        """Close the database; the object is of no use afterwards."""
        self._office.store.close()

    # ------------------------------------------------------------------ certificates

    @property
    def root_public_key(self) -> bytes:
        """The root's public key, 64 bytes: what a device trusts."""
        return self._office.trust.root

    @property
    def names(self) -> list[str]:
        """The participants: issuer, notary, banks, authorities."""
        return self._office.names

    def certificate_of(self, name: str) -> Certificate:
        """The certificate of a participant: "issuer", "notary", a bank's or authority's name."""
        return self._office.certificate(name)

    def add_client(self, bank_name: str, client_id: str, name: str, kyc_reference: str) -> None:
        """Open a current account for a person whom the bank has identified. Idempotent."""
        self._registry.add_client(bank_name, client_id, name, kyc_reference)

    def add_merchant(
        self,
        bank_name: str,
        merchant_id: str,
        name: str,
        kyc_reference: str,
        *,
        mcc: int = 0,
        purposes: Iterable[int] = (),
    ) -> None:
        """Open a merchant's account and digital wallet; MCC is ISO 18245, at most 4 purposes.

        `name` is what a card holder sees, at most 24 bytes of UTF-8. Idempotent.
        """
        self._registry.add_merchant(
            bank_name, merchant_id, name, kyc_reference, mcc, tuple(purposes)
        )

    def certify_purse(
        self,
        bank_name: str,
        client_id: str,
        public_key: bytes,
        *,
        tier: int,
        view_key: bytes,
        now: int | None = None,
    ) -> Certificate:
        """Certify a client's identity key and keep the view key. Same key, same certificate.

        Until the purse has money, a newer view key takes the older one's place.
        """
        return self._registry.certify_purse(
            bank_name, client_id, public_key, tier=tier, view_key=view_key, now=now
        )

    def certify_terminal(
        self, bank_name: str, merchant_id: str, public_key: bytes, *, now: int | None = None
    ) -> Certificate:
        """Certify a merchant's receiving key. Same key, same certificate."""
        return self._registry.certify_terminal(bank_name, merchant_id, public_key, now=now)

    def policy(self, bank_name: str) -> Policy:
        """The bank's current policy."""
        return self._policies.current(bank_name)

    def new_policy(self, bank_name: str, **changes: object) -> Policy:
        """Sign the next version of the policy: the current one with `changes`.

        Keys: the names of `firmware.wire.policy.LIMITS`, and `emergency` (bool), `tier`,
        `banned_purposes`, `banned_operations`, `valid_seconds`.
        """
        return self._policies.publish(bank_name, changes)

    # ------------------------------------------------------------------ money in and out

    def open_books(
        self,
        bank_name: str,
        *,
        correspondent_tiyn: int = 0,
        cash_tiyn: int = 0,
        current_tiyn: Mapping[str, int] | None = None,
        reference: bytes | None = None,
    ) -> None:
        """Opening balances: reserves at NBK, cash in the vault, clients' current accounts.

        What the current accounts do not explain is the bank's own capital.
        """
        self._books.open_bank(
            bank_name, correspondent_tiyn, cash_tiyn, dict(current_tiyn or {}), reference
        )

    def hold_cash(
        self, client_id: str, amount_tiyn: int, *, reference: bytes | None = None
    ) -> None:
        """Opening balance of a client's own banknotes (monetary aggregate M0)."""
        self._books.hold_cash(client_id, amount_tiyn, reference)

    def deposit(self, client_id: str, amount_tiyn: int, *, reference: bytes | None = None) -> None:
        """Cash from outside the model, paid into a client's or merchant's current account.

        With a `reference` of the caller's (any bytes) a repeated call posts nothing.
        """
        self._books.deposit(client_id, amount_tiyn, reference)

    def fund_authority(
        self, authority_name: str, amount_tiyn: int, *, reference: bytes | None = None
    ) -> None:
        """Put money on an authority's budget account at its bank."""
        self._books.fund_authority(authority_name, amount_tiyn, reference)

    def issue(self, bank_name: str, amount_tiyn: int, *, reference: bytes | None = None) -> None:
        """NBK issues digital tenge to a bank against its correspondent account."""
        self._issuing.issue(bank_name, amount_tiyn, reference)

    def load(
        self,
        bank_name: str,
        serial: bytes,
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int = 0,
        *,
        from_cash: bool = False,
    ) -> Note:
        """A note for an attested token key, paid from the client's current account (or cash).

        The attestation answers a challenge of `challenge`. The same key gets the very same
        note. A purpose other than 0 is refused: only an authority labels money (`label`).
        """
        return self._issuing.load(
            bank_name, serial, attestation, amount_tiyn, purpose, from_cash=from_cash
        )

    def label(
        self,
        authority_name: str,
        serial: bytes,
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int,
    ) -> Note:
        """A special-purpose note for a purse, from the authority's budget. As `load` otherwise."""
        return self._issuing.label(authority_name, serial, attestation, amount_tiyn, purpose)

    def pass_on(
        self, merchant_id: str, serial: bytes, attestation: KeyAttestation, amount_tiyn: int
    ) -> Note:
        """A note for a purse out of a merchant's (or a bank counter's) digital wallet.

        Wallet to wallet: no account at any bank moves (seed checklist NUM-T0). It stands in for
        purse to purse, through the bank, until cards can receive.
        """
        return self._issuing.pass_on(merchant_id, serial, attestation, amount_tiyn)

    def redeem(
        self, merchant_id: str, amount_tiyn: int, *, reference: bytes | None = None
    ) -> None:
        """Merchant's digital wallet to current account, at par; the DT goes to the reserve."""
        self._issuing.redeem(merchant_id, amount_tiyn, reference)

    # ------------------------------------------------------------------ BankPort

    def directory(self) -> Directory:
        """Certificates, denylist and clock."""
        return Directory(
            root=self.root_public_key,
            certificates=tuple(self._office.trust.known),
            denylist=self._notary.denylist(),
            time=self._office.clock(),
        )

    def challenge(self) -> bytes:
        """16 fresh bytes, good for one export or one load."""
        return self._registry.challenge()

    def upload_sale(self, tokens: list[Token]) -> SaleResult:
        """One payment as the card answered it. Idempotent, in any order with everything else."""
        return self._settlement.upload_sale(tokens)

    def upload_export(self, export: PurseExport) -> PurseSync:
        """One purse's journal over a challenge of `challenge`. Idempotent."""
        return self._journals.upload(export)

    def upload_bundle(self, bundle: Bundle) -> list[SaleResult]:
        """A terminal's bundle: one result for each sale in it, in its order."""
        return self._journals.upload_bundle(bundle)

    def acknowledgement(self, serial: bytes) -> PurseSync | None:
        """The newest acknowledgement of a purse, and its bank's policy if that is newer."""
        return self._journals.newest(serial)

    def payment_state(self, payment_id: bytes, payee: bytes | None = None) -> SaleResult | None:
        """What became of a payment, whoever uploaded it: for a till whose tap was torn.

        None if nothing came yet. `payee` is the RecordId of the till's certificate: a cheating
        card could have paid somebody else under this till's payment_id.
        """
        return self._settlement.payment_state(payment_id, payee)

    def rescue(self, rescue: Rescue) -> RescueReport:
        """Settle what was read of a purse that pays no more. Idempotent.

        Each payment proves itself by the signature of its note's key; who brings it is no matter.
        """
        return self._rescues.settle(rescue)

    # ------------------------------------------------------------------ looking at it

    def totals(self) -> Totals:
        """Where all digital tenge is; `totals().is_whole` is invariants I1 and I2."""
        return self._reports.totals()

    def accounts(self) -> list[TAccount]:
        """T-accounts of NBK, each bank and each client, as the white paper prints them."""
        return self._reports.accounts()

    def aggregates(self) -> Aggregates:
        """RM, M0, M0_dt, C and M1 in tiyn."""
        return self._reports.aggregates()

    def balances(self) -> list[Balance]:
        """Each client's and merchant's current account, purses, digital wallet and claims."""
        return self._reports.balances()

    def purses(self) -> list[PurseLine]:
        """Every purse: holder, bank, tier, value outstanding, state."""
        return self._reports.purses()

    def denylist(self) -> Denylist | None:
        """The newest denylist, if anything was ever denied."""
        return self._notary.denylist()

    def fraud_cases(self, viewer: str | None = None) -> list[FraudCase]:
        """The double spends. The spender is named only when `viewer` is the spender's bank."""
        return self._reports.fraud_cases(viewer)

    def fraud_proof(self, proof_id: bytes) -> FraudProof:
        """One proof, by the first bytes of its id (at least 4)."""
        return self._reports.fraud_proof(proof_id)

    def findings(self) -> list[Finding]:
        """What uploads brought that was not as it should be: refusals, forks, odd seals.

        Also each purse whose memory went back: what is missing, what of it is known by now.
        """
        return self._reports.findings()

    def audit(self) -> list[Finding]:
        """Re-check every signature, tree, posting and balance from the records alone."""
        return Auditor(self._office).run()
