# SPDX-License-Identifier: Apache-2.0
"""Which notes pay: special purpose first, soonest expiry first, fewest pieces where it must."""

import pytest

from firmware.wire.certificate import PURPOSE_BEST_MATCH, PURPOSE_GENERAL
from firmware.wire.limits import MAX_PIECES
from firmware.wire.token import Token
from tests.card.bench import OK, Bench, refusal
from tests.doubles.desk import DAY, MEDICAL, NOW

BEST, GENERAL = PURPOSE_BEST_MATCH, PURPOSE_GENERAL


@pytest.fixture
def mixed(empty: Bench) -> Bench:
    """A card with 100 tiyn of general and 50 of medical money."""
    empty.desk.load(empty.session, 100)
    empty.desk.load(empty.session, 50, MEDICAL)
    return empty


def moved(bench: Bench, amount: int, payee: str, purpose: int = BEST) -> dict[int, int]:
    """What one payment moved, by purpose."""
    request = bench.desk.request(amount, getattr(bench.desk, payee), purpose=purpose)
    parts: dict[int, int] = {}
    for token in bench.pay(request):
        parts[token.note.purpose] = parts.get(token.note.purpose, 0) + token.amount_tiyn
    return parts


def refused(bench: Bench, amount: int, payee: str, purpose: int = BEST) -> int:
    before = bench.card.flash()
    payee_certificate = getattr(bench.desk, payee)
    word = refusal(
        bench.session.pay, bench.desk.request(amount, payee_certificate, purpose=purpose)
    )
    assert word == OK or bench.card.flash() == before
    return word


def test_a_clinic_takes_medical_money_first(mixed: Bench) -> None:
    assert moved(mixed, 30, "clinic") == {MEDICAL: 30}
    assert moved(mixed, 30, "clinic") == {MEDICAL: 20, GENERAL: 10}
    assert moved(mixed, 90, "clinic") == {GENERAL: 90}


def test_a_shop_takes_general_money_only(mixed: Bench) -> None:
    assert moved(mixed, 100, "shop") == {GENERAL: 100}
    assert refused(mixed, 1, "shop") == 0x9406
    assert refused(mixed, 50, "shop") == 0x9406
    assert refused(mixed, 51, "shop") == 0x9401, "so much is not there at all"


@pytest.mark.parametrize("payee", ["shop", "clinic"])
def test_general_money_by_name(payee: str, mixed: Bench) -> None:
    assert refused(mixed, 101, payee, GENERAL) == 0x9406
    assert moved(mixed, 100, payee, GENERAL) == {GENERAL: 100}


def test_medical_money_by_name(mixed: Bench) -> None:
    assert refused(mixed, 1, "shop", MEDICAL) == 0x9406
    assert refused(mixed, 51, "clinic", MEDICAL) == 0x9406
    assert moved(mixed, 50, "clinic", MEDICAL) == {MEDICAL: 50}


@pytest.mark.parametrize("purpose", [1, MEDICAL + 1, 0xFFFE])
def test_a_purpose_that_nobody_has(purpose: int, mixed: Bench) -> None:
    assert refused(mixed, 1, "clinic", purpose) == 0x9406


def test_soonest_expiry_first(empty: Bench) -> None:
    for days in (30, 10, 20):
        empty.desk.load(empty.session, 100, expires_at=NOW + days * DAY)

    def days_of(tokens: list[Token]) -> list[int]:
        return [(token.note.expires_at - NOW) // DAY for token in tokens]

    assert days_of(empty.pay(empty.desk.request(50))) == [10]
    assert days_of(empty.pay(empty.desk.request(100))) == [10, 20]
    assert days_of(empty.pay(empty.desk.request(150))) == [20, 30]


def test_expired_money_is_passed_over(empty: Bench) -> None:
    empty.desk.load(empty.session, 100, expires_at=NOW + 1)
    empty.desk.load(empty.session, 100)
    (token,) = empty.pay(empty.desk.request(100))
    assert token.note.expires_at > NOW + 60
    assert refused(empty, 1, "shop") == 0x940B


def test_fewest_pieces_where_the_soonest_are_too_many(empty: Bench) -> None:
    """Five small notes that end first, one large that ends last: the large one pays."""
    for number in range(MAX_PIECES + 1):
        empty.desk.load(empty.session, 10, expires_at=NOW + (number + 1) * DAY)
    empty.desk.load(empty.session, 1_000)
    tokens = empty.pay(empty.desk.request(41))
    assert [token.amount_tiyn for token in tokens] == [41]
    assert len(empty.pay(empty.desk.request(40))) == MAX_PIECES


def test_more_pieces_than_may_be_combined(empty: Bench) -> None:
    for _ in range(MAX_PIECES + 1):
        empty.desk.load(empty.session, 10)
    assert refused(empty, 10 * MAX_PIECES + 1, "shop") == 0x9402
    tokens = empty.pay(empty.desk.request(10 * MAX_PIECES))
    assert len(tokens) == MAX_PIECES
    assert len({token.note.note_id for token in tokens}) == MAX_PIECES
    assert len(b"".join(token.raw for token in tokens)) == MAX_PIECES * 360


def test_an_answer_of_four_pieces_is_the_same_again(empty: Bench) -> None:
    for _ in range(MAX_PIECES):
        empty.desk.load(empty.session, 10)
    request = empty.desk.request(31)
    tokens = empty.pay(request)
    empty.boot()
    again = empty.session.recover(request.payment_id)
    assert [token.raw for token in again] == [token.raw for token in tokens]
    assert [token.amount_tiyn for token in again] == [10, 10, 10, 1]
    assert empty.balance() == 9
