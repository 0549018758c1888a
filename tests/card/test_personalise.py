# SPDX-License-Identifier: Apache-2.0
"""STORE DATA, the identity key, ACTIVATE: what never becomes a purse, and what does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware.wire import apdu
from firmware.wire import certificate as roles
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_BLANK, Command
from firmware.wire.certificate import Certificate
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.exchange import CardRefused
from host_bridge.session.issuer import IssuerSession
from host_bridge.session.purse import PurseSession
from host_bridge.session.secure_channel import DEFAULT_KEYS, ChannelError, ChannelKeys
from tests.card.bench import OK, SELECT, refusal
from tests.doubles.desk import PIN, PUK, Desk
from tests.doubles.in_process import InProcessCard
from tests.doubles.power import MOMENTS, PowerCut, PowerSupply

KEYS = ChannelKeys(bytes(16), bytes(range(16)), b"\x07" * 16)


def opened(card: InProcessCard, keys: ChannelKeys = DEFAULT_KEYS) -> IssuerSession:
    session = IssuerSession(card)
    session.select()
    session.open(keys)
    return session


def items_for(desk: Desk, certificate: Certificate) -> dict[int, bytes]:
    return {
        apdu.ITEM_ROOT: desk.root.public_key,
        apdu.ITEM_BANK: desk.bank.raw,
        apdu.ITEM_PURSE: certificate.raw,
        apdu.ITEM_VIEW_KEY: bytes(16),
        apdu.ITEM_PIN: PIN.encode(),
        apdu.ITEM_PUK: PUK.encode(),
        apdu.ITEM_POLICY: desk.policy().raw,
        apdu.ITEM_CHANNEL_KEYS: KEYS.raw,
    }


def purse_certificate(desk: Desk, identity: bytes, **fields: object) -> Certificate:
    return desk.certify(desk.bank_key, identity, roles.ROLE_PURSE, **fields)


@pytest.mark.parametrize("item", [*range(1, 9), apdu.ITEM_ACTIVATE])
def test_only_through_the_channel(item: int, blank: InProcessCard) -> None:
    PurseSession(blank).select()
    before = blank.flash()
    command = Command(0x80, 0xE2, item, 0, bytes(8))
    assert blank.application.process(command.raw) == b"\x69\x87"
    assert blank.application.process(Command(0x80, 0x46, 1).raw) == b"\x69\x87"
    assert blank.flash() == before


@pytest.mark.parametrize(
    ("item", "data", "word"),
    [
        (apdu.ITEM_ROOT, bytes(63), 0x6700),
        (apdu.ITEM_BANK, bytes(200), 0x6A80),
        (apdu.ITEM_PURSE, bytes(199), 0x6A80),
        (apdu.ITEM_VIEW_KEY, bytes(15), 0x6700),
        (apdu.ITEM_VIEW_KEY, bytes(17), 0x6700),
        (apdu.ITEM_PIN, b"123", 0x6A80),
        (apdu.ITEM_PIN, b"1234567890123", 0x6A80),
        (apdu.ITEM_PIN, b"12a4", 0x6A80),
        (apdu.ITEM_PUK, b"1234567", 0x6A80),
        (apdu.ITEM_PUK, b"12345678a"[1:], 0x6A80),
        (apdu.ITEM_POLICY, bytes(184), 0x6A80),
        (apdu.ITEM_CHANNEL_KEYS, bytes(47), 0x6700),
        (apdu.ITEM_CHANNEL_KEYS, DEFAULT_KEYS.raw, 0x6A80),
        (apdu.ITEM_CHANNEL_KEYS, DEFAULT_KEYS.raw[:16] + bytes(32), 0x6A80),
        (apdu.ITEM_CHANNEL_KEYS, bytes(16) + DEFAULT_KEYS.raw[:16] + bytes(16), 0x6A80),
        (apdu.ITEM_CHANNEL_KEYS, bytes(32) + DEFAULT_KEYS.raw[:16], 0x6A80),
        (apdu.ITEM_ACTIVATE, b"1", 0x6700),
        (0x00, b"1", 0x6A86),
        (0x09, b"1", 0x6A86),
        (0xFF, b"1", 0x6A86),
    ],
)
def test_bad_items(item: int, data: bytes, word: int, blank: InProcessCard) -> None:
    session = opened(blank)
    before = blank.flash()
    assert refusal(session.store, item, data) == word
    assert blank.flash() == before


@pytest.mark.parametrize("missing", [None, *range(1, 9)])
def test_what_is_missing_keeps_it_blank(
    missing: int | None, blank: InProcessCard, desk: Desk
) -> None:
    """C09 too: a card with the keys that it came with never becomes a purse."""
    session = opened(blank)
    certificate = purse_certificate(desk, session.identity_key())
    for item, data in items_for(desk, certificate).items():
        if item != missing:
            session.store(item, data)
    assert refusal(session.activate) == (OK if missing is None else 0x6985)
    expected = LIFECYCLE_BLANK if missing else LIFECYCLE_ACTIVE
    blank.boot()
    assert PurseSession(blank).select().lifecycle == expected


def _other_key(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_PURSE: purse_certificate(desk, desk.shop.public_key).raw}


def _terminal_role(desk: Desk, identity: bytes) -> dict[int, bytes]:
    raw = desk.certify(desk.bank_key, identity, roles.ROLE_TERMINAL).raw
    return {apdu.ITEM_PURSE: raw}


def _higher_tier(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_PURSE: purse_certificate(desk, identity, tier=1).raw}


def _forged(desk: Desk, identity: bytes) -> dict[int, bytes]:
    forger = SigningKey.generate()
    raw = desk.certify(forger, identity, roles.ROLE_PURSE, issuer=desk.bank_key.key_id).raw
    return {apdu.ITEM_PURSE: raw}


def _other_banks_purse(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_PURSE: desk.certify(desk.other_bank_key, identity, roles.ROLE_PURSE).raw}


def _other_root(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_ROOT: SigningKey.generate().public_key}


def _root_off_the_curve(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_ROOT: bytes(64)}


def _bank_is_an_issuer(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_BANK: desk.issuer.raw}


def _foreign_policy(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_POLICY: desk.policy(signer=desk.other_bank_key).raw}


def _forged_policy(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_POLICY: desk.policy(signer=SigningKey.generate()).raw}


def _other_currency(desk: Desk, identity: bytes) -> dict[int, bytes]:
    return {apdu.ITEM_POLICY: desk.policy(currency=840).raw}


@pytest.mark.parametrize(
    "wrong",
    [
        _other_key,
        _terminal_role,
        _higher_tier,
        _forged,
        _other_banks_purse,
        _other_root,
        _root_off_the_curve,
        _bank_is_an_issuer,
        _foreign_policy,
        _forged_policy,
        _other_currency,
    ],
)
def test_what_does_not_fit_keeps_it_blank(
    wrong: Callable[..., object], blank: InProcessCard, desk: Desk
) -> None:
    session = opened(blank)
    identity = session.identity_key()
    good = items_for(desk, purse_certificate(desk, identity))
    for item, data in {**good, **wrong(desk, identity)}.items():
        session.store(item, data)
    assert refusal(session.activate) == 0x6985
    for item, data in good.items():
        session.store(item, data)
    session.activate()
    with pytest.raises(ChannelError):
        session.store(apdu.ITEM_PIN, b"0000")


def test_the_identity_is_made_once(blank: InProcessCard) -> None:
    first = opened(blank).identity_key()
    assert opened(blank).identity_key() == first
    blank.boot()
    assert opened(blank).identity_key() == first


def test_new_channel_keys_take_the_place_of_the_first(blank: InProcessCard) -> None:
    opened(blank).store(apdu.ITEM_CHANNEL_KEYS, KEYS.raw)
    with pytest.raises((ChannelError, CardRefused)):
        opened(blank)
    assert opened(blank, KEYS).identity_key()


def test_select_ends_the_channel(blank: InProcessCard) -> None:
    """Another selection, even of the same application, has no channel."""
    session = opened(blank)
    assert blank.application.process(SELECT.raw)[-2:] == b"\x90\x00"
    assert refusal(session.store, apdu.ITEM_PIN, b"0000") == 0x6985


def test_a_spoilt_command_ends_the_channel(blank: InProcessCard) -> None:
    session = opened(blank)
    assert blank.application.process(Command(0x84, 0xE2, 5, 0, bytes(24)).raw) == b"\x69\x88"
    with pytest.raises((ChannelError, CardRefused)):
        session.store(apdu.ITEM_PIN, b"0000")
    blank.boot()
    assert not blank.purse.access.has_pin


@pytest.mark.parametrize("moment", MOMENTS)
def test_cut_at_every_write(moment: str, tmp_path: Path) -> None:
    """T03, I9: a card that lost power on the issuer's desk is begun anew and completed."""
    supply = PowerSupply()
    whole = InProcessCard(tmp_path / "whole", supply)
    supply.fail(0, moment)
    personalise(Desk(), whole, DEFAULT_KEYS)
    writes = supply.writes
    number = 0
    while True:
        number += 1
        supply = PowerSupply()
        card = InProcessCard(tmp_path / f"{moment}{number}", supply)
        desk = Desk()
        supply.fail(number, moment)
        try:
            personalise(desk, card, DEFAULT_KEYS)
            break
        except PowerCut:
            supply.fail(0, moment)
        card.boot()
        if PurseSession(card).select().lifecycle == LIFECYCLE_BLANK:
            has_keys = card.memory.store.read("channel-keys") is not None
            personalise(desk, card, KEYS if has_keys else DEFAULT_KEYS)
        assert PurseSession(card).select().lifecycle == LIFECYCLE_ACTIVE
        desk.load(PurseSession(card), 1_000)
    assert number == writes + 1, "each write was cut"
    assert writes > 8 * 4, "eight records in two copies, each written and renamed"


def personalise(desk: Desk, card: InProcessCard, keys: ChannelKeys) -> None:
    session = opened(card, keys)
    certificate = purse_certificate(desk, session.identity_key())
    for item, data in items_for(desk, certificate).items():
        session.store(item, data)
    session.activate()
