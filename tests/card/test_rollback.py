# SPDX-License-Identifier: Apache-2.0
"""A memory that is not the card's own any more, and counters that ran ahead (I11, S10, S11)."""

import pytest

from firmware.hal.software_element import SoftwareElement
from firmware.purse.stored import INTENT
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_SYNC_ONLY
from firmware.wire.limits import COUNTER_JUMP
from tests.card.bench import Bench, refusal
from tests.doubles.desk import PIN
from tests.doubles.power import PowerCut


def cut(*_: object) -> None:
    raise PowerCut


def test_a_memory_that_was_put_back_is_noticed(bench: Bench) -> None:
    """I11, S10: the counter stands where no entry explains it; nothing more is paid."""
    earlier = bench.card.flash()
    paid = bench.desk.request(500)
    bench.pay(paid)
    bench.put_back(earlier)
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
    before_pay = bench.card.flash()
    assert refusal(bench.session.pay, bench.desk.request(1)) == 0x6985
    assert bench.card.flash() == before_pay
    bench.session.verify_pin(PIN)
    export = bench.session.export(bytes(16))
    assert export.statement.counter == 1
    assert export.entries == [], "the bank sees a counter that the journal does not explain"


def test_a_jump_that_boot_finds_is_put_on_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S11: a chip's counter ran ahead of the intent where its power failed; the payment stands."""
    monkeypatch.setattr(SoftwareElement, "COUNTER_JUMP", COUNTER_JUMP)  # it stands for the chip
    request = bench.desk.request(500)

    bench.card.purse.journal.commit = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        bench.session.pay(request)
    bench.set_counter(3)
    for _ in range(2):
        bench.boot()
        assert bench.card.purse.profile.lifecycle == LIFECYCLE_ACTIVE
        assert bench.session.recover(request.payment_id)[0].amount_tiyn == 500
    assert bench.pay(bench.desk.request(10))
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_ACTIVE


def test_a_counter_that_cannot_jump_did_not(bench: Bench) -> None:
    """I11: ahead of the intent, the software element's counter means older flash."""
    bench.card.purse.journal.commit = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        bench.session.pay(bench.desk.request(500))
    bench.set_counter(2)
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY


def test_an_intent_that_was_put_back_is_no_payment(bench: Bench) -> None:
    """S10: an image taken behind the intent write, put back after many payments."""
    request = bench.desk.request(2)
    bench.card.element.advance = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        bench.session.pay(request)
    earlier = bench.card.flash()
    bench.boot()
    for _ in range(20):
        bench.pay(bench.desk.request(1))
    bench.put_back(earlier)
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
    assert refusal(bench.session.recover, request.payment_id) == 0x6A88
    intent = bench.card.purse.journal.intent
    assert intent is not None and intent.payment_id == request.payment_id, "evidence is kept"
    assert bench.card.purse.stored_record(0)[0] == INTENT


def test_notes_stand_where_the_acknowledgement_says(bench: Bench) -> None:
    """S04, F3 of the power-cut harness: no record of a note alone can take its front back."""
    for _ in range(12):
        bench.pay(bench.desk.request(100))
    notes = {name: data for name, data in bench.card.flash().items() if "/note." in name}
    bench.session.verify_pin(PIN)
    bench.session.acknowledge(bench.desk.acknowledge(bench.session.export(bytes(16))))
    left = bench.balance()
    for name, data in notes.items():
        (bench.folder / name).write_bytes(data)
    bench.boot()
    assert bench.balance() == left
    assert bench.pay(bench.desk.request(1))[0].transfer.start == 1_200
