# SPDX-License-Identifier: Apache-2.0
"""The till's book of payments: rows, their lawful steps, and what was taken before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection, Row, Select, exists, func, select, update

from firmware.wire.bundle import ITEM_SALE
from firmware.wire.certificate import Certificate
from firmware.wire.token import Token, parse_tokens
from firmware.wire.transfer import Transfer
from host_bridge.sync.outbox import Item, Outbox
from pos_terminal.cheque import Cheque
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.payment import Answer, Tap
from pos_terminal.schema import payments, steps, taken
from pos_terminal.states import UNFINISHED, PaymentState, check_transition

_SHORT_ID = 8  # hex digits that people read to one another


@dataclass(frozen=True)
class Payment:
    """One payment as it stands in the books. `time` is Unix seconds of the till's clock."""

    payment_id: bytes
    number: int
    state: PaymentState
    amount_tiyn: int
    purpose: int
    time: int
    cheque: Cheque
    salt: bytes
    payee: Certificate
    answer: bytes  # what the card sent: tokens once they are accepted, else mere evidence
    reason: str
    tap: Tap
    is_accepted: bool = False  # whether the answer was found good, and its runs were taken

    @property
    def short_id(self) -> str:
        """The first digits of the payment_id, as receipts and tables show it."""
        return self.payment_id.hex()[:_SHORT_ID]

    @cached_property
    def tokens(self) -> list[Token]:
        """The verified tokens; empty where the till has none."""
        return parse_tokens(self.answer) if self.is_accepted else []


