# SPDX-License-Identifier: Apache-2.0
"""S17: the till dies at every statement that it sends to its books, and nothing is lost.

Invariants: I1 (nothing paid twice), I3 (one debit a payment), I4, I5 (what is paid is owed to
the bank until it is posted, and is posted once).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from firmware.wire import apdu
from pos_terminal.cheque import Cheque
from pos_terminal.errors import TillError
from pos_terminal.payment import Answer, Tap
from pos_terminal.states import TRANSITIONS, PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import Desk
from tests.doubles.paper_card import PaperCard
from tests.doubles.shop import PaperBank, Shop, held

BREAD = Cheque.of_amount(30_000)
_MOST_STATEMENTS = 200


class Killed(BaseException):
    """The till's process ends here; nothing in it is run any more."""


def die_at(engine: Engine, at: int, die: Callable[[], None]) -> list[str]:
    """Ends the till before its `at`-th statement or commit; returns what was run until then."""
    run: list[str] = []

    def count(what: str) -> None:
        if len(run) == at:
            die()
        run.append(what)

    @event.listens_for(engine, "before_cursor_execute")
    def _statement(*args: object) -> None:
        count(str(args[2]))

    @event.listens_for(engine, "commit")
    def _commit(*args: object) -> None:
        count("COMMIT")

    return run


def _raise() -> None:
    raise Killed


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def dies_during(
    folder: Path, desk: Desk, at: int, act: Callable[[Shop, Till, PaperCard, PaperBank], object]
) -> tuple[Shop, PaperCard, PaperBank, bool]:
    """Runs `act` on a new till that dies at statement `at`; tells whether it did."""
    shop = Shop(folder, desk)
    card = shop.card(100_000)
    bank = PaperBank(shop)
    till = shop.open()
    die_at(till._database.engine, at, _raise)
    try:
        act(shop, till, card, bank)
        died = False
    except Killed:
        died = True
    till.close()
    card.reset()
    return shop, card, bank, died


def settle_up(shop: Shop, card: PaperCard, bank: PaperBank) -> None:
    """After the crash: recover what is unfinished, sync, and look at the invariants."""
    with shop.open() as till:
        for payment in till.payments():
            assert payment.state is not PaymentState.PENDING
            if payment.state is PaymentState.TORN:
                till.recover(payment.payment_id, held(card))
        report = till.sync(bank)
        assert (report.failed, report.waiting) == ([], 0)
        states = {payment.payment_id: payment.state for payment in till.payments()}
    for payment_id in card.answers:  # I5: each debit is posted once, and shown as such
        assert bank.posted[payment_id] == 30_000
        assert states[payment_id] is PaymentState.SYNCHRONISED
    assert set(bank.posted) == set(card.answers)
    assert card.balance_tiyn == 100_000 - 30_000 * card.debits


def test_s17_killed_at_every_statement_of_a_sale(tmp_path: Path, desk: Desk) -> None:
    def act(shop: Shop, till: Till, card: PaperCard, bank: PaperBank) -> None:
        till.sell(BREAD, held(card))

    outcomes = set()
    for at in range(_MOST_STATEMENTS):
        shop, card, bank, died = dies_during(tmp_path / str(at), desk, at, act)
        if not died:
            break
        assert card.debits <= 1
        outcomes.add(card.debits)
        settle_up(shop, card, bank)
    else:
        pytest.fail("the sale never ran to its end")
    assert outcomes == {0, 1} and at > 10


def test_s17_killed_at_every_statement_of_a_recovery(tmp_path: Path, desk: Desk) -> None:
    def act(shop: Shop, till: Till, card: PaperCard, bank: PaperBank) -> None:
        card.tear = (apdu.INS_PAY, "after")
        torn = till.sell(BREAD, held(card))
        till.recover(torn.payment_id, held(card))

    for at in range(_MOST_STATEMENTS):
        shop, card, bank, died = dies_during(tmp_path / str(at), desk, at, act)
        card.tear = None
        if not died:
            break
        settle_up(shop, card, bank)
    else:
        pytest.fail("the recovery never ran to its end")


def test_s17_b02_killed_at_every_statement_of_a_sync(tmp_path: Path, desk: Desk) -> None:
    """The bank may have been told and the till not know it: told again, posted once."""

    def act(shop: Shop, till: Till, card: PaperCard, bank: PaperBank) -> None:
        till.sell(BREAD, held(card))
        till.sell(BREAD, held(card))
        till.sync(bank)

    repeated = 0
    for at in range(_MOST_STATEMENTS):
        shop, card, bank, died = dies_during(tmp_path / str(at), desk, at, act)
        if not died:
            break
        settle_up(shop, card, bank)
        repeated += bank.uploads > card.debits
    else:
        pytest.fail("the sync never ran to its end")
    assert repeated > 0


@pytest.mark.parametrize("at", [6, 9, 12, 14, 16, 18, 20, 22, 24, 26])
def test_s17_a_real_kill_9(tmp_path: Path, desk: Desk, at: int) -> None:
    """The process is really killed; what SQLite left behind is opened again."""
    shop = Shop(tmp_path / "till", desk)
    card = shop.card(100_000)

    def child() -> None:
        till = shop.open()
        die_at(till._database.engine, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        till.sell(BREAD, held(card))
        till.close()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode in (-signal.SIGKILL, 0)
    with shop.open() as till:
        states = [payment.state for payment in till.payments()]
        assert states in ([], [PaymentState.TORN], [PaymentState.PAID])
        assert till.waiting() == states.count(PaymentState.PAID)
        for payment in till.payments():
            assert "TOTAL" in till.receipt(payment.payment_id)


def test_every_state_has_its_row_and_the_end_states_none() -> None:
    assert set(TRANSITIONS) == set(PaymentState)
    reachable = {PaymentState.PENDING}.union(*TRANSITIONS.values())
    assert reachable == set(PaymentState)
    assert PaymentState.REFUSED not in TRANSITIONS[PaymentState.TORN]  # nothing is voided


def test_no_step_is_taken_that_the_table_has_not(tmp_path: Path, desk: Desk) -> None:
    """Whoever asks for it: each way into the book is held against the table."""
    shop = Shop(tmp_path / "till", desk)
    with shop.open() as till:
        paid = till.sell(BREAD, held(shop.card(100_000)))
        answer = Answer(paid.tokens, "", False, b"", Tap())
        for state in set(PaymentState) - TRANSITIONS[paid.state] - {paid.state}:
            with pytest.raises(TillError, match="cannot become"):
                till._book.end_without(paid, state, "", answer, shop.now)
            with pytest.raises(TillError, match="cannot become"):
                till._book.step_to(paid, state, "", shop.now)
        assert till.payment(paid.payment_id) == paid
