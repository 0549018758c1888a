# SPDX-License-Identifier: Apache-2.0
"""Each cap at its boundary: the last payment that fits, and the first that does not (I10)."""

from pathlib import Path

import pytest

from firmware.wire.limits import JOURNAL_CAPACITY
from firmware.wire.policy import BAN_PAY, BAN_PURSE_TO_PURSE, POLICY_EMERGENCY
from tests.card.bench import OK, Bench, refusal
from tests.doubles.desk import DAY, LIMIT_VALUES, MEDICAL, NOW, PIN


def pays(bench: Bench, amount: int, **changes: object) -> int:
    """The word of one payment at the shop, verified if it was made."""
    request = bench.desk.request(amount, **changes)
    word = refusal(bench.session.pay, request)
    if word == OK:
        bench.verified(request, bench.session.recover(request.payment_id))
    return word


def limited(bench: Bench, **limits: int) -> None:
    bench.session.set_policy(bench.desk.policy(**limits))


def test_max_payment(shown: Bench) -> None:
    limited(shown, max_payment=700_000)
    assert pays(shown, 700_001) == 0x9402
    assert pays(shown, 700_000) == OK


def test_max_payment_of_the_note(empty: Bench) -> None:
    """What one transfer of a note may move; two notes may move twice that."""
    empty.desk.load(empty.session, 1_000, max_payment=300)
    assert pays(empty, 301) == 0x9402
    assert pays(empty, 300) == OK
    empty.desk.load(empty.session, 1_000, max_payment=300)
    assert pays(empty, 601) == 0x9402
    assert pays(empty, 600) == OK
    assert empty.balance() == 1_100


def test_max_transfers_of_the_note(empty: Bench) -> None:
    empty.desk.load(empty.session, 1_000, max_transfers=2)
    assert pays(empty, 1) == pays(empty, 1) == OK
    assert pays(empty, 1) == 0x940C
    empty.boot()
    assert pays(empty, 1) == 0x940C


def test_pinless_payment(bench: Bench) -> None:
    limit = LIMIT_VALUES["pinless_payment"]
    assert pays(bench, limit + 1) == 0x6982
    assert pays(bench, limit) == OK
    bench.session.verify_pin(PIN)
    assert pays(bench, limit) == OK


def test_pinless_total(bench: Bench) -> None:
    limited(bench, pinless_total=1_000, pinless_payment=600)
    assert pays(bench, 600) == OK
    assert pays(bench, 401) == 0x6982
    assert pays(bench, 400) == OK
    bench.boot()
    assert pays(bench, 1) == 0x6982, "a cut forgets no total"
    bench.session.verify_pin(PIN)
    assert pays(bench, 1) == OK
    bench.tap()
    assert pays(bench, 600) == OK, "a payment with the PIN begins the total anew"
    assert pays(bench, 401) == 0x6982


def test_a_pin_alone_does_not_renew_the_pinless_total(bench: Bench) -> None:
    limited(bench, pinless_total=10)
    assert pays(bench, 10) == OK
    bench.session.verify_pin(PIN)
    bench.tap()
    assert pays(bench, 1) == 0x6982


@pytest.mark.parametrize("reboots", [False, True])
def test_max_offline_total(reboots: bool, shown: Bench) -> None:
    limited(shown, max_offline_total=1_000)
    assert pays(shown, 1_001) == 0x9403
    assert pays(shown, 999) == OK
    if reboots:
        shown.boot()
    assert pays(shown, 2) == 0x9403
    assert pays(shown, 1) == OK
    assert pays(shown, 1) == 0x9403


def test_max_offline_count(bench: Bench) -> None:
    limited(bench, max_offline_count=3)
    assert [pays(bench, 1) for _ in range(2)] == [OK] * 2
    bench.boot()
    assert pays(bench, 1) == OK
    assert pays(bench, 1) == 0x9404
    bench.session.verify_pin(PIN)
    assert pays(bench, 1) == 0x9404, "no PIN helps"


def test_max_offline_seconds(bench: Bench) -> None:
    """Counted from the certificate at first, then from the acknowledgement."""
    limited(bench, max_offline_seconds=10 * DAY)
    since = NOW - DAY
    assert pays(bench, 1, time=since + 10 * DAY + 1) == 0x9405
    assert pays(bench, 1, time=since + 10 * DAY) == OK
    bench.session.verify_pin(PIN)
    export = bench.session.export(bytes(16))
    bench.session.acknowledge(bench.desk.acknowledge(export, time=NOW + 5 * DAY))
    assert pays(bench, 1, time=NOW + 15 * DAY + 1) == 0x9405
    assert pays(bench, 1, time=NOW + 15 * DAY) == OK
    bench.boot()
    assert pays(bench, 1, time=NOW + 15 * DAY + 1) == 0x9405


