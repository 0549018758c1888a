# SPDX-License-Identifier: Apache-2.0
"""GENERATE KEY and LOAD: attested keys, notes that are believed, slots that are used again."""

import secrets

import pytest

from firmware.wire import status
from firmware.wire.layout import sha256
from firmware.wire.limits import MAX_PIECES, TOKEN_KEYS
from firmware.wire.policy import BAN_LOAD
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from tests.card.bench import OK, Bench, refusal
from tests.doubles.desk import LIMIT_VALUES, MEDICAL, NOW, PIN
from tests.doubles.power import MOMENTS, PowerCut, PowerSupply


@pytest.fixture
def owner(empty: Bench) -> bytes:
    """A key of the empty card that waits for its note; issuer and authority are known to it."""
    empty.session.verify_pin(PIN)
    empty.session.present(empty.desk.issuer)
    empty.session.present(empty.desk.authority)
    return empty.session.generate_key(bytes(16)).public_key


def test_the_key_is_attested(empty: Bench) -> None:
    empty.session.verify_pin(PIN)
    identity = empty.session.certificate()
    challenge = secrets.token_bytes(16)
    attestation = empty.session.generate_key(challenge)
    assert attestation.challenge == challenge
    assert attestation.serial == identity.serial
    assert p256.verify(identity.public_key, sha256(attestation.body), attestation.signature)
    again = empty.session.generate_key(challenge)
    assert again.raw == attestation.raw, "a key that waits for its note is given again"
    assert attestation.public_key != identity.public_key


def test_each_note_has_a_key_of_its_own(empty: Bench) -> None:
    """I7: two payments from two notes cannot be linked by their keys."""
    notes = [empty.desk.load(empty.session, 100 + number) for number in range(TOKEN_KEYS)]
    assert len({note.owner for note in notes}) == TOKEN_KEYS
    assert refusal(empty.session.generate_key, bytes(16)) == 0x6A84
    assert empty.balance() == sum(note.value for note in notes)


def test_a_good_note_and_again(empty: Bench, owner: bytes) -> None:
    note = empty.desk.note(owner, 500)
    empty.session.load(note)
    after = empty.card.flash()
    empty.session.load(note)
    empty.boot()
    empty.session.load(note)
    assert empty.card.flash() == after
    assert empty.balance() == 500


def test_a_note_is_public_money_to_a_private_key(empty: Bench, owner: bytes) -> None:
    """LOAD asks for no PIN: whoever brings money is welcome."""
    empty.tap()
    empty.session.load(empty.desk.note(owner, 500))
    assert empty.balance() == 500


def test_spent_money_does_not_come_back(empty: Bench) -> None:
    """I1: the same note after it was spent, wholly or in part, changes nothing."""
    note = empty.desk.load(empty.session, 500)
    for amount in (200, 300):
        empty.pay(empty.desk.request(amount))
        empty.session.load(note)
        empty.boot()
        empty.session.load(note)
    assert empty.balance() == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"owner": None}, 0x6A88),  # a key that it has not
        ({"currency": 840}, 0x9407),
        ({"issuer": bytes(8)}, 0x6A88),  # a signer that it does not know
        ({"purpose": MEDICAL}, 0x6A88),  # the issuer is no authority
        ({"min_tier": 1}, 0x940C),
        ({"issued_at": NOW - 500 * 86_400}, 0x6A80),  # before its issuer's certificate
    ],
)
def test_bad_notes(changes: dict[str, object], word: int, empty: Bench, owner: bytes) -> None:
    desk = empty.desk
    changes = {"owner": owner, "value": 500, "issuer": desk.issuer_key.key_id, **changes}
    changes["owner"] = changes["owner"] or SigningKey.generate().public_key
    purpose = changes.pop("purpose", 0)
    before = empty.card.flash()
    note = desk.note(**{**changes, "purpose": purpose})
    assert refusal(empty.session.load, note) == word
    assert empty.card.flash() == before


def test_counterfeit(empty: Bench, owner: bytes) -> None:
    """General money of an authority, money of a purpose that is not its own, a wrong key."""
    desk = empty.desk
    before = empty.card.flash()
    for fake in (
        desk.note(owner, 500, MEDICAL + 1),
        desk.note(owner, 500, issuer=desk.authority_key.key_id),
        desk.note(owner, 500, MEDICAL, issuer=desk.issuer_key.key_id),
    ):
        assert refusal(empty.session.load, fake) in (0x6A80, 0x6A88)
    desk_of_the_forger = SigningKey.generate()
    real, desk.issuer_key = desk.issuer_key, desk_of_the_forger
    forged = desk.note(owner, 500, issuer=real.key_id)
    desk.issuer_key = real
    assert refusal(empty.session.load, forged) == 0x6A80
    assert empty.card.flash() == before


