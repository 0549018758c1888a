# SPDX-License-Identifier: Apache-2.0
"""A purse against a model of ten numbers: whatever the order of taps, cuts and syncs.

I1 and I2 (balance), I3 (same id, same bytes), I6 (disjoint runs, one chain), I10 (totals).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from firmware.wire.apdu import Command
from firmware.wire.limits import JOURNAL_KEPT
from firmware.wire.token import Token
from firmware.wire.transfer import Transfer
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import PayRequest, WrongPin
from host_bridge.transport.base import LinkLost
from tests.card.bench import Bench, Issued, refusal
from tests.card.facts import CHAIN_START, facts, recomputed_chain
from tests.card.test_pay import unsealed
from tests.doubles.desk import LIMIT_VALUES, MEDICAL, NOW, PIN, PUK

MAX_NOTES = 4  # as many as one payment may combine, so that no choice of pieces is foreseen
AMOUNTS = st.integers(1, 40) | st.sampled_from([99, 100, 101, 149, 150, 151, 250, 1_000])


class PurseMachine(RuleBasedStateMachine):
    """The rules are what tills, holders and banks do; `issued` is set by the test below."""

    issued: Issued
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.bench = self.issued.bench(Path(self.root) / "card")
        self.desk = self.issued.desk
        self.left = {0: 0, MEDICAL: 0}
        self.notes = 0
        self.total = self.count = self.pinless = 0
        self.counter = self.acknowledged = 0
        self.anchor = CHAIN_START
        self.paid: dict[bytes, bytes] = {}  # payment_id to the tokens that paid it
        self.waiting: list[PayRequest] = []
        self.done: list[bytes] = []  # payment_ids that the bank has acknowledged
        self.with_pin: dict[bytes, bool] = {}
        self.pin = False
        self.tries = 3
        self._limit(100, 250)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _limit(self, pinless: int, total: int) -> None:
        self.limits = {
            **LIMIT_VALUES,
            "max_payment": 150,
            "pinless_payment": pinless,
            "pinless_total": 2 * pinless,
            "max_offline_total": total,
            "max_offline_count": 12,
        }
        self.bench.session.set_policy(self.desk.policy(**self.limits))

    # -- what happens to a purse ---------------------------------------------------------------

    @rule()
    def tap(self) -> None:
        self.bench.tap()
        self.pin = False

    @rule()
    def boot(self) -> None:
        before = facts(self.bench.card.purse)
        self.bench.boot()
        self.pin = False
        assert facts(self.bench.card.purse) == before

    @rule()
    def right_pin(self) -> None:
        if self.tries == 0:
            self.bench.session.unblock_pin(PUK, PIN)
        self.bench.session.verify_pin(PIN)
        self.pin, self.tries = True, 3

    @rule()
    def wrong_pin(self) -> None:
        try:
            self.bench.session.verify_pin("0000")
            raise AssertionError("a wrong PIN was taken")
        except WrongPin as wrong:
            self.tries -= 1
            assert wrong.tries_left == self.tries
        except CardRefused as refused:
            self.tries = max(0, self.tries - 1)
            assert (refused.word, self.tries) == (0x6983, 0)
        self.pin = False

    @rule(pinless=st.sampled_from([0, 50, 100]), total=st.sampled_from([250, 600, 2_000]))
    def policy(self, pinless: int, total: int) -> None:
        self._limit(pinless, total)

    @precondition(lambda self: self.notes < MAX_NOTES)
    @rule(value=st.sampled_from([1, 100, 250, 2_000]), purpose=st.sampled_from([0, 0, MEDICAL]))
    def load(self, value: int, purpose: int) -> None:
        self.right_pin()
        note = self.desk.load(self.bench.session, value, purpose)
        self.bench.session.load(note)
        self.left[purpose] += value
        self.notes += 1

    # -- paying --------------------------------------------------------------------------------

    @rule(target=requests, amount=AMOUNTS, payee=st.sampled_from(["shop", "clinic"]))
    def ask(self, amount: int, payee: str) -> PayRequest:
        return self.desk.request(amount, getattr(self.desk, payee))

    @rule(request=requests, loses=st.booleans())
    def pay(self, request: PayRequest, loses: bool) -> None:
        """A new payment, or one again that was made or refused before."""
        known = request.payment_id in self.paid
        expected = None if known else self._word(request)
        if request.payment_id in self.done[:-JOURNAL_KEPT]:
            expected = 0x6985
        self.bench.card.lose_next_answer = loses
        try:
            tokens = self.bench.session.pay(request)
        except CardRefused as refused:
            assert refused.word == expected
            return
        except LinkLost:
            self.tap_again()
            if expected is not None:
                recovered = refusal(self.bench.session.recover, request.payment_id)
                assert recovered == (0x6985 if expected == 0x6985 else 0x6A88)
                return
            pin_was_shown = self.pin_at_pay
            tokens = self.bench.session.recover(request.payment_id)
        else:
            pin_was_shown = self.pin
        assert expected is None, f"{expected:04X} was expected"
        self._book(request, tokens, pin_was_shown)

    def tap_again(self) -> None:
        """The card was taken away in a PAY, and is held there again."""
        self.pin_at_pay = self.pin
        self.bench.tap()
        self.pin = False

    def _word(self, request: PayRequest) -> int | None:
        """Why this payment must be refused; None if it must be made."""
        amount = request.amount_tiyn
        if amount > self.limits["max_payment"]:
            return 0x9402
        if self.total + amount > self.limits["max_offline_total"]:
            return 0x9403
        if self.count == self.limits["max_offline_count"]:
            return 0x9404
        pinless = (self.limits["pinless_payment"], self.limits["pinless_total"] - self.pinless)
        if not self.pin and amount > min(pinless):
            return 0x6982
        if sum(self.left.values()) < amount:
            return 0x9401
        if request.payee is self.desk.shop and self.left[0] < amount:
            return 0x9406
        return None

    def _book(self, request: PayRequest, tokens: list[Token], with_pin: bool) -> None:
        self.bench.verified(request, tokens)
        raw = b"".join(token.raw for token in tokens)
        if self.paid.setdefault(request.payment_id, raw) is not raw:
            assert self.paid[request.payment_id] == raw
            return
        self.counter += 1
        self.count += 1
        self.total += request.amount_tiyn
        self.pinless = 0 if with_pin else self.pinless + request.amount_tiyn
        self.waiting.append(request)
        self.with_pin[request.payment_id] = with_pin
        for token in tokens:
            self.left[token.note.purpose] -= token.amount_tiyn
            hidden = unsealed(token.transfer.sealed)
            assert (hidden["counter"], hidden["offline_total"]) == (self.counter, self.total)
        special = sum(t.amount_tiyn for t in tokens if t.note.purpose == MEDICAL)
        assert request.payee is self.desk.clinic or special == 0
        assert (
            special == request.amount_tiyn
            or self.left[MEDICAL] == 0
            or request.payee is not self.desk.clinic
        )

    @rule(request=requests)
    def recover(self, request: PayRequest) -> None:
        expected = self.paid.get(request.payment_id)
        dropped = request.payment_id in self.done[:-JOURNAL_KEPT]
        try:
            tokens = self.bench.session.recover(request.payment_id)
        except CardRefused as refused:
            assert refused.word == (0x6985 if dropped else 0x6A88)
            assert dropped or expected is None
            return
        assert b"".join(token.raw for token in tokens) == expected

    # -- sync ----------------------------------------------------------------------------------

    @rule(share=st.integers(0, 4))
    def sync(self, share: int) -> None:
        """The bank takes all entries, or the first `share` quarters of them."""
        self.right_pin()
        export = self.bench.session.export(bytes(16))
        assert [e.payment_id for e in export.entries] == [r.payment_id for r in self.waiting]
        assert export.statement.anchor == self.anchor
        assert export.statement.head == recomputed_chain(self.anchor, export)
        done = len(export.entries) * share // 4
        part = type(export)(export.certificate, export.statement, export.entries[:done])
        self.acknowledged += done
        self.anchor = recomputed_chain(self.anchor, part)
        word = self.desk.acknowledge(
            export, counter=self.acknowledged, chain=self.anchor, time=NOW + self.acknowledged
        )
        self.bench.session.acknowledge(word)
        if done:
            self.done += [request.payment_id for request in self.waiting[:done]]
            self.waiting = self.waiting[done:]
            self.total = self.count = self.pinless = 0
            for request in self.waiting:
                amount = request.amount_tiyn
                self.count += 1
                self.total += amount
                self.pinless = 0 if self.with_pin[request.payment_id] else self.pinless + amount

    # -- always --------------------------------------------------------------------------------

    @invariant()
    def balances_are_equal(self) -> None:
        purse = self.bench.card.purse
        assert {0: 0, MEDICAL: 0, **purse.balance()} == self.left
        since = purse.journal.since
        assert (since.total, since.count, since.pinless) == (self.total, self.count, self.pinless)
        assert purse.element.counter() == self.counter
        assert len(purse.journal.waiting) == self.count

    @invariant()
    def pin_is_what_was_shown(self) -> None:
        _, word = self.bench.ask(Command(0x80, 0x3A))
        assert word == (0x9000 if self.pin else 0x6982)


def test_purse_against_model(issued: Issued) -> None:
    """Every token is verified as a till verifies it, against all that were taken before."""
    machine = type("IssuedPurseMachine", (PurseMachine,), {"issued": issued})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )


def test_bench_verifies(bench: Bench) -> None:
    """The check that the model leans on: a token that was taken before is found."""
    request = bench.desk.request(5)
    tokens = bench.pay(request)
    earlier = Transfer.parse(tokens[0].transfer.raw)
    earlier.payment_id = bytes(16)
    bench.taken = [earlier]
    with pytest.raises(Exception, match="spent here before"):
        bench.verified(request, tokens)
