# SPDX-License-Identifier: Apache-2.0
"""EXPORT and ACKNOWLEDGE: what the bank is told, and what its word frees."""

import random
import secrets

import pytest

from firmware.wire.layout import sha256
from firmware.wire.limits import JOURNAL_CAPACITY, PAYMENTS_KEPT, TOKEN_KEYS
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.purse import PayRequest
from tests.card.bench import OK, Bench, refusal
from tests.card.facts import CHAIN_START, facts, recomputed_chain
from tests.doubles.desk import DAY, NOW, PIN


def paid(bench: Bench, count: int) -> list[PayRequest]:
    """`count` payments of 1, 2, 3… tiyn."""
    requests = [bench.desk.request(1 + number) for number in range(count)]
    for request in requests:
        bench.pay(request)
    return requests


def export_of(bench: Bench):  # type: ignore[no-untyped-def]
    bench.session.verify_pin(PIN)
    return bench.session.export(secrets.token_bytes(16))


def test_an_empty_journal(bench: Bench) -> None:
    statement = export_of(bench).statement
    assert (statement.entries, statement.counter, statement.acknowledged) == (0, 0, 0)
    assert statement.anchor == statement.head == CHAIN_START


def test_export(shown: Bench) -> None:
    requests = paid(shown, 5)
    challenge = secrets.token_bytes(16)
    export = shown.session.export(challenge)
    statement = export.statement
    key = export.certificate.public_key
    assert p256.verify(key, sha256(statement.body), statement.signature)
    assert statement.challenge == challenge
    assert statement.serial == export.certificate.serial
    assert (statement.counter, statement.entries) == (5, 5)
    assert statement.head == recomputed_chain(CHAIN_START, export)
    assert [entry.payment_id for entry in export.entries] == [r.payment_id for r in requests]
    for request, entry in zip(requests, export.entries, strict=True):
        (token,) = shown.session.recover(request.payment_id)
        assert entry.transfers == [token.transfer]
        assert entry.amount == request.amount_tiyn
        assert entry.payee == request.payee.record_id


@pytest.mark.parametrize(("index", "word"), [(4, OK), (5, 0x6A88), (255, 0x6A88)])
def test_entries_by_number(index: int, word: int, shown: Bench) -> None:
    paid(shown, 5)
    assert refusal(shown.session._export, 1, index) == word


def test_acknowledged(shown: Bench) -> None:
    paid(shown, 5)
    export = shown.session.export(bytes(16))
    word = shown.desk.acknowledge(export)
    shown.tap()
    shown.session.acknowledge(word)  # no PIN: the bank's signature is the authority
    after = shown.card.flash()
    shown.session.acknowledge(word)
    shown.boot()
    shown.session.acknowledge(word)
    assert shown.card.flash() == after
    statement = export_of(shown).statement
    assert (statement.entries, statement.counter, statement.acknowledged) == (0, 5, 5)
    assert statement.anchor == statement.head == export.statement.head
    assert vars(shown.card.purse.journal.since) == {"total": 0, "count": 0, "pinless": 0}


def test_acknowledged_in_part(shown: Bench) -> None:
    """The bank has the first three of five: two wait, two count."""
    paid(shown, 5)
    export = shown.session.export(bytes(16))
    three = type(export)(export.certificate, export.statement, export.entries[:3])
    chain = recomputed_chain(CHAIN_START, three)
    shown.session.acknowledge(shown.desk.acknowledge(export, counter=3, chain=chain))
    for _ in range(2):
        rest = shown.session.export(bytes(16))
        assert [entry.counter for entry in rest.entries] == [4, 5]
        assert rest.statement.anchor == chain
        assert rest.statement.head == export.statement.head == recomputed_chain(chain, rest)
        assert vars(shown.card.purse.journal.since) == {"total": 9, "count": 2, "pinless": 0}
        shown.boot()
        shown.session.verify_pin(PIN)