class PaymentBook:
    """Payments in the till's database. Each step is one transaction."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def open_payment(self, payment: Payment) -> Payment:
        """Writes a `pending` payment down; returns it with its number.

        Raises TillError if that cannot be done: then no card may be asked (case T11).
        """
        values = {
            "payment_id": payment.payment_id,
            "state": payment.state,
            "amount_tiyn": payment.amount_tiyn,
            "purpose": payment.purpose,
            "time": payment.time,
            "cheque": payment.cheque.raw,
            "salt": payment.salt,
            "payee": payment.payee.raw,
        }
        with self._database.transaction() as connection:
            connection.execute(payments.insert().values(values))
            self._step(connection, payment.payment_id, payment.state, payment.time, "")
        return self.payment(payment.payment_id)

    def accept(self, payment: Payment, answer: Answer, now: int) -> Payment:
        """Verified tokens: `paid`, the runs taken and the sale in the outbox, all or nothing."""
        with self._database.transaction() as connection:
            self._move(connection, payment, PaymentState.PAID, now)
            self._keep_answer(connection, payment, answer, keep_raw=True)
            for token in answer.tokens:
                row = {
                    "record_id": token.transfer.record_id,
                    "parent": token.transfer.parent,
                    "transfer": token.transfer.raw,
                    "payment_id": payment.payment_id,
                }
                connection.execute(taken.insert().values(row))
            item = Item(0, ITEM_SALE, payment.payment_id, _raw(answer.tokens))
            self._outbox.put(connection, item, now)
        return self.payment(payment.payment_id)

    def end_without(
        self, payment: Payment, state: PaymentState, reason: str, answer: Answer, now: int
    ) -> Payment:
        """A tap that brought no good tokens: `refused`, `rejected` or `torn`, with evidence."""
        with self._database.transaction() as connection:
            self._move(connection, payment, state, now, reason)
            first = payment.state != state or not payment.answer
            self._keep_answer(connection, payment, answer, keep_raw=first)
        return self.payment(payment.payment_id)

    def step_to(self, payment: Payment, state: PaymentState, reason: str, now: int) -> Payment:
        """A step without a tap. Raises TillError where the table of states has none."""
        check_transition(payment.state, state)
        with self._database.transaction() as connection:
            self._move(connection, payment, state, now, reason)
        return self.payment(payment.payment_id)

    def settle(
        self, connection: Connection, payment: Payment, state: PaymentState, reason: str, now: int
    ) -> None:
        """The bank's word, within the caller's transaction; the same word again does nothing."""
        if payment.state != state:
            self._move(connection, payment, state, now, reason)

    def payment(self, payment_id: bytes) -> Payment:
        """One payment. Raises TillError if there is none."""
        with self._database.transaction() as connection:
            return self.read(connection, payment_id)

    def find(self, text: str) -> Payment:
        """The payment of this number, or whose payment_id begins with these hex digits."""
        wanted = func.lower(func.hex(payments.c.payment_id)).startswith(
            text.lower(), autoescape=True
        )
        if text.isascii() and text.isdigit() and len(text) < _SHORT_ID:
            wanted = payments.c.number == int(text)
        with self._database.transaction() as connection:
            rows = connection.execute(_query().where(wanted).limit(2)).all()
        if not text or len(rows) != 1:
            raise TillError(f"'{text}' names {'several payments' if rows else 'no payment'}.")
        return _payment(rows[0])

    def payments(self, *states: PaymentState) -> list[Payment]:
        """All payments, or those in `states`, oldest first."""
        query = _query().order_by(payments.c.number)
        if states:
            query = query.where(payments.c.state.in_(states))
        with self._database.transaction() as connection:
            return [_payment(row) for row in connection.execute(query)]

    def unfinished(self, limit: int) -> list[Payment]:
        """Up to `limit` payments that wait for the card or the bank, newest first."""
        query = _query().where(payments.c.state.in_(UNFINISHED))
        with self._database.transaction() as connection:
            newest = query.order_by(payments.c.number.desc()).limit(limit)
            return [_payment(row) for row in connection.execute(newest)]

    def sums(self) -> dict[PaymentState, tuple[int, int]]:
        """How many payments, and how many tiyn, by state."""
        columns = (payments.c.state, func.count(), func.sum(payments.c.amount_tiyn))
        with self._database.transaction() as connection:
            rows = connection.execute(select(*columns).group_by(payments.c.state)).all()
        return {PaymentState(state): (count, amount) for state, count, amount in rows}

    def taken_from(self, tokens: list[Token]) -> list[Transfer]:
        """Transfers of accepted payments with the same parents as these tokens."""
        parents = [token.transfer.parent for token in tokens]
        query = select(taken.c.transfer).where(taken.c.parent.in_(parents))
        with self._database.transaction() as connection:
            return [Transfer.parse(raw) for raw in connection.scalars(query)]

    def read(self, connection: Connection, payment_id: bytes) -> Payment:
        """One payment, within the caller's transaction. Raises TillError if there is none."""
        query = _query().where(payments.c.payment_id == payment_id)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise TillError(f"This till has no payment {payment_id.hex()[:_SHORT_ID]}.")
        return _payment(row)

    def _move(
        self,
        connection: Connection,
        payment: Payment,
        state: PaymentState,
        now: int,
        reason: str = "",
    ) -> None:
        """The one place where a payment changes its state. A tap in vain leaves it `torn`."""
        if payment.state != state:
            check_transition(payment.state, state)
        same = payments.c.payment_id == payment.payment_id
        statement = update(payments).where(same, payments.c.state == payment.state)
        changed = connection.execute(statement.values(state=state, reason=reason))
        if changed.rowcount != 1:
            raise TillError(f"Payment {payment.short_id} was changed by somebody else.")
        self._step(connection, payment.payment_id, state, now, reason)

    def _step(
        self, connection: Connection, payment_id: bytes, state: PaymentState, now: int, reason: str
    ) -> None:
        row = {"payment_id": payment_id, "state": state, "time": now, "reason": reason}
        connection.execute(steps.insert().values(row))

    def _keep_answer(
        self, connection: Connection, payment: Payment, answer: Answer, *, keep_raw: bool
    ) -> None:
        values: dict[str, object] = {
            "apdus": answer.tap.apdus,
            "bytes_out": answer.tap.bytes_out,
            "bytes_in": answer.tap.bytes_in,
            "wall_us": round(answer.tap.wall_ms * 1000),
        }
        if keep_raw:
            values["answer"] = _raw(answer.tokens) or answer.raw
        same = payments.c.payment_id == payment.payment_id
        connection.execute(update(payments).where(same).values(values))


def _raw(tokens: list[Token]) -> bytes:
    return b"".join([token.raw for token in tokens])


def _query() -> Select[tuple[object, ...]]:
    """Payments, each with whether it was ever `paid`, which takes verified tokens."""
    same = steps.c.payment_id == payments.c.payment_id
    accepted = exists().where(same, steps.c.state == PaymentState.PAID)
    return select(payments, accepted.label("is_accepted"))


def _payment(row: Row[tuple[object, ...]]) -> Payment:
    return Payment(
        payment_id=row.payment_id,
        number=row.number,
        state=PaymentState(row.state),
        amount_tiyn=row.amount_tiyn,
        purpose=row.purpose,
        time=row.time,
        cheque=Cheque.parse(row.cheque),
        salt=row.salt,
        payee=Certificate.parse(row.payee),
        answer=row.answer,
        reason=row.reason,
        tap=Tap(row.apdus, row.bytes_out, row.bytes_in, row.wall_us / 1000),
        is_accepted=bool(row.is_accepted),
    )
