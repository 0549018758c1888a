# SPDX-License-Identifier: Apache-2.0
"""What a till or a bridge may ask of the bank, whether over HTTP or in the same process.

Everything that moves money here is signed by a card or a terminal, so that this port needs
no log-in of its own; what a bank's clerk does is behind another door (`host_bridge.bank`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import Bundle, PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.policy import Policy
from firmware.wire.token import Token

MAX_BUNDLE_BYTES = 16 * 1024 * 1024  # of a whole bundle, on a stick or over a line


class BankUnreachable(Exception):
    """There is no line to the bank now; nothing was lost, the same call may be repeated."""


class BankRefused(Exception):
    """The bank will not do it; the message is one sentence for people."""


class SaleState(enum.StrEnum):
    """What a merchant sees of a payment after it was uploaded."""

    SYNCHRONISED = "synchronised"
    DISPUTED = "disputed"  # its payer spent the units twice, or two cards paid for one sale
    REFUSED = "refused"


@dataclass(frozen=True)
class SaleResult:
    """The bank's final word on one payment; the same payment gets the same word again."""

    payment_id: bytes
    state: SaleState
    amount_tiyn: int
    reason: str = ""
    withheld_tiyn: int = 0  # of it, not credited: taken before, or not covered yet

    @property
    def credited_tiyn(self) -> int:
        """What the payee's wallet got for it."""
        return 0 if self.state is SaleState.REFUSED else self.amount_tiyn - self.withheld_tiyn


@dataclass(frozen=True)
class Directory:
    """What every till needs to verify offline; each record is signed under the root."""

    root: bytes  # the root's public key
    certificates: tuple[Certificate, ...]  # issuer, banks, authorities, notary
    denylist: Denylist | None
    time: int  # the bank's clock, Unix seconds


@dataclass(frozen=True)
class PurseSync:
    """What a purse gets back for its export: carry all of it to the card."""

    acknowledgement: Acknowledgement
    policy: Policy | None  # only if it is newer than the purse's


class BankPort(Protocol):
    """The bank's public side. Every call may raise BankUnreachable or BankRefused."""

    def directory(self) -> Directory:
        """Certificates, denylist and clock."""

    def challenge(self) -> bytes:
        """16 fresh bytes for a purse's statement; good for one export."""

    def upload_sale(self, tokens: list[Token]) -> SaleResult:
        """One payment as the card answered it. Idempotent."""

    def upload_export(self, export: PurseExport) -> PurseSync:
        """One purse's journal over a challenge of `challenge`. Idempotent."""

    def upload_bundle(self, bundle: Bundle) -> list[SaleResult]:
        """Everything in a terminal's bundle file; its purse exports may have any challenge."""

    def acknowledgement(self, serial: bytes) -> PurseSync | None:
        """The newest acknowledgement of a purse, for a till to carry to its card."""

    def payment_state(self, payment_id: bytes, payee: bytes) -> SaleResult | None:
        """The bank's word on a payment that a till could not finish; None if it has none yet.

        A torn payment may have come to the bank by the payer's own sync. `payee` is the
        RecordId of the till's certificate: a card may give its payment_id to somebody else.
        """