def test_an_older_word_does_nothing(shown: Bench) -> None:
    """R14: whatever order acknowledgements come in, the newest counts."""
    paid(shown, 2)
    older = shown.desk.acknowledge(shown.session.export(bytes(16)))
    paid(shown, 2)
    newer = shown.desk.acknowledge(shown.session.export(bytes(16)))
    shown.session.acknowledge(newer)
    after = shown.card.flash()
    shown.session.acknowledge(older)
    assert shown.card.flash() == after
    paid(shown, 1)
    before = facts(shown.card.purse)
    shown.session.acknowledge(newer)
    shown.session.acknowledge(older)
    assert facts(shown.card.purse) == before


def test_a_later_word_for_the_same_counter_moves_the_time(shown: Bench) -> None:
    """A purse that syncs without having paid is no longer overdue."""
    export = shown.session.export(bytes(16))
    shown.session.acknowledge(shown.desk.acknowledge(export, time=NOW + 50 * DAY))
    assert refusal(shown.session.pay, shown.desk.request(1, time=NOW + 70 * DAY)) == OK
    shown.session.acknowledge(shown.desk.acknowledge(export, time=NOW + 40 * DAY))
    assert shown.card.purse.last_sync == NOW + 50 * DAY


def test_the_time_of_the_last_sync_never_goes_back(shown: Bench) -> None:
    """Two words of its bank in the wrong order: the counter moves on, the time stays."""
    paid(shown, 1)
    first = shown.session.export(bytes(16))
    paid(shown, 1)
    second = shown.session.export(bytes(16))
    shown.session.acknowledge(shown.desk.acknowledge(first, time=NOW + 9 * DAY))
    shown.session.acknowledge(shown.desk.acknowledge(second, time=NOW + 8 * DAY))
    for _ in range(2):
        assert shown.card.purse.journal.acknowledged == 2
        assert shown.card.purse.last_sync == NOW + 9 * DAY
        shown.boot()


def paid_and_acknowledged(bench: Bench, count: int) -> list[PayRequest]:
    """So many payments, of which the bank has each journal as soon as it is full."""
    requests: list[PayRequest] = []
    while len(requests) < count:
        requests += paid(bench, min(JOURNAL_CAPACITY, count - len(requests)))
        export = export_of(bench)
        bench.session.acknowledge(bench.desk.acknowledge(export, time=NOW + len(requests)))
    return requests


@pytest.fixture
def tireless(empty: Bench) -> Bench:
    """A card with 10,000 tenge that may fill its journal."""
    empty.session.set_policy(empty.desk.policy(max_offline_count=64, pinless_total=10**8))
    empty.desk.load(empty.session, 1_000_000)
    return empty


def test_payments_that_are_kept_are_bounded(tireless: Bench) -> None:
    """The newest of the acknowledged ones answer, PAYMENTS_KEPT at least; the log is a ring."""
    requests = paid_and_acknowledged(tireless, 10 * JOURNAL_CAPACITY)
    for _ in range(2):
        words = [refusal(tireless.session.recover, request.payment_id) for request in requests]
        kept = words.count(OK)
        assert words == [0x6A88] * (len(requests) - kept) + [OK] * kept
        assert PAYMENTS_KEPT <= kept < len(requests)
        assert kept == len(tireless.card.purse.journal.counters)
        tireless.boot()


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": bytes(16)},
        {"bank": bytes(8)},
        {"counter": 4},  # the chain is that of 5
        {"counter": 6},  # it never came so far
        {"counter": 0xFFFFFFFF},
        {"chain": bytes(32)},
        {"chain": b"\xff" * 32},
    ],
)
def test_words_for_another_history(changes: dict[str, object], shown: Bench) -> None:
    """B08 from the card's side: a fork's acknowledgement frees nothing."""
    paid(shown, 5)
    before = shown.card.flash()
    word = shown.desk.acknowledge(shown.session.export(bytes(16)), **changes)
    assert refusal(shown.session.acknowledge, word) == 0x6A80
    assert shown.card.flash() == before


