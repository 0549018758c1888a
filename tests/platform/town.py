# SPDX-License-Identifier: Apache-2.0
"""A small town around a bank: who the platform tests play with."""

from __future__ import annotations

import itertools
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.wire.certificate import Certificate
from firmware.wire.token import Token
from host_bridge.bank import FoundingPlan, ReferenceBank
from host_bridge.bank.founding import AuthorityPlan, BankPlan
from host_bridge.crypto.keys import SigningKey
from tests.doubles.paper_purse import PaperPurse, Piece

START = 1_790_000_000
HEALTH = 7


def make_plan() -> FoundingPlan:
    """Two banks with 10 000 tenge each at NBK, and an authority with a budget."""
    return FoundingPlan(
        banks=(
            BankPlan(name="bank-a", correspondent_tiyn=1_000_000),
            BankPlan(name="bank-b", correspondent_tiyn=1_000_000),
        ),
        authorities=(
            AuthorityPlan(name="health", bank="bank-a", purposes=(HEALTH,), budget_tiyn=200_000),
        ),
    )


@dataclass(frozen=True)
class Till:
    """A terminal's key and certificate."""

    key: SigningKey
    certificate: Certificate


class Town:
    """alibek (bank-a) and bahtiyar (bank-b); cafe, shop (bank-b) and clinic (bank-a)."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.now = START
        source = random.Random(seed)
        self.bank = ReferenceBank.found(
            folder, make_plan(), clock=lambda: self.now, random=source.randbytes
        )
        self._payments = itertools.count(1)
        bank = self.bank
        bank.add_client("bank-a", "alibek", "Alibek", "KYC-1")
        bank.add_client("bank-b", "bahtiyar", "Bahtiyar", "KYC-2")
        bank.add_merchant("bank-b", "cafe", "Kafe", "KYC-3", mcc=5814)
        bank.add_merchant("bank-b", "shop", "Dukon", "KYC-4", mcc=5411)
        bank.add_merchant("bank-a", "clinic", "Klinika", "KYC-5", mcc=8062, purposes=[HEALTH])
        bank.deposit("alibek", 300_000)
        bank.deposit("bahtiyar", 300_000)
        bank.issue("bank-a", 800_000)
        bank.issue("bank-b", 800_000)
        self.cafe = self.till("bank-b", "cafe")
        self.shop = self.till("bank-b", "shop")
        self.clinic = self.till("bank-a", "clinic")

    def till(self, bank_name: str, merchant_id: str) -> Till:
        """One more terminal of a merchant."""
        key = SigningKey.generate()
        return Till(key, self.bank.certify_terminal(bank_name, merchant_id, key.public_key))

    def purse(self, bank_name: str = "bank-a", client_id: str = "alibek") -> PaperPurse:
        """A certified purse without money."""
        purse = PaperPurse.new()
        purse.certificate = self.bank.certify_purse(
            bank_name, client_id, purse.identity.public_key, tier=0, view_key=purse.view_key
        )
        return purse

    def load(self, purse: PaperPurse, amount: int, bank_name: str = "bank-a") -> Piece:
        """A note from the holder's current account."""
        key = SigningKey.generate()
        attestation = purse.attest(key, self.bank.challenge())
        note = self.bank.load(bank_name, purse.papers.serial, attestation, amount)
        return purse.take_note(key, note)

    def label(self, purse: PaperPurse, amount: int) -> Piece:
        """A note of purpose HEALTH."""
        key = SigningKey.generate()
        attestation = purse.attest(key, self.bank.challenge())
        note = self.bank.label("health", purse.papers.serial, attestation, amount, HEALTH)
        return purse.take_note(key, note)

    def payment_id(self) -> bytes:
        """One that was never used."""
        return next(self._payments).to_bytes(16, "big")

    def pay(
        self, purse: PaperPurse, payee: Till | PaperPurse, piece: Piece, amount: int
    ) -> list[Token]:
        """An honest payment from the front of a piece."""
        certificate = payee.certificate
        assert certificate is not None
        return purse.pay(certificate, [(piece, amount)], self.payment_id(), self.now)

    def pay_run(
        self, purse: PaperPurse, payee: Till | PaperPurse, piece: Piece, start: int, end: int
    ) -> list[Token]:
        """Any run at all, as a cracked purse would sign it."""
        certificate = payee.certificate
        assert certificate is not None
        runs = [(piece, start, end)]
        return purse.pay_runs(certificate, runs, self.payment_id(), self.now)

    def wallet(self, merchant_id: str) -> int:
        """A merchant's digital wallet."""
        return self.line(merchant_id)["wallet_tiyn"]

    def line(self, client_id: str) -> dict[str, int]:
        """Everything that one client has."""
        found = [asdict(line) for line in self.bank.balances() if line.client_id == client_id]
        return found[0]

    def end_state(self) -> dict[str, object]:
        """What must not depend on the order of uploads."""
        denied = self.bank.denylist()
        return {
            "balances": self.bank.balances(),
            "totals": self.bank.totals(),
            "aggregates": self.bank.aggregates(),
            "purses": [(line.serial, line.state) for line in self.bank.purses()],
            "proofs": sorted(case.proof_id for case in self.bank.fraud_cases()),
            "denied": (denied.keys, denied.notes) if denied else None,
        }

    def assert_sound(self) -> None:
        """Invariants I1 and I2, and a clean audit."""
        assert self.bank.totals().is_whole
        assert self.bank.audit() == []
