# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario's steps, one after the other, and says what happened at each."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from host_bridge.demo import scenario as plan
from host_bridge.demo.cards import TornTransport
from host_bridge.demo.world import World
from host_bridge.transport.base import Transport
from pos_terminal.book import Payment
from pos_terminal.cheque import ONE, Cheque
from pos_terminal.cheque import Line as ChequeLine
from pos_terminal.errors import TillError
from pos_terminal.payment import Tap
from pos_terminal.states import PaymentState


class Unexpected(Exception):
    """A step ended otherwise than its scenario says; the message is one sentence."""


@dataclass
class TapEvent:
    """One tap, with everything that people want to see of it."""

    at: datetime.time
    till_id: str
    card_id: str
    payment: Payment
    first: Tap  # the traffic of the first tap; a recovery has its own in `payment`
    tear: str = ""


@dataclass
class NoteEvent:
    """Anything else that happened, as a sentence; `tone` is good, bad or plain."""

    at: datetime.time
    text: str
    tone: str = "plain"


Event = TapEvent | NoteEvent


class Player:
    """Plays `world`'s scenario. Each `play` of a step returns the events to be shown."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.taps: list[TapEvent] = []

    def play(self, step: plan.Step) -> list[Event]:
        """One step. Raises Unexpected if a sale ends otherwise than the scenario says."""
        self._world.clock.now = self._world.scenario.at(step.at)
        if isinstance(step, plan.Sale):
            return self._sale(step)
        if isinstance(step, plan.Line):
            return self._line(step)
        if isinstance(step, plan.Sync):
            return self._sync(step)
        if isinstance(step, plan.SyncCard):
            return self._sync_card(step)
        if isinstance(step, plan.Clone):
            self._world.clone(step.card, step.copy_id)
            text = f"a thief copies {step.card}, keys and all: {step.copy_id}"
            return [NoteEvent(step.at, text, "bad")]
        return self._remit(step)

    def _sale(self, step: plan.Sale) -> list[Event]:
        world = self._world
        till = world.tills[step.till]
        holder = world.holders[step.card]
        pin = holder.pin if step.with_pin else None

        def torn_card() -> Transport:
            return TornTransport(holder.card, step.tear)

        first_card = torn_card if step.tear else holder.card.open
        payment = till.sell(_cheque(step), first_card, pin=pin)
        first = payment.tap
        if payment.state is PaymentState.TORN:
            if step.comes_back:
                again = till.recover
                payment = again(payment.payment_id, holder.card.open, pay_again=True, pin=pin)
            else:
                payment = till.give_up(payment.payment_id)
        if payment.state != step.expect:
            raise Unexpected(
                f"At {step.at:%H:%M} {step.card} at {step.till} was to be {step.expect} "
                f"and was {payment.state}: {payment.reason or 'no reason was given'}"
            )
        event = TapEvent(step.at, step.till, step.card, payment, first, step.tear)
        self.taps.append(event)
        return [event]

    def _line(self, step: plan.Line) -> list[Event]:
        for till_id in step.tills or list(self._world.lines):
            self._world.lines[till_id].is_up = step.up
        where = ", ".join(step.tills) or "every till"
        text = f"the line is {'up' if step.up else 'down'} for {where}"
        return [NoteEvent(step.at, text, "good" if step.up else "plain")]

    def _sync(self, step: plan.Sync) -> list[Event]:
        events: list[Event] = []
        for till_id in step.tills or list(self._world.tills):
            report = self._world.tills[till_id].sync(self._world.lines[till_id])
            if report.unreachable:
                text = f"{till_id} has no line: {report.waiting} wait"
                events.append(NoteEvent(step.at, text, "bad"))
            else:
                text = f"{till_id} sent {report.sent}, {report.waiting} wait"
                if report.resolved:
                    text += f"; the bank knew {report.resolved} that the till did not"
                events.append(NoteEvent(step.at, text, "good"))
            events.extend(NoteEvent(step.at, text, "bad") for text in report.failed)
        return events

    def _sync_card(self, step: plan.SyncCard) -> list[Event]:
        holder = self._world.holders[step.card]
        till = self._world.tills[step.till]
        try:
            done = till.sync_card(holder.card.open, holder.pin, self._world.lines[step.till])
        except TillError as error:
            return [NoteEvent(step.at, f"{step.card} is not synced: {error}", "bad")]
        what = f"{step.card} brought {done.entries} payments to the bank"
        if done.queued:
            what = f"{step.card} left {done.entries} payments for the bank at {step.till}"
        return [NoteEvent(step.at, what, "good")]

    def _remit(self, step: plan.Remit) -> list[Event]:
        """Purse to purse does not exist yet: the payer pays the bank's counter, the bank loads."""
        world = self._world
        counter = world.merchant_of(step.till)
        paid = plan.Sale.model_construct(
            do="sale",
            at=step.at,
            till=step.till,
            card=step.card,
            amount=step.amount,
            with_pin=True,
        )
        events = self._sale(paid)
        events += self._sync(plan.Sync(do="sync", at=step.at, tills=[step.till]))
        world.pass_on(counter.id, step.to_card, step.amount)
        text = f"the bank passes it on to {step.to_card} (purse to purse is not built yet)"
        return [*events, NoteEvent(step.at, text, "good")]


def _cheque(step: plan.Sale) -> Cheque:
    if step.amount:
        return Cheque.of_amount(step.amount)
    lines = [ChequeLine(item.name, item.price, item.quantity * ONE) for item in step.items]
    return Cheque(tuple(lines))
