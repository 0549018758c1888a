# SPDX-License-Identifier: Apache-2.0
"""A clerk's side of the API: clients, certificates, money, reports. All of it JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firmware.wire.journal import KeyAttestation
from firmware.wire.layout import PUBLIC_KEY_SIZE
from firmware.wire.limits import VIEW_KEY_SIZE
from host_bridge.bank.ledger import MAX_POSTING_TIYN
from host_bridge.bank.reference import ReferenceBank

_Tiyn = Annotated[int, Field(gt=0, le=MAX_POSTING_TIYN, strict=True)]
_Text = Annotated[str, Field(min_length=1, max_length=64)]
_Purpose = Annotated[int, Field(ge=0, le=0xFFFE, strict=True)]
_KEY_ATTESTATION = KeyAttestation.LAYOUT.size


def _lower(text: str) -> str:
    return text.lower()


def _hex(size: int) -> Any:
    pattern = f"^[0-9a-fA-F]{{{2 * size}}}$"
    return Annotated[str, Field(pattern=pattern), AfterValidator(_lower)]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClientOrder(_Order):
    """A person whom the bank identified."""

    bank: _Text
    client_id: _Text
    name: _Text
    kyc_reference: _Text


class MerchantOrder(ClientOrder):
    """A merchant: its category (ISO 18245) and the purposes that it accepts."""

    mcc: Annotated[int, Field(ge=0, le=9999, strict=True)] = 0
    purposes: Annotated[list[_Purpose], Field(max_length=4)] = []


class PurseOrder(_Order):
    """An identity key to certify, and the view key that the bank keeps."""

    bank: _Text
    client_id: _Text
    public_key: _hex(PUBLIC_KEY_SIZE)  # type: ignore[valid-type]
    view_key: _hex(VIEW_KEY_SIZE)  # type: ignore[valid-type]
    tier: Annotated[int, Field(ge=0, le=3, strict=True)]


class TerminalOrder(_Order):
    """A receiving key to certify."""

    bank: _Text
    merchant_id: _Text
    public_key: _hex(PUBLIC_KEY_SIZE)  # type: ignore[valid-type]


class MoneyOrder(_Order):
    """An amount for one client, merchant or bank; the same `reference` is done once."""

    owner: _Text
    amount_tiyn: _Tiyn
    reference: _Text


class NoteOrder(_Order):
    """A note for a purse: `payer` is the bank (load) or the authority (label)."""

    payer: _Text
    serial: _hex(16)  # type: ignore[valid-type]
    attestation: _hex(_KEY_ATTESTATION)  # type: ignore[valid-type]
    amount_tiyn: _Tiyn
    purpose: _Purpose = 0


class RecordAnswer(BaseModel):
    """One signed record in hexadecimal."""

    record: str


class Done(BaseModel):
    """It was done, now or before."""

    done: bool = True


def clerk_routes(bank: ReferenceBank) -> APIRouter:
    """All of a clerk's endpoints; who may call them is decided outside."""
    routes = APIRouter()
    _add_registry(routes, bank)
    _add_money(routes, bank)
    _add_reports(routes, bank)
    return routes


def _add_registry(routes: APIRouter, bank: ReferenceBank) -> None:
    @routes.post("/clients")
    def add_client(order: ClientOrder) -> Done:
        """Register a person."""
        bank.add_client(order.bank, order.client_id, order.name, order.kyc_reference)
        return Done()

    @routes.post("/merchants")
    def add_merchant(order: MerchantOrder) -> Done:
        """Register a merchant."""
        bank.add_merchant(
            order.bank,
            order.client_id,
            order.name,
            order.kyc_reference,
            mcc=order.mcc,
            purposes=order.purposes,
        )
        return Done()

    @routes.post("/purses")
    def certify_purse(order: PurseOrder) -> RecordAnswer:
        """Certify a purse's identity key."""
        certificate = bank.certify_purse(
            order.bank,
            order.client_id,
            bytes.fromhex(order.public_key),
            tier=order.tier,
            view_key=bytes.fromhex(order.view_key),
        )
        return RecordAnswer(record=certificate.raw.hex())

    @routes.post("/terminals")
    def certify_terminal(order: TerminalOrder) -> RecordAnswer:
        """Certify a terminal's key."""
        certificate = bank.certify_terminal(
            order.bank, order.merchant_id, bytes.fromhex(order.public_key)
        )
        return RecordAnswer(record=certificate.raw.hex())


def _add_money(routes: APIRouter, bank: ReferenceBank) -> None:
    @routes.post("/deposits")
    def deposit(order: MoneyOrder) -> Done:
        """Cash onto a current account."""
        bank.deposit(order.owner, order.amount_tiyn, reference=order.reference.encode())
        return Done()

    @routes.post("/issues")
    def issue(order: MoneyOrder) -> Done:
        """Digital tenge to a bank against its reserves."""
        bank.issue(order.owner, order.amount_tiyn, reference=order.reference.encode())
        return Done()

    @routes.post("/redemptions")
    def redeem(order: MoneyOrder) -> Done:
        """A merchant's digital wallet to its current account."""
        bank.redeem(order.owner, order.amount_tiyn, reference=order.reference.encode())
        return Done()

    @routes.post("/loads")
    def load(order: NoteOrder) -> RecordAnswer:
        """A note from the client's current account."""
        attestation = KeyAttestation.parse(bytes.fromhex(order.attestation))
        note = bank.load(
            order.payer,
            bytes.fromhex(order.serial),
            attestation,
            order.amount_tiyn,
            order.purpose,
        )
        return RecordAnswer(record=note.raw.hex())

    @routes.post("/labels")
    def label(order: NoteOrder) -> RecordAnswer:
        """A special-purpose note from an authority's budget."""
        attestation = KeyAttestation.parse(bytes.fromhex(order.attestation))
        note = bank.label(
            order.payer,
            bytes.fromhex(order.serial),
            attestation,
            order.amount_tiyn,
            order.purpose,
        )
        return RecordAnswer(record=note.raw.hex())


def _add_reports(routes: APIRouter, bank: ReferenceBank) -> None:
    @routes.get("/totals")
    def totals() -> dict[str, int]:
        """Where all digital tenge is, in tiyn."""
        return asdict(bank.totals())

    @routes.get("/balances")
    def balances() -> list[dict[str, Any]]:
        """Clients and merchants."""
        return [asdict(line) for line in bank.balances()]

    @routes.get("/purses")
    def purses() -> list[dict[str, Any]]:
        """Purses; serials in hexadecimal."""
        return [asdict(line) | {"serial": line.serial.hex()} for line in bank.purses()]

    @routes.get("/fraud")
    def fraud(viewer: _Text | None = None) -> list[dict[str, Any]]:
        """Double spends; the spender is named to its own bank, `viewer`."""
        return [
            {
                name: value.hex() if isinstance(value, bytes) else value
                for name, value in asdict(case).items()
            }
            for case in bank.fraud_cases(viewer)
        ]

    @routes.get("/audit")
    def audit() -> list[dict[str, Any]]:
        """The findings of a full audit; none is good."""
        return [asdict(finding) for finding in bank.audit()]