@pytest.mark.parametrize("claims", [False, True])
def test_another_banks_word(claims: bool, shown: Bench) -> None:
    paid(shown, 1)
    desk = shown.desk
    export = shown.session.export(bytes(16))
    before = shown.card.flash()
    real, wrong = desk.bank_key, [desk.other_bank_key, SigningKey.generate()]
    for desk.bank_key in wrong:
        signer = desk.bank_key
        word = desk.acknowledge(export, bank=real.key_id if claims else signer.key_id)
        assert refusal(shown.session.acknowledge, word) == 0x6A80
    desk.bank_key = real
    assert shown.card.flash() == before


def test_the_last_entries_are_kept_for_a_late_till(tireless: Bench) -> None:
    """RECOVER answers, and a PAY that comes again is not paid twice (I3)."""
    requests = paid_and_acknowledged(tireless, PAYMENTS_KEPT + 3)
    for _ in range(2):
        before = tireless.card.flash()
        for request in requests:
            tireless.verified(request, tireless.session.recover(request.payment_id))
            tireless.verified(request, tireless.session.pay(request))
        assert tireless.card.flash() == before
        tireless.boot()
    (newest,) = paid(tireless, 1)
    assert tireless.session.recover(newest.payment_id)


def test_a_payment_whose_note_is_gone_is_known_and_not_made_again(shown: Bench) -> None:
    """I3: its slot serves another note, so it cannot be answered any more; nor paid twice."""
    request = shown.desk.request(1_000_000)
    shown.pay(request)
    shown.session.acknowledge(shown.desk.acknowledge(shown.session.export(bytes(16))))
    for _ in range(TOKEN_KEYS):
        shown.desk.load(shown.session, 100_000)
    for _ in range(2):
        before = shown.card.flash()
        assert refusal(shown.session.recover, request.payment_id) == 0x6985
        assert refusal(shown.session.pay, request) == 0x6985
        assert shown.card.flash() == before
        shown.boot()


def test_a_repeated_pay_of_a_kept_entry(shown: Bench) -> None:
    requests = paid(shown, 3)
    shown.session.acknowledge(shown.desk.acknowledge(shown.session.export(bytes(16))))
    before = shown.card.flash()
    for request in requests:
        shown.pay(request)
    assert shown.card.flash() == before


@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_payments(seed: int, empty: Bench) -> None:
    """I2, I6: loads, payments and syncs at random; every tiyn is where the model has it."""
    draw = random.Random(seed)
    bench = empty
    limits = {"max_offline_count": 60, "max_offline_total": 10**8, "pinless_total": 10**8}
    bench.session.set_policy(bench.desk.policy(**limits))
    loaded = spent = total = count = payments = notes = 0
    while payments < 200:
        if loaded - spent < 600:
            if notes % 3 == 2:
                bench.session.verify_pin(PIN)
                export = bench.session.export(bytes(16))
                assert export.statement.head == recomputed_chain(export.statement.anchor, export)
                bench.session.acknowledge(bench.desk.acknowledge(export, time=NOW + payments))
                total = count = 0
            bench.desk.load(bench.session, 1_000)
            loaded += 1_000
            notes += 1
        amount = draw.randint(1, 300)
        bench.pay(bench.desk.request(amount))
        spent, total, count, payments = spent + amount, total + amount, count + 1, payments + 1
        if draw.random() < 0.1:
            bench.boot()
        assert bench.balance() == loaded - spent
        since = bench.card.purse.journal.since
        assert (since.total, since.count) == (total, count)
    assert notes > TOKEN_KEYS, "slots were used again"
    assert sum(transfer.amount_tiyn for transfer in bench.taken) == spent
    assert len(bench.taken) > 200
