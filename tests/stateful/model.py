# SPDX-License-Identifier: Apache-2.0
"""A purse as money and words: what each step must answer, given what is left. No bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.stateful.town import DAY, DOLLAR, NOBODYS, NOW, PAYEES, SHOWN, TENGE

OK, END, MANY = 0x9000, 2_097_151, 16
_SIGNERS = {0: "2 issuer", 7: "4 authority 7", 9: "4 authority 9", NOBODYS: "4 authority 7"}


@dataclass
class Model:
    """`word` foretells, `told.tell` brings it up to date. Amounts in tiyn, times in seconds."""

    policy: Any
    notes: dict[bytes, Any] = field(default_factory=dict)  # by RecordId; `left` of each
    loaded: dict[bytes, int] = field(default_factory=dict)  # what each was worth
    paid: dict[bytes, Any] = field(default_factory=dict)  # by payment_id
    known: dict[str, Any] = field(default_factory=dict)  # certificates by "role name"
    tries: dict[str, int] = field(default_factory=lambda: {"pin": 3, "puk": 10})
    waiting_key: bytes = b""
    counter = synced_to = synced_at = jump = 0
    selected = shown = locked = has_strayed = False

    def word(self, do: str, a: Any) -> int:
        """The status word for a command; `a` are its arguments, as it is sent."""
        if do != "select" and not self.selected:
            return 0x6985
        word: int = getattr(self, "_" + do)(a) if a.flaw is None else a.flaw
        return word

    def _select(self, a: Any) -> int:
        return OK

    def _verify(self, a: Any) -> int:
        left = self.tries[a.what] - (not a.asks)
        if (a.asks and self.shown) or (left >= 0 and a.right):
            return OK
        return 0x63C0 + left if left > 0 else 0x6983

    def _present(self, a: Any) -> int:
        old = self.known.get(a.who.key) or SHOWN["bank A"]
        is_older = (a.who.begins, a.who.ends) <= (old.begins, old.ends)
        return OK if old.key == a.who.key and is_older else int(a.who.word)

    def _policy(self, a: Any) -> int:
        return OK if a.same or a.policy.version > self.policy.version else 0x6985

    def _generate(self, a: Any) -> int:
        is_full = len(self.notes) == MANY and not any(map(self.is_settled, self.notes))
        return 0x6985 if self.locked else 0x6982 if not self.shown else 0x6A84 if is_full else OK

    def is_settled(self, name: bytes) -> bool:
        """Whether a note is spent, and its bank has every payment of it."""
        uses = [paid.counter for paid in self.paid.values() if name in paid.notes]
        return self.notes[name].left == 0 and max(uses, default=0) <= self.synced_to

    def _load(self, a: Any) -> int:
        note, banned = a.note, self.policy.banned_purposes if a.note.purpose else ()
        return _first(
            (self.locked, 0x6985),
            (a.name in self.notes, OK),
            (a.owner != self.waiting_key, 0x6A88),
            (note.currency == DOLLAR, 0x9407),
            (_SIGNERS[note.purpose] not in self.known or a.kind == "unknown", 0x6A88),
            (a.kind in ("forged", "early") or note.purpose == NOBODYS, 0x6A80),
            (note.min_tier > 0, 0x940C),
            (self.policy.banned & 2 or note.purpose in banned, 0x940F),
            (sum(self.balance().values()) + note.value > self.policy.limits.balance, 0x940D),
        )

    def _pay(self, a: Any) -> int:
        p, limits, old = PAYEES[a.payee], self.policy.limits, self.paid.get(a.id)
        known = {"3 bank A": SHOWN["bank A"], **self.known}
        bank, now = known.get(f"3 {p.bank}"), max(a.time, self.synced_at, NOW - DAY)
        is_valid = bank and max(p.begins, bank.begins) <= now <= min(p.ends, bank.ends)
        waiting = [paid for paid in self.paid.values() if paid.counter > self.synced_to]
        total, bare = sum(paid.amount for paid in waiting) + a.amount, a.amount
        for paid in waiting:
            bare = a.amount if paid.shown else bare + paid.amount
        held = self.notes.values()
        fresh = [n for n in held if now <= n.ends]
        asked = (0, *p.purposes) if a.purpose == 0xFFFF else (a.purpose,)
        here = [n for n in fresh if n.purpose in asked and n.purpose in (0, *p.purposes)]
        allowed = [
            n for n in here if n.purpose not in self.policy.banned_purposes or not n.purpose
        ]
        can = sorted((min(n.left, n.cap) for n in allowed if n.times), reverse=True)
        short = sum(can) < a.amount
        return _first(
            (p.flaw == "broken", 0x9408),
            (not a.amount, 0x6A80),
            (self.locked, 0x6985),
            (a.currency != TENGE, 0x9407),
            (p.flaw == "role", 0x9408),
            (bank is None, 0x6A88),
            (p.flaw or p.begins > a.time or not is_valid, 0x9408),
            (p.currency != TENGE, 0x9407),
            (old and (old.payee, old.amount) != (a.payee, a.amount), 0x6A80),
            (old, self._recover(a)),
            (self.policy.banned & 1, 0x940F),
            (a.amount > limits.payment, 0x9402),
            (now > self.policy.valid_until, 0x9405),
            (now - max(self.synced_at, NOW - DAY) > limits.seconds, 0x9405),
            (total > limits.total, 0x9403),
            (len(waiting) >= limits.times, 0x9404),
            (len(waiting) >= 64, 0x9409),
            (not self.shown and a.amount > limits.pinless_payment, 0x6982),
            (not self.shown and bare > limits.pinless_total, 0x6982),
            (_left(held) < a.amount, 0x9401),
            (_left(fresh) < a.amount, 0x940B),
            (short and _left(n for n in fresh if n.times) < a.amount, 0x940C),
            (short and _left(here) < a.amount, 0x9406),
            (short and _left(allowed) < a.amount, 0x940F),
            (sum(can[:4]) < a.amount, 0x9402),
            (self.has_strayed, 0x6985),
            (self.counter == END, 0x940E),
            (self.jump and self.counter + 1 < END, 0x6F00),
        )

    def _recover(self, a: Any) -> int:
        old = self.paid.get(a.id)
        is_here = old is not None and all(note in self.notes for note in old.notes)
        return 0x6A88 if old is None else OK if is_here else 0x6985

    def _shows(self, a: Any) -> int:
        return OK if self.shown else 0x6982

    def _acknowledge(self, a: Any) -> int:
        return OK

    def balance(self) -> dict[int, int]:
        """Tiyn by purpose."""
        purposes = {0, *(note.purpose for note in self.notes.values())}
        return {p: _left(n for n in self.notes.values() if n.purpose == p) for p in purposes}


def _left(notes: Iterable[Any]) -> int:
    return sum(note.left for note in notes)


def _first(*checks: tuple[Any, int]) -> int:
    """The word of the first check that says so."""
    return next((word for so, word in checks if so), OK)
