# SPDX-License-Identifier: Apache-2.0
"""A bank's policies: signed limits for its purses, each version replacing the one before."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from firmware.wire.certificate import TIER_SOFTWARE
from firmware.wire.layout import RESERVED, WireError
from firmware.wire.policy import (
    BANNED_PURPOSE_SLOTS,
    LIMITS,
    POLICY_EMERGENCY,
    Policy,
)
from host_bridge.bank import schema
from host_bridge.bank.office import Office
from host_bridge.sync.port import BankRefused

_DAY = 86_400
_LIMIT_NAMES = tuple(name for name, _ in LIMITS.fields if not name.startswith(RESERVED))

_FIRST: dict[str, object] = {
    "max_balance": 20_000_000,
    "max_payment": 5_000_000,
    "pinless_payment": 1_000_000,
    "pinless_total": 3_000_000,
    "max_offline_total": 15_000_000,
    "max_offline_seconds": 14 * _DAY,
    "max_offline_count": 50,
    "hop_limit": 4,
    "emergency": False,
    "tier": TIER_SOFTWARE,
    "banned_purposes": (),
    "banned_operations": 0,
    "valid_seconds": 365 * _DAY,
}

# In an emergency more is allowed offline, for longer: the line may stay away for weeks.
_EMERGENCY = {
    "max_offline_total": 20_000_000,
    "max_offline_seconds": 60 * _DAY,
    "max_offline_count": 60,
}


class Policies:
    """The banks' policies."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def current(self, bank_name: str) -> Policy:
        """The newest policy of a bank."""
        self._office.bank(bank_name)
        with self._office.store.read() as connection:
            return current_policy(connection, bank_name)

    def publish(self, bank_name: str, changes: dict[str, object]) -> Policy:
        """Sign and store the next version. Raises BankRefused for an unknown or bad limit."""
        self._office.bank(bank_name)
        with self._office.store.write() as connection:
            before = current_policy(connection, bank_name)
            settings = _settings_of(before) | _known(changes)
            return _publish(
                connection, self._office, bank_name, before.policy_version + 1, settings
            )


def current_policy(connection: Connection, bank_name: str) -> Policy:
    """The newest policy of a bank, within a transaction."""
    table = schema.policies
    newest = select(table.c.raw).where(table.c.bank == bank_name).order_by(table.c.version.desc())
    policy: Policy = Policy.parse(connection.execute(newest.limit(1)).scalar_one())
    return policy


def publish_first(
    connection: Connection, office: Office, bank_name: str, changes: dict[str, object]
) -> None:
    """Version 1 of a bank's policy: the defaults with the founding plan's changes."""
    _publish(connection, office, bank_name, 1, _FIRST | _known(changes))


def _known(changes: dict[str, object]) -> dict[str, object]:
    for name in changes:
        if name not in _FIRST:
            raise BankRefused(f"A policy has no limit called '{name}'.")
    return changes


def _settings_of(policy: Policy) -> dict[str, object]:
    settings: dict[str, object] = {
        name: LIMITS.unpack(policy.normal)[name] for name in _LIMIT_NAMES
    }
    settings["emergency"] = bool(policy.flags & POLICY_EMERGENCY)
    settings["tier"] = policy.tier
    settings["banned_purposes"] = tuple(p for p in policy.banned_purposes if p)
    settings["banned_operations"] = policy.banned_operations
    settings["valid_seconds"] = policy.valid_until - policy.issued_at
    return settings


def _publish(
    connection: Connection,
    office: Office,
    bank_name: str,
    version: int,
    settings: dict[str, object],
) -> Policy:
    bank = office.bank(bank_name)
    now = office.clock()
    banned = tuple(settings["banned_purposes"])  # type: ignore[arg-type, var-annotated]
    limits = {name: settings[name] for name in _LIMIT_NAMES}
    try:
        policy: Policy = Policy.issue(
            bank.key.sign,
            tier=settings["tier"],
            flags=POLICY_EMERGENCY if settings["emergency"] else 0,
            bank=bank.key.key_id,
            policy_version=version,
            currency=office.currency,
            issued_at=now,
            valid_until=now + int(settings["valid_seconds"]),  # type: ignore[call-overload]
            normal=LIMITS.pack(limits),
            emergency=LIMITS.pack(_emergency(limits)),
            banned_purposes=banned + (0,) * (BANNED_PURPOSE_SLOTS - len(banned)),
            banned_operations=settings["banned_operations"],
        )
    except (WireError, TypeError, ValueError) as error:
        raise BankRefused(f"This is not a policy: {error}.") from None
    row = {"bank": bank_name, "version": version, "raw": policy.raw}
    connection.execute(insert(schema.policies), row)
    return policy


def _emergency(limits: dict[str, object]) -> dict[str, object]:
    """The emergency set: the normal one, wider where it says how long one may be offline."""
    wider = dict(limits)
    for name, least in _EMERGENCY.items():
        normal = limits[name]
        wider[name] = max(normal, least) if isinstance(normal, int) else normal
    return wider
