# SPDX-License-Identifier: Apache-2.0
"""Who takes part: a root, banks, issuers, payees good and bad, and a card that Bank A has issued.

All keys follow from names, so that a seed gives the same bytes on every machine. Amounts are in
tiyn, times in Unix seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from tests.doubles import plain_records as records
from tests.doubles.plain_records import AUTHORITY, BANK, ISSUER, NOTARY, PURSE, TERMINAL, Limits

NOW = 1_790_000_000  # September 2026
DAY = 86_400
Y2000 = 946_684_800
PIN, PUK = b"2580", b"12345678"
PINS = (PIN, b"123456", b"000000000000", b"9999")
TENGE, DOLLAR = 398, 840
MEDICAL, FOOD, NOBODYS = 7, 9, 11  # purposes
SERIAL = b"purse of Alice.."
VIEW_KEY = b"view key of A..."
LIMITS = Limits(3_000, 400, 100, 250, 1_500, 30 * DAY, 40)
LONG = (NOW - 100 * DAY, NOW + 4_000 * DAY)


class Payee(NamedTuple):
    """A terminal, or what pretends to be one; `flaw` says why no purse should pay it."""

    name: str
    raw: bytes
    bank: str
    purposes: tuple[int, ...]
    begins: int
    ends: int
    currency: int
    flaw: str


class Shown(NamedTuple):
    """A certificate for PRESENT CERTIFICATE. key: whose it is; word: what a blank purse says."""

    key: str
    raw: bytes
    begins: int
    ends: int
    word: int


@cache
def secret(name: str) -> bytes:
    """The private key of somebody."""
    number = int.from_bytes(records.sha256(b"town/" + name.encode()), "big")
    return (number % (records.ORDER - 1) + 1).to_bytes(32, "big")


@cache
def key(name: str) -> bytes:
    """The public key of somebody."""
    return records.public_key(secret(name))


def _under(signer: str, name: str, role: int, dates: tuple[int, int], **fields: object) -> bytes:
    return records.make_certificate(
        secret(signer), key(name), role, begins=dates[0], ends=dates[1], **fields
    )


BANK_A = _under("root", "bank A", BANK, LONG, label=b"Bank A")
OWN = _under("bank A", "identity", PURSE, (NOW - DAY, NOW + 5_000 * DAY), serial=SERIAL)


def _payees() -> dict[str, Payee]:
    found = {}

    def add(name: str, bank: str, dates: tuple[int, int], **more: Any) -> None:
        flaw, currency = more.get("flaw", ""), more.get("currency", TENGE)
        purposes = (more.get("purposes", ()) + (0,) * 4)[:4]
        role = PURSE if flaw == "role" else TERMINAL
        raw = _under(
            bank, name, role, dates, purposes=purposes, currency=currency, label=name.encode()
        )
        if flaw == "forged":
            body = raw[:28] + key("thief") + raw[92:-64]
            raw = records.signed(secret("thief"), body)
        if flaw == "broken":
            raw = raw[:100] + b"\xff\xff" + raw[102:110] + b"\xff\xff" + raw[112:]
        found[name] = Payee(name, raw, bank, purposes, *dates, currency, flaw)

    add("shop", "bank A", LONG)
    add("clinic", "bank A", LONG, purposes=(MEDICAL,))
    add("market", "bank A", LONG, purposes=(MEDICAL, FOOD))
    add("far", "bank B", LONG, purposes=(FOOD,))
    add("closing", "bank E", LONG)
    add("young", "bank A", (NOW + 10 * DAY, NOW + 900 * DAY))
    add("old", "bank A", (NOW - 90 * DAY, NOW + 20 * DAY))
    add("foreign", "bank of nowhere", LONG)
    add("dollars", "bank D", LONG, currency=DOLLAR)
    add("mixed", "bank A", LONG, currency=DOLLAR, flaw="currency")
    add("forged", "bank A", LONG, flaw="forged")
    add("purse", "bank A", LONG, flaw="role")
    add("broken", "bank A", LONG, flaw="broken")
    return found


PAYEES = _payees()


def _shown() -> dict[str, Shown]:
    found = {}

    def add(name: str, who: str, role: int, dates: tuple[int, int], **more: object) -> None:
        word, signer = more.pop("word", 0x9000), str(more.pop("signer", "root"))
        raw = _under(signer, who, role, dates, **more)
        found[name] = Shown(f"{role} {who}", raw, *dates, int(str(word)))

    begins, ends = LONG
    add("issuer", "issuer", ISSUER, (begins, ends - 50 * DAY))
    add("issuer renewed", "issuer", ISSUER, (begins, ends - 40 * DAY))
    add("issuer older", "issuer", ISSUER, (begins - DAY, ends + 40 * DAY))
    add("medical", "authority 7", AUTHORITY, (begins, ends - 49 * DAY), purposes=(7, 0, 0, 0))
    add("food", "authority 9", AUTHORITY, (begins, ends - 48 * DAY), purposes=(9, 0, 0, 0))
    add("bank B", "bank B", BANK, (begins, ends - 47 * DAY))
    add("bank E", "bank E", BANK, (begins, NOW + 25 * DAY))
    add("bank D", "bank D", BANK, (begins, ends - 46 * DAY), currency=DOLLAR)
    add("bank A", "bank A", BANK, LONG, label=b"Bank A")
    add("bank A renewed", "bank A", BANK, (begins, ends + 9 * DAY))
    add("notary", "notary", NOTARY, (begins, ends - 45 * DAY))
    for number in range(12):
        who = f"issuer {number}"
        add(who, who, ISSUER, (begins + number * DAY, ends - (44 + number % 20) * DAY - number))
    add("root's enemy", "bank X", BANK, LONG, signer="thief", word=0x9408)
    add("terminal", "shop 2", TERMINAL, LONG, word=0x9408)
    add("purse", "purse 2", PURSE, LONG, word=0x9408)
    add("under bank A", "bank Y", BANK, LONG, signer="bank A", word=0x9408)
    body = found["notary"].raw[:28] + key("thief") + found["notary"].raw[92:-64]
    forged = records.signed(secret("thief"), body)
    found["forged"] = Shown("7 thief", forged, *LONG, 0x9408)
    broken = found["notary"].raw[:150]
    found["cut off"] = Shown("7 cut off", broken, *LONG, 0x6A80)
    return found


SHOWN = _shown()


def first_policy() -> bytes:
    """The policy that the card is personalised with."""
    return policy(1, LIMITS)


def policy(version: int, limits: Limits, **fields: object) -> bytes:
    """A policy of Bank A's, or of `signer`'s."""
    signer = secret(str(fields.pop("signer", "bank A")))
    dates = (NOW - DAY, NOW + 3_000 * DAY)
    return records.make_policy(signer, version, dates, limits, **fields)
