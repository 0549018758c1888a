# SPDX-License-Identifier: Apache-2.0
"""Founding a bank, once: keys, certificates under a new root, first policies, opening balances.

In production the root signs offline and its key never comes near this folder; here it lies
with the others, and nothing after the founding reads it.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, insert, select

from firmware.crypto.p256 import ORDER
from firmware.purse.trust import Rejected, Trust
from firmware.wire.certificate import (
    CURRENCY_KZT,
    PURPOSE_SLOTS,
    ROLE_AUTHORITY,
    ROLE_BANK,
    ROLE_ISSUER,
    ROLE_NOTARY,
    TIER_CARD,
    Certificate,
    label_bytes,
)
from firmware.wire.layout import SERIAL_SIZE, WireError
from host_bridge.bank import ledger, schema
from host_bridge.bank.books import open_bank, put_budget
from host_bridge.bank.office import Clock, NoteCaps, Office, Participant, Randomness
from host_bridge.bank.policies import publish_first
from host_bridge.bank.store import DATABASE, Store
from host_bridge.crypto import p256
from host_bridge.crypto.keys import KeyFileError, SigningKey
from host_bridge.sync.port import BankRefused

KEYS = "keys"
OPERATOR_TOKEN = "operator.token"

_DAY = 86_400
_VALIDITY_SECONDS = 10 * 365 * _DAY
CLOCK_SKEW_SECONDS = _DAY  # a device's clock may be this far behind when a certificate is new
_MAX_PLAN_BYTES = 65_536
_MAX_PARTICIPANTS = 32
_PRIVATE_SEED = 40  # 64 bits more than the order: taking the remainder leaves no bias
_TOKEN_BYTES = 32

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,23}$")]
Tiyn = Annotated[int, Field(ge=0, le=10**15)]
U32 = Annotated[int, Field(ge=1, le=0xFFFF_FFFF)]
Purpose = Annotated[int, Field(ge=1, le=0xFFFE)]


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NotePlan(_Plan):
    """The caps of a bank's notes; see `NoteCaps`."""

    hop_limit: Annotated[int, Field(ge=1, le=8)] = NoteCaps.hop_limit
    min_tier: Annotated[int, Field(ge=0, le=TIER_CARD)] = NoteCaps.min_tier
    max_payment_tiyn: U32 = NoteCaps.max_payment_tiyn
    max_transfers: Annotated[int, Field(ge=1, le=0xFFFF)] = NoteCaps.max_transfers
    validity_seconds: Annotated[int, Field(ge=60, le=_VALIDITY_SECONDS)] = (
        NoteCaps.validity_seconds
    )


class BankPlan(_Plan):
    """A second-tier bank; `correspondent_tiyn` and `cash_tiyn` are its opening reserves."""

    name: Name
    correspondent_tiyn: Tiyn = 0
    cash_tiyn: Tiyn = 0
    notes: NotePlan = NotePlan()
    policy: dict[str, object] = {}


class AuthorityPlan(_Plan):
    """A public authority, the purposes that it may label, and its budget account's bank."""

    name: Name
    bank: Name
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=PURPOSE_SLOTS)]
    budget_tiyn: Tiyn = 0


