# SPDX-License-Identifier: Apache-2.0
"""The notes on a purse: what is left of each, and which of them pay (protocol section 4)."""

from firmware.purse.stored import PREFIX_SIZE
from firmware.wire import status
from firmware.wire.certificate import PURPOSE_BEST_MATCH, PURPOSE_GENERAL, Certificate
from firmware.wire.limits import MAX_PIECES
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.status import Refusal


class Held:
    """A note in one slot: units `start` to `value` are left, `seq` transfers were made.

    It keeps the few numbers that a payment needs; the note's bytes stay in the store.
    """

    def __init__(self, slot: int, note: Note) -> None:
        self.slot = slot
        self.parent = note.record_id
        self.prefix = self.parent[:PREFIX_SIZE]
        self.value = note.value
        self.purpose = note.purpose
        self.max_payment = note.max_payment
        self.max_transfers = note.max_transfers
        self.issued_at = note.issued_at
        self.expires_at = note.expires_at
        self.start = 0
        self.seq = 0

    @property
    def left(self) -> int:
        """Tiyn that were not spent yet."""
        return self.value - self.start

    @property
    def payable(self) -> int:
        """Tiyn that one transfer can move."""
        return min(self.left, self.max_payment) if self.seq < self.max_transfers else 0

    def spent_to(self, end: int, seq: int) -> None:
        """Takes note of the transfer `seq` that moved the units up to `end`; twice is once."""
        if end > self.start:
            self.start = end
            self.seq = seq + 1


class Wish:
    """What a PAY asks for: how much, of which purpose, at which till, and when."""

    def __init__(self, amount: int, purpose: int, payee: Certificate, now: int) -> None:
        self.amount = amount
        self.purpose = purpose
        self.payee = payee
        self.now = now

    def allows(self, purpose: int) -> bool:
        """Whether money of `purpose` may serve: asked for, and taken by the payee."""
        wanted = self.purpose in (PURPOSE_BEST_MATCH, purpose)
        return wanted and self.payee.accepts(purpose)


def choose(held: "list[Held]", wish: Wish, policy: Policy) -> "list[tuple[Held, int]]":
    """Which notes pay how much: special purpose before general, soonest expiry first.

    Where that takes more than MAX_PIECES notes, the largest ones are taken instead. Raises
    Refusal with the word that says what stands in the way.
    """
    usable = [
        note
        for note in held
        if note.payable
        and wish.now <= note.expires_at
        and wish.allows(note.purpose)
        and not policy.bans_purpose(note.purpose)
    ]
    if sum([note.payable for note in usable]) < wish.amount:
        raise Refusal(_why_not(held, wish, policy))
    usable.sort(key=_soonest)
    pieces = _take(usable, wish.amount)
    if len(pieces) > MAX_PIECES:
        usable.sort(key=_largest)
        pieces = _take(usable, wish.amount)
    if len(pieces) > MAX_PIECES:
        raise Refusal(status.OVER_PAYMENT_LIMIT)
    return pieces


def _soonest(note: Held) -> "tuple[bool, int, int]":
    return (note.purpose == PURPOSE_GENERAL, note.expires_at, note.slot)


def _largest(note: Held) -> "tuple[int, bool, int, int]":
    return (-note.payable,) + _soonest(note)  # all of it: MicroPython's sort is not stable


def _take(usable: "list[Held]", amount: int) -> "list[tuple[Held, int]]":
    pieces = []
    for note in usable:
        part = min(note.payable, amount)
        pieces.append((note, part))
        amount -= part
        if amount == 0:
            break
    return pieces


def _why_not(held: "list[Held]", wish: Wish, policy: Policy) -> int:
    """The word for money that is there but does not serve, else insufficient funds."""
    fresh = [note for note in held if wish.now <= note.expires_at]
    if sum([note.left for note in held]) < wish.amount:
        return status.INSUFFICIENT_FUNDS
    if sum([note.left for note in fresh]) < wish.amount:
        return status.EXPIRED
    if sum([note.left for note in fresh if note.seq < note.max_transfers]) < wish.amount:
        return status.NOT_SPENDABLE_OFFLINE
    allowed = [note for note in fresh if wish.allows(note.purpose)]
    if sum([note.left for note in allowed]) < wish.amount:
        return status.PURPOSE_NOT_ACCEPTED
    if sum([note.left for note in allowed if not policy.bans_purpose(note.purpose)]) < wish.amount:
        return status.BANNED
    return status.OVER_PAYMENT_LIMIT