def test_valid_until(bench: Bench) -> None:
    limited(bench, valid_until=NOW + 2 * DAY)
    assert pays(bench, 1, time=NOW + 2 * DAY + 1) == 0x9405
    assert pays(bench, 1, time=NOW + 2 * DAY) == OK


def test_the_time_is_never_before_the_policy(bench: Bench) -> None:
    """S16: a till's clock that is set back makes no policy younger."""
    limited(bench, issued_at=NOW + 40 * DAY)
    assert pays(bench, 1) == 0x9405


def test_journal_capacity(empty: Bench) -> None:
    """T18: the journal is full before the limit of the policy, and nothing is dropped."""
    limited(empty, max_offline_count=1_000)
    empty.desk.load(empty.session, 1_000)
    assert [pays(empty, 1) for _ in range(JOURNAL_CAPACITY)] == [OK] * JOURNAL_CAPACITY
    before = empty.card.flash()
    assert pays(empty, 1) == 0x9409
    assert empty.card.flash() == before
    assert empty.boot().info.flags == 2
    assert pays(empty, 1) == 0x9409
    empty.session.verify_pin(PIN)
    export = empty.session.export(bytes(16))
    assert len(export.entries) == JOURNAL_CAPACITY
    empty.session.acknowledge(empty.desk.acknowledge(export))
    assert empty.tap().info.flags == 0
    assert pays(empty, 1) == OK


def test_expiry_of_a_note(empty: Bench) -> None:
    empty.desk.load(empty.session, 1_000, expires_at=NOW + DAY)
    assert pays(empty, 1, time=NOW + DAY + 1) == 0x940B
    assert pays(empty, 1, time=NOW + DAY) == OK
    empty.desk.load(empty.session, 10)
    assert pays(empty, 10, time=NOW + DAY + 1) == OK
    assert pays(empty, 1, time=NOW + DAY + 1) == 0x940B


def test_emergency_limits(bench: Bench) -> None:
    """The emergency set has its own numbers: 10 tenge a payment, on this desk."""
    limited(bench, flags=POLICY_EMERGENCY)
    assert pays(bench, 1_001) == 0x9402
    assert pays(bench, 1_000) == OK
    limited(bench)
    assert pays(bench, 1_001) == OK


def test_banned_operations(bench: Bench) -> None:
    limited(bench, banned_operations=BAN_PAY)
    assert pays(bench, 1) == 0x940F
    limited(bench, banned_operations=BAN_PURSE_TO_PURSE)
    assert pays(bench, 1) == OK


@pytest.mark.parametrize("also_general", [False, True])
def test_banned_purpose(also_general: bool, empty: Bench) -> None:
    """Money of a banned purpose stays where it is; general money is never banned by a purpose."""
    empty.desk.load(empty.session, 100, MEDICAL)
    if also_general:
        empty.desk.load(empty.session, 100)
    limited(empty, banned_purposes=(0, MEDICAL, 0, 0, 0, 0, 0, 0))
    at_clinic = {"payee": empty.desk.clinic}
    assert pays(empty, 101 if also_general else 1, **at_clinic) == 0x940F
    assert pays(empty, 100, **at_clinic) == (OK if also_general else 0x940F)
    assert empty.balance(MEDICAL) == 100
    limited(empty)
    assert pays(empty, 100, **at_clinic) == OK


def test_which_word_comes_first(bench: Bench, tmp_path: Path) -> None:
    """Many caps broken at once: the order of `caps.check`, held so that tills can rely on it."""
    everything = {
        "banned_operations": BAN_PAY,
        "max_payment": 1,
        "valid_until": NOW,
        "max_offline_total": 1,
        "max_offline_count": 0,
        "pinless_payment": 0,
    }
    order = [0x940F, 0x9402, 0x9405, 0x9403, 0x9404, 0x6982]
    for word in order:
        limited(bench, **everything)
        assert pays(bench, 2) == word
        del everything[next(iter(everything))]
    limited(bench)
    assert pays(bench, 2) == OK
