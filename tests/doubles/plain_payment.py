# SPDX-License-Identifier: Apache-2.0
"""A payment of `plain_purse`: its caps, which notes pay, and the bytes that it will be.

From docs/protocol/payment.md and commands.md. Amounts in tiyn, times in Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.doubles import plain_records as records
from tests.doubles.plain_records import Certificate
from tests.doubles.plain_state import Entry, Held, Issue, State, Word, ask


class Piece(NamedTuple):
    """What one note gives to a payment."""

    slot: int
    amount: int


@dataclass
class Payment:
    """One PAY, whose payee and payment_id are found good. now: as the purse sees it."""

    issue: Issue
    state: State
    request: records.Request
    payee: Certificate
    now: int
    pin_shown: bool

    def check_caps(self, synced_at: int) -> None:
        """What the policy allows. synced_at: when its bank last heard of the purse."""
        amount, now = self.request.amount, self.now
        policy, limits = self.state.policy, self.state.policy.limits
        total, count, pinless = self.state.since
        ask(not policy.banned & 1, 0x940F)
        ask(amount <= limits.payment, 0x9402)
        ask(now <= policy.valid_until and now - synced_at <= limits.seconds, 0x9405)
        ask(total + amount <= limits.total, 0x9403)
        ask(count < limits.times, 0x9404)
        ask(count < 64, 0x9409)
        if not self.pin_shown:
            within = amount <= limits.pinless_payment and pinless + amount <= limits.pinless_total
            ask(within, 0x6982)

    def choose(self) -> list[Piece]:
        """Special purpose before general, soonest expiry first; or else the largest ones."""
        request, payee, now = self.request, self.payee, self.now
        banned = [purpose for purpose in self.state.policy.banned_purposes if purpose]
        wanted = (request.purpose, records.BEST_MATCH)
        everything = list(self.state.held.items())
        fresh = [(s, h) for s, h in everything if now <= h.note.expires_at]
        undivided = [(s, h) for s, h in fresh if h.seq < h.note.max_transfers]
        for_here = [
            (s, h)
            for s, h in fresh
            if payee.takes(h.note.purpose)
            and (request.purpose == records.BEST_MATCH or h.note.purpose in wanted)
        ]
        allowed = [(s, h) for s, h in for_here if h.note.purpose not in banned]
        usable = [(s, h) for s, h in allowed if h.payable]
        if sum(h.payable for _, h in usable) < request.amount:
            for notes, word in (
                (everything, 0x9401),
                (fresh, 0x940B),
                (undivided, 0x940C),
                (for_here, 0x9406),
                (allowed, 0x940F),
            ):
                ask(sum(h.left for _, h in notes) >= request.amount, word)
            raise Word(0x9402)
        order = sorted((h.note.purpose == 0, h.note.expires_at, s, h.payable) for s, h in usable)
        pieces = _taken(order, request.amount)
        if len(pieces) > 4:
            pieces = _taken(sorted(order, key=lambda row: -row[3]), request.amount)
        ask(len(pieces) <= 4, 0x9402)
        return pieces

    def planned(self, pieces: list[Piece]) -> tuple[Entry, dict[int, Held]]:
        """The payment as it will be, and where its notes will stand."""
        state, request = self.state, self.request
        counter, waiting = state.counter + 1, state.waiting
        total = state.since[0] + request.amount
        hidden = records.sealed(self.issue.view_key, counter, total, state.chain(waiting))
        payee_id = records.record_id(self.payee.raw)
        head = (payee_id, request.payment_id, request.time, int(self.pin_shown), hidden)
        bodies, held, signatures, tokens = [], {}, [], []
        for slot, amount in pieces:
            one = state.held[slot]
            end = one.start + amount
            body = records.transfer_body(one.note.record_id, (one.seq, one.start, end), head)
            transfer = records.signed(state.keys[slot], body)
            bodies.append(body)
            signatures.append(transfer[-64:])
            tokens.append(one.note.raw + transfer)
            held[slot] = replace(one, start=end, seq=one.seq + 1)
        purpose = state.held[pieces[0].slot].note.purpose
        body = records.entry_body(counter, request.amount, purpose, head, bodies)
        entry = Entry(
            counter, request.payment_id, payee_id, request.amount, self.pin_shown,
            tuple(one.note.record_id for one in held.values()), body,
            body + b"".join(signatures), b"".join(tokens),
        )  # fmt: skip
        return entry, held


def _taken(order: list[tuple[bool, int, int, int]], amount: int) -> list[Piece]:
    pieces = []
    for _, _, slot, payable in order:
        part = min(payable, amount)
        pieces.append(Piece(slot, part))
        amount -= part
        if amount == 0:
            break
    return pieces
