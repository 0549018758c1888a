# SPDX-License-Identifier: Apache-2.0
"""From a blank card to a client's purse with money on it: what happens at a bank's desk.

The bank is handed in: the reference bank, or a core of its own with the same few verbs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware.wire.certificate import PURPOSE_GENERAL, ROLE_AUTHORITY, ROLE_ISSUER, Certificate
from firmware.wire.journal import KeyAttestation
from firmware.wire.limits import PUK_SIZE, VIEW_KEY_SIZE
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.purse import PurseSession
from host_bridge.session.secure_channel import DEFAULT_KEYS, ChannelError, diversify
from host_bridge.sync.port import Directory
from host_bridge.transport.base import Transport

Randomness = Callable[[int], bytes]


class KnownPurse(Protocol):
    """A purse in the bank's register."""

    @property
    def serial(self) -> bytes:
        """As its certificate has it."""

    @property
    def client_id(self) -> str:
        """Whose it is."""


class IssuingBank(Protocol):
    """What the desk asks of the bank behind it."""

    @property
    def root_public_key(self) -> bytes:
        """What a card trusts."""

    def certificate_of(self, name: str) -> Certificate:
        """A participant's certificate."""

    def certify_purse(
        self, bank_name: str, client_id: str, public_key: bytes, *, tier: int, view_key: bytes
    ) -> Certificate:
        """A certificate over a client's identity key."""

    def purses(self) -> Sequence[KnownPurse]:
        """Every purse that was certified."""

    def policy(self, bank_name: str) -> Policy:
        """The bank's current policy."""

    def directory(self) -> Directory:
        """The certificates that are in force."""

    def challenge(self) -> bytes:
        """16 fresh bytes for one attestation."""

    def load(
        self, bank_name: str, serial: bytes, attestation: KeyAttestation, amount_tiyn: int
    ) -> Note:
        """A general note, paid from the client's account."""

    def label(
        self,
        authority_name: str,
        serial: bytes,
        attestation: KeyAttestation,
        amount_tiyn: int,
        purpose: int,
    ) -> Note:
        """A special-purpose note, from an authority's budget."""


@dataclass(frozen=True)
class Order:
    """One card to be made for one client. Its repr shows no secret."""

    bank_name: str
    client_id: str
    pin: str = field(repr=False)
    puk: str = field(repr=False)
    master_key: bytes = field(repr=False)  # 32 bytes, from which the card's own keys are derived


def random_puk() -> str:
    """A PUK of random digits."""
    return "".join(str(secrets.randbelow(10)) for _ in range(PUK_SIZE))


def personalise(
    transport: Transport,
    bank: IssuingBank,
    order: Order,
    *,
    random: Randomness = secrets.token_bytes,
) -> Certificate:
    """Makes the blank card behind `transport` a purse; returns its identity certificate.

    Raises CardError (not blank, not a purse), the bank's refusal, or TransportError. Cut at any
    point before the end, the card is still blank and the same order may be begun anew.
    """
    transport.reset()
    session = IssuerSession(transport)
    tier = session.select().tier
    _open(session, bank, order)
    view_key = random(VIEW_KEY_SIZE)
    certificate = bank.certify_purse(
        order.bank_name,
        order.client_id,
        session.identity_key(),
        tier=tier,
        view_key=view_key,
    )
    session.personalise(
        Personalisation(
            root=bank.root_public_key,
            bank=bank.certificate_of(order.bank_name),
            purse=certificate,
            view_key=view_key,
            pin=order.pin,
            puk=order.puk,
            policy=bank.policy(order.bank_name),
            channel_keys=diversify(order.master_key, certificate.serial),
        )
    )
    transport.reset()
    return certificate


def _open(session: IssuerSession, bank: IssuingBank, order: Order) -> None:
    """Opens the channel: with a blank card's keys, or those that a cut order gave it before.

    Such a card does not say its serial, but the bank has it: it is one of this client's. Keys
    that do not fit cost nothing, since the card proves itself first.
    """
    try:
        session.open(DEFAULT_KEYS)
        return
    except ChannelError as error:
        first = error
    for purse in bank.purses():
        if purse.client_id == order.client_id:
            try:
                session.open(diversify(order.master_key, purse.serial))
                return
            except ChannelError:
                continue
    raise first


@dataclass(frozen=True)
class Wanted:
    """Money to be loaded: from the holder's account, or of a purpose from an authority."""

    amount_tiyn: int
    purpose: int = PURPOSE_GENERAL
    authority_name: str = ""


def load(
    transport: Transport, bank: IssuingBank, bank_name: str, pin: str, wanted: Wanted
) -> Note:
    """Loads one note in a tap of its own. The holder shows the PIN; the card makes the key.

    Cut after the bank's debit, it may be repeated: the card gives the same key again, and the
    bank the same note for it.
    """
    transport.reset()
    session = PurseSession(transport)
    session.select()
    session.verify_pin(pin)
    serial = session.certificate().serial
    attestation = session.generate_key(bank.challenge())
    if wanted.purpose == PURPOSE_GENERAL:
        note = bank.load(bank_name, serial, attestation, wanted.amount_tiyn)
    else:
        note = bank.label(
            wanted.authority_name, serial, attestation, wanted.amount_tiyn, wanted.purpose
        )
    roles = (ROLE_ISSUER, ROLE_AUTHORITY)
    for certificate in bank.directory().certificates:
        if certificate.role in roles and certificate.key_id == note.issuer:
            session.present(certificate)
    session.load(note)
    return note