def test_unknown_issuer_is_presented(empty: Bench) -> None:
    empty.session.verify_pin(PIN)
    owner = empty.session.generate_key(bytes(16)).public_key
    note = empty.desk.note(owner, 500, MEDICAL)
    assert refusal(empty.session.load, note) == 0x6A88
    empty.session.present(empty.desk.authority)
    empty.session.load(note)
    assert empty.session.balance() == {0: 0, MEDICAL: 500}


def test_max_balance(empty: Bench, owner: bytes) -> None:
    limit = LIMIT_VALUES["max_balance"]
    over = empty.desk.note(owner, limit + 1)
    assert refusal(empty.session.load, over) == 0x940D
    empty.session.load(empty.desk.note(owner, limit))
    other = empty.session.generate_key(bytes(16)).public_key
    tiny = empty.desk.note(other, 1, MEDICAL)
    assert refusal(empty.session.load, tiny) == 0x940D, "purposes count together"
    empty.pay(empty.desk.request(1))
    empty.session.load(tiny)


def test_banned_load(empty: Bench, owner: bytes) -> None:
    desk = empty.desk
    empty.session.set_policy(desk.policy(banned_operations=BAN_LOAD))
    assert refusal(empty.session.load, desk.note(owner, 500)) == status.BANNED
    banned = (MEDICAL, 0, 0, 0, 0, 0, 0, 0)
    empty.session.set_policy(desk.policy(banned_purposes=banned))
    assert refusal(empty.session.load, desk.note(owner, 500, MEDICAL)) == status.BANNED
    empty.session.load(desk.note(owner, 500))


def spend_all_slots(bench: Bench) -> list:  # type: ignore[type-arg]
    """Fills every slot, spends every note, and lets the bank acknowledge it all."""
    desk = bench.desk
    notes = [desk.load(bench.session, 10) for _ in range(TOKEN_KEYS)]
    for _ in notes:
        bench.pay(desk.request(10))
    return notes


def test_slots_of_spent_notes_are_used_again(empty: Bench) -> None:
    """Once the bank has their entries, the oldest first; every note that is still held answers."""
    desk = empty.desk
    notes = spend_all_slots(empty)
    paid = list(empty.taken)
    assert refusal(empty.session.generate_key, bytes(16)) == 0x6A84
    empty.session.acknowledge(desk.acknowledge(empty.session.export(bytes(16))))
    for number in range(TOKEN_KEYS):
        fresh = desk.load(empty.session, 10)
        assert fresh.owner not in {note.owner for note in notes}
        gone = number + 1
        words = [refusal(empty.session.recover, transfer.payment_id) for transfer in paid]
        assert words == [0x6985] * gone + [OK] * (TOKEN_KEYS - gone)
    assert refusal(empty.session.generate_key, bytes(16)) == 0x6A84
    for note in notes:
        assert refusal(empty.session.load, note) == 0x6A88
    empty.boot()
    assert empty.balance() == 10 * TOKEN_KEYS


def test_a_purse_that_spent_all_it_had_is_loaded_again(empty: Bench) -> None:
    """Its last few payments used every slot: with no money it could never make them older."""
    desk = empty.desk
    for _ in range(TOKEN_KEYS):
        desk.load(empty.session, 10)
    for _ in range(TOKEN_KEYS // MAX_PIECES):
        assert len(empty.pay(desk.request(10 * MAX_PIECES))) == MAX_PIECES
    empty.session.acknowledge(desk.acknowledge(empty.session.export(bytes(16))))
    assert empty.balance() == 0
    desk.load(empty.session, 10)
    empty.boot()
    empty.pay(desk.request(10))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cut_while_a_slot_is_freed_revives_no_note(moment: str, empty: Bench) -> None:
    """I1, T03: between the spent note's end and the new key, the old note may not come back."""
    notes = spend_all_slots(empty)
    empty.session.acknowledge(empty.desk.acknowledge(empty.session.export(bytes(16))))
    number = 0
    while True:
        number += 1
        supply = PowerSupply()
        torn = empty.twin(empty.folder.with_name(f"{moment}{number}"), supply)
        torn.session.verify_pin(PIN)
        supply.fail(number, moment)
        try:
            torn.session.generate_key(bytes(16))
            break
        except PowerCut:
            supply.fail(0, moment)
        torn.boot()
        for note in notes:
            refusal(torn.session.load, note)
        assert torn.balance() == 0
        fresh = torn.desk.load(torn.session, 10)
        assert fresh.owner not in {note.owner for note in notes}
        torn.pay(torn.desk.request(10))
    assert number > 7, "the key and its copy, the state, the note and its copy were each cut"