class FoundingPlan(_Plan):
    """Who takes part. Without anything said: two banks, one authority, no opening balances."""

    currency: Annotated[int, Field(ge=1, le=999)] = CURRENCY_KZT
    grace_days: Annotated[int, Field(ge=0, le=3650)] = 30  # for chains that arrive after expiry
    banks: Annotated[tuple[BankPlan, ...], Field(min_length=1, max_length=_MAX_PARTICIPANTS)] = (
        BankPlan(name="bank-a"),
        BankPlan(name="bank-b"),
    )
    authorities: Annotated[tuple[AuthorityPlan, ...], Field(max_length=_MAX_PARTICIPANTS)] = (
        AuthorityPlan(name="health", bank="bank-a", purposes=(1,)),
    )

    @classmethod
    def read(cls, path: Path) -> FoundingPlan:
        """The plan in a TOML file. Raises BankRefused, in one sentence, for anything else."""
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_PLAN_BYTES + 1).decode()
            if len(text) > _MAX_PLAN_BYTES:
                raise BankRefused(f"The file {path} is too large for a founding plan.")
            return cls.model_validate(tomllib.loads(text))
        except OSError as error:
            raise BankRefused(f"The file {path} cannot be read: {error.strerror}.") from None
        except (UnicodeError, tomllib.TOMLDecodeError) as error:
            raise BankRefused(f"The file {path} is not TOML: {error}.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BankRefused(f"In {path}, {place}: {first['msg']}.") from None


def found(folder: Path, plan: FoundingPlan, clock: Clock, random: Randomness) -> None:
    """Make a bank in `folder`, which must be new or empty.

    Raises BankRefused; a plan that turns out bad leaves the folder empty, for a better one.
    """
    _check_names(plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BankRefused(f"The folder {folder} is not empty.")
        os.chmod(folder, 0o700)
        (folder / KEYS).mkdir(mode=0o700)
        keys = _make_keys(folder / KEYS, plan, random)
        _write_token(folder / KEYS / OPERATOR_TOKEN, random(_TOKEN_BYTES).hex())
    except OSError as error:
        raise BankRefused(f"The folder {folder} cannot be made: {error.strerror}.") from None
    try:
        _open_books(folder, plan, keys, clock, random)
    except BankRefused:
        shutil.rmtree(folder / KEYS)  # nothing was ever signed with them that anybody saw
        for path in folder.glob(f"{DATABASE}*"):
            path.unlink()
        raise


def _open_books(
    folder: Path,
    plan: FoundingPlan,
    keys: dict[str, SigningKey],
    clock: Clock,
    random: Randomness,
) -> None:
    """The database, with everybody in it and everybody's opening balance, or none of it."""
    store = Store(folder / DATABASE)
    try:
        with store.write() as connection:
            _sign_in(connection, plan, keys, clock(), random)
            office = _office(store, connection, keys, clock, random)
            for bank in plan.banks:
                publish_first(connection, office, bank.name, bank.policy)
                open_bank(
                    connection, office, bank.name, bank.correspondent_tiyn, bank.cash_tiyn, {}
                )
            for authority in plan.authorities:
                name = ledger.scoped(authority.name, b"founding", b"")
                put_budget(connection, office, authority.name, authority.budget_tiyn, name)
    finally:
        store.close()


def open_office(folder: Path, clock: Clock, random: Randomness) -> Office:
    """The office of a bank that was founded in `folder`. Raises BankRefused."""
    if not (folder / DATABASE).is_file():
        raise BankRefused(f"There is no bank in {folder}.")
    store = Store(folder / DATABASE)
    try:
        with store.read() as connection:
            names = connection.execute(select(schema.participants.c.name)).scalars().all()
            keys = {name: SigningKey.load(_key_path(folder / KEYS, name)) for name in names}
            return _office(store, connection, keys, clock, random)
    except (KeyFileError, Rejected, WireError) as error:
        store.close()
        raise BankRefused(str(error)) from None
    except BankRefused:
        store.close()
        raise


def read_token(folder: Path) -> str:
    """The bearer token of the clerk's side of the API. Raises BankRefused."""
    path = folder / KEYS / OPERATOR_TOKEN
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeError):
        raise BankRefused(f"The operator's token {path} cannot be read.") from None


def new_key(random: Randomness) -> SigningKey:
    """A key from the handed-in randomness, so that the same source founds the same bank."""
    secret = 1 + int.from_bytes(random(_PRIVATE_SEED), "big") % (ORDER - 1)
    return SigningKey(ec.derive_private_key(secret, ec.SECP256R1()))


def _check_names(plan: FoundingPlan) -> None:
    banks = [bank.name for bank in plan.banks]
    names = ["root", "issuer", "notary", *banks, *(a.name for a in plan.authorities)]
    for name in names:
        if names.count(name) > 1:
            raise BankRefused(f"The name '{name}' stands twice in the founding plan.")
    for authority in plan.authorities:
        if authority.bank not in banks:
            raise BankRefused(f"The bank '{authority.bank}' of '{authority.name}' is unknown.")


def _make_keys(folder: Path, plan: FoundingPlan, random: Randomness) -> dict[str, SigningKey]:
    names = ["root", "issuer", "notary"]
    names += [bank.name for bank in plan.banks] + [one.name for one in plan.authorities]
    keys = {name: new_key(random) for name in names}
    for name, key in keys.items():
        key.save(_key_path(folder, name))
    return keys


def _key_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"


def _write_token(path: Path, token: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")


def _sign_in(
    connection: Connection,
    plan: FoundingPlan,
    keys: dict[str, SigningKey],
    now: int,
    random: Randomness,
) -> None:
    """Write the foundation and every participant with a certificate signed by the root."""
    row = {"root": keys["root"].public_key, "currency": plan.currency}
    connection.execute(
        insert(schema.foundation), row | {"id": 1, "grace_seconds": plan.grace_days * _DAY}
    )

    def add(
        name: str,
        role: int,
        bank: str | None = None,
        purposes: tuple[int, ...] = (),
        caps: dict[str, object] | None = None,
    ) -> None:
        certificate: Certificate = Certificate.issue(
            keys["root"].sign,
            role=role,
            tier=TIER_CARD,
            serial=random(SERIAL_SIZE),
            issuer=keys["root"].key_id,
            public_key=keys[name].public_key,
            not_before=max(0, now - CLOCK_SKEW_SECONDS),
            not_after=now + _VALIDITY_SECONDS,
            currency=plan.currency,
            mcc=0,
            purposes=purposes + (0,) * (PURPOSE_SLOTS - len(purposes)),
            label=label_bytes(name),
        )
        values = {"name": name, "role": role, "certificate": certificate.raw, "bank": bank}
        note_caps = json.dumps(caps or {})
        connection.execute(insert(schema.participants), values | {"note_caps": note_caps})

    add("issuer", ROLE_ISSUER)
    add("notary", ROLE_NOTARY)
    for bank in plan.banks:
        add(bank.name, ROLE_BANK, caps=bank.notes.model_dump())
    for authority in plan.authorities:
        add(authority.name, ROLE_AUTHORITY, authority.bank, purposes=authority.purposes)


def _office(
    store: Store,
    connection: Connection,
    keys: dict[str, SigningKey],
    clock: Clock,
    random: Randomness,
) -> Office:
    facts = connection.execute(select(schema.foundation)).one_or_none()
    if facts is None:
        raise BankRefused(f"The founding of the bank in {store.path.parent} was not finished.")
    trust = Trust(facts.root, p256.verify)
    participants = {}
    for row in connection.execute(select(schema.participants)).all():
        certificate = Certificate.parse(row.certificate)
        trust.add(certificate)
        if keys[row.name].public_key != certificate.public_key:
            raise BankRefused(f"The key of '{row.name}' is not the one in its certificate.")
        caps = NoteCaps(**{**asdict(NoteCaps()), **json.loads(row.note_caps)})
        participants[row.name] = Participant(
            row.name, certificate, keys[row.name], row.bank or "", caps
        )
    return Office(store, trust, participants, facts.currency, facts.grace_seconds, clock, random)
