# SPDX-License-Identifier: Apache-2.0
"""A memory that is not the card's own any more, and counters that ran ahead (I11, S10, S11)."""

import pytest

from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_SYNC_ONLY
from firmware.wire.journal import JournalEntry
from tests.card.bench import Bench, refusal
from tests.doubles.desk import PIN
from tests.doubles.power import PowerCut


def test_a_memory_that_was_put_back_is_noticed(bench: Bench) -> None:
    """I11, S10: the counter stands where no entry explains it; nothing more is paid."""
    before = bench.card.store("purse")
    kept = {name: before.read(name) for name in before.names("")}
    paid = bench.desk.request(500)
    bench.pay(paid)
    store = bench.card.store("purse")
    for name in store.names(""):
        store.remove(name)
    for name, data in kept.items():
        store.replace(name, data or b"")
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
    before_pay = bench.card.flash()
    assert refusal(bench.session.pay, bench.desk.request(1)) == 0x6985
    assert bench.card.flash() == before_pay
    bench.session.verify_pin(PIN)
    export = bench.session.export(bytes(16))
    assert export.statement.counter == 1
    assert export.entries == [], "the bank sees a counter that the journal does not explain"


def test_a_jump_that_boot_finds_is_put_on_record(bench: Bench) -> None:
    """S11: the counter ran ahead of the intent where the power failed; the payment stands."""
    request = bench.desk.request(500)

    def cut(entry: JournalEntry) -> None:
        raise PowerCut

    bench.card.purse.journal.commit = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        bench.session.pay(request)
    bench.card.store("element").replace("counter", (3).to_bytes(4, "big"))
    for _ in range(2):
        bench.boot()
        assert bench.card.purse.profile.lifecycle == LIFECYCLE_ACTIVE
        assert bench.session.recover(request.payment_id)[0].amount_tiyn == 500
    assert bench.pay(bench.desk.request(10))
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_ACTIVE


def test_an_intent_that_was_put_back_is_no_payment(bench: Bench) -> None:
    """S10: an image taken behind the intent write, put back after many payments."""
    store = bench.card.store("purse")
    for _ in range(20):
        bench.pay(bench.desk.request(1))
    entry = bench.card.purse.journal.at(1)
    for name in store.names("entry."):
        store.remove(name)
    store.replace("intent", entry.raw)
    bench.boot()
    assert bench.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
    assert store.read("intent") == entry.raw, "evidence is kept"


def test_notes_stand_where_the_acknowledgement_says(bench: Bench) -> None:
    """S04, F3 of the power-cut harness: no record of a note alone can take its front back."""
    for _ in range(12):
        bench.pay(bench.desk.request(100))
    store = bench.card.store("purse")
    notes = {name: store.read(name) for name in store.names("note.")}
    bench.session.verify_pin(PIN)
    bench.session.acknowledge(bench.desk.acknowledge(bench.session.export(bytes(16))))
    left = bench.balance()
    for name, data in notes.items():
        store.replace(name, data or b"")
    bench.boot()
    assert bench.balance() == left
    assert bench.pay(bench.desk.request(1))[0].transfer.start == 1_200
