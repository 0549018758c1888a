# SPDX-License-Identifier: Apache-2.0
"""A purse in plain Python objects, from docs/protocol alone: no line of it is the firmware's.

It answers APDUs with the very bytes that a purse must answer: signatures are deterministic, and
the keys are handed to it. Where the power may fail within a command, it says in which states the
purse may be found afterwards (`points`); a purse in any other state is a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.doubles import plain_records as records
from tests.doubles.plain_payment import Payment
from tests.doubles.plain_records import Certificate, NoRecord
from tests.doubles.plain_state import ACTIVE, SYNC_ONLY, Entry, Held, Issue, State, Word, ask

AID = bytes.fromhex("F0 51 41 4C 54 41 01")
COUNTER_END = 2_097_151
SLOTS = range(1, 17)
KEPT = 72  # acknowledged payments that a purse surely knows


class PlainPurse:
    """new_key(slot): the private key that the purse's element has drawn there.

    slot_hint: which of several equally fit slots the other purse has chosen. jump: by how much
    the element's counter will jump at its next step.
    """

    def __init__(self, issue: Issue, state: State, new_key: Callable[[int], bytes]) -> None:
        self.issue = issue
        self.state = state
        self.points: list[State] = []
        self.slot_hint = 0
        self.jump = 0
        self._new_key = new_key
        self.reset()

    def reset(self) -> None:
        """A new tap, with or without the power having been away."""
        self.selected = self.pin_shown = False
        self._rest = b""
        self._gathered: tuple[bytes, bytes] | None = None  # header and data of what comes chained

    def boot(self) -> None:
        """Power comes back."""
        self.state.wake()
        self.reset()

    def count_by_itself(self) -> None:
        """The element counts, and no payment explains it."""
        self.state.counter += 1
        self.state.has_strayed = True

    def gathers(self, header: bytes) -> bool:
        """Whether a part of a chained command with this header is there."""
        return self._gathered is not None and self._gathered[0] == header

    def may_let_go_of(self, payment_id: bytes) -> bool:
        """Whether a purse may know no more of a payment."""
        entries = list(self.state.entries)
        done = len(entries) - len(self.state.waiting)
        return payment_id in entries[: max(0, done - KEPT)]

    def let_go_of(self, payment_id: bytes) -> None:
        """The purse knows no more of it."""
        del self.state.entries[payment_id]

    # -- APDUs ---------------------------------------------------------------------------------

    def process(self, apdu: bytes) -> bytes:
        """The answer to a command; `points` are the states after each of its durable steps."""
        self.points = []
        try:
            return self._answer(apdu)
        except Word as word:
            return word.word.to_bytes(2, "big")
        except NoRecord:
            return b"\x6a\x80"

    def _kept(self) -> None:
        self.points.append(self.state.copy())

    def _answer(self, apdu: bytes) -> bytes:
        header, data, le = _split(apdu)
        if header[:2] == b"\x00\xc0":
            if not self._rest:
                raise Word(0x6985)
            return self._part(self._rest, le)
        self._rest = b""
        is_chained = bool(header[0] & 0x10)
        whole = bytes((header[0] & 0xEF,)) + header[1:]
        if is_chained and whole[0] == 0x84:
            raise Word(0x6884)
        if is_chained and whole[0] & 0xFC not in (0x00, 0x80, 0x84):
            raise Word(0x6E00)
        if is_chained and whole[0] & 0x03:
            raise Word(0x6881)
        if self._gathered is not None and self._gathered[0] == whole:
            data = self._gathered[1] + data
        self._gathered = None
        if len(data) > 1024:
            raise Word(0x6700)
        if is_chained:
            self._gathered = (whole, data)
            return b"\x90\x00"
        return self._part(self._carry_out(whole, data), le)

    def _part(self, data: bytes, le: int) -> bytes:
        self._rest = data[le:]
        more = min(len(self._rest), 256) & 0xFF
        word = bytes((0x61, more)) if self._rest else b"\x90\x00"
        return data[:le] + word

    def _carry_out(self, header: bytes, data: bytes) -> bytes:
        cla, ins, p1, p2 = header
        if ins in (0x50, 0x82) or cla == 0x84:
            raise Word(0x6985)  # personalisation is over
        if cla & 0xFC not in (0x00, 0x80, 0x84):
            raise Word(0x6E00)
        if cla & 0x03:
            raise Word(0x6881)
        action = _ACTIONS.get(ins)
        if action is None:
            raise Word(0x6D00)
        if cla != (0x00 if ins in (0xA4, 0x20, 0x24, 0x2C) else 0x80):
            raise Word(0x6E00)
        if ins != 0xA4 and not self.selected:
            raise Word(0x6985)
        return action(self, p1, p2, data)

    # -- the holder ----------------------------------------------------------------------------

    def _select(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (4, 0), 0x6A86)
        ask(data == AID, 0x6A88)
        self.selected, self.pin_shown = True, False
        state = self.state
        flags = (state.tries["pin"] == 0) | (len(state.waiting) >= 64) << 1
        answer = records.selected(
            state.policy.currency, state.policy.version, state.lifecycle, flags
        )
        inner = b"\x84\x07" + AID + b"\xa5\x0a" + answer
        return b"\x6f" + bytes((len(inner),)) + inner

    def _verify(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0x81), 0x6A86)
        if not data:
            if not self.pin_shown:
                raise _tries_left(self.state.tries["pin"])
            return b""
        self.pin_shown = False
        ask(_is_pin(data), 0x6A80)
        self._try("pin", data)
        self.state.tries["pin"] = 3
        self._kept()
        self.pin_shown = True
        return b""

    def _change(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0x81), 0x6A86)
        ask(len(data) > 1 and len(data) > 1 + data[0], 0x6700)
        old, new = data[1 : 1 + data[0]], data[1 + data[0] :]
        self.pin_shown = False
        ask(_is_pin(new) and _is_pin(old), 0x6A80)
        self._try("pin", old)
        self._give(new)
        return b""

    def _unblock(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0x81), 0x6A86)
        ask(len(data) > 8, 0x6700)
        self.pin_shown = False
        ask(_is_pin(data[8:]) and all(digit in b"0123456789" for digit in data[:8]), 0x6A80)
        self._try("puk", data[:8])
        self.state.tries["puk"] = 10
        self._give(data[8:])
        return b""

    def _give(self, pin: bytes) -> None:
        self.state.pin = pin
        self.state.tries["pin"] = 3
        self._kept()

    def _try(self, what: str, guess: bytes) -> None:
        """The try is gone before anything is compared, whatever happens to the power."""
        ask(self.state.tries[what] > 0, 0x6983)
        self.state.tries[what] -= 1
        self._kept()
        if guess != getattr(self.state, what):
            raise _tries_left(self.state.tries[what])

    def _balance(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        ask(not data, 0x6700)
        ask(self.pin_shown, 0x6982)
        rows = sorted(self.state.balance().items())
        return b"".join(p.to_bytes(2, "big") + amount.to_bytes(4, "big") for p, amount in rows)

    # -- whom it believes ----------------------------------------------------------------------

    def _find(self, role: int, key: bytes) -> Certificate | None:
        found = self.state.known.get((role, key))
        if found is None and (role, key) == (records.BANK, records.key_id(self.issue.bank.key)):
            return self.issue.bank
        return found

    def _present(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        new = records.certificate(data)
        place = (new.role, records.key_id(new.key))
        old = self._find(*place)
        if old is not None and (old.begins, old.ends) >= (new.begins, new.ends):
            return b""
        ask(new.role not in (1, records.PURSE, records.TERMINAL), 0x9408)
        ask(new.issuer == records.key_id(self.issue.root), 0x9408)
        ask(records.is_signed(self.issue.root, data), 0x9408)
        known = self.state.known
        if place not in known and len(known) == 16:
            own = records.key_id(self.issue.bank.key)
            others = [(one.ends, key, role) for (role, key), one in known.items() if key != own]
            _, key, role = min(others)
            del known[role, key]
            self._kept()  # the power may fail here: whoever is forgotten presents itself again
        known[place] = new
        self._kept()
        return b""

    def _set_policy(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        new, bank = records.policy(data), self.issue.bank
        ask(new.bank == records.key_id(bank.key) and new.currency == bank.currency, 0x6A80)
        ask(new.tier == 0 and records.is_signed(bank.key, data), 0x6A80)
        if data != self.state.policy.raw:
            ask(new.version > self.state.policy.version, 0x6985)
            self.state.policy = new
            self._kept()
        return b""

    # -- money in ------------------------------------------------------------------------------

    def _generate(self, p1: int, p2: int, data: bytes) -> bytes:
        ask(p1 in (0, 1) and p2 == 0, 0x6A86)
        ask(len(data) == (0 if p1 else 16), 0x6700)
        ask(p1 == 0 and self.state.lifecycle == ACTIVE, 0x6985)
        ask(self.pin_shown, 0x6982)
        state = self.state
        free = [slot for slot in SLOTS if slot not in state.held]
        slot = free[0] if free else self._spent_slot()
        if slot not in state.keys or not free:
            state.keys[slot] = self._new_key(slot)
            self._kept()
        if not free:
            del state.held[slot]
            self._kept()
        key = records.public_key(state.keys[slot])
        body = records.attestation_body(slot, self.issue.own.serial, data, key)
        return records.signed(self.issue.identity, body)

    def _spent_slot(self) -> int:
        """Of the spent notes whose payments are acknowledged, the one that was spent first."""
        state = self.state
        last = {note: e.counter for e in state.entries.values() for note in e.notes}
        uses = {
            slot: last.get(held.note.record_id, 0)
            for slot, held in state.held.items()
            if held.left == 0 and last.get(held.note.record_id, 0) <= state.acknowledged
        }
        ask(bool(uses), 0x6A84)
        done = [e.counter for e in state.entries.values() if e.counter <= state.acknowledged]
        # The oldest payment that a purse still knows may be any of these; a note whose payments
        # it knows no more of was spent before all others. Of equals the lowest slot.
        fit = {
            min(uses, key=lambda slot: (uses[slot] if uses[slot] >= oldest else 0, slot))
            for oldest in (done[: len(done) - KEPT + 1] if len(done) > KEPT else [0])
        }
        return self.slot_hint if self.slot_hint in fit else min(fit)

    def _load(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        note, state = records.note(data), self.state
        ask(state.lifecycle == ACTIVE, 0x6985)
        if note.record_id in [held.note.record_id for held in state.held.values()]:
            return b""
        slots = [
            slot
            for slot, key in state.keys.items()
            if slot not in state.held and records.public_key(key) == note.owner
        ]
        ask(bool(slots), 0x6A88)
        ask(note.currency == self.issue.bank.currency, 0x9407)
        role = records.AUTHORITY if note.purpose else records.ISSUER
        signer = self._find(role, note.issuer)
        if signer is None:
            raise Word(0x6A88)
        ask(signer.currency == note.currency and signer.is_valid(note.issued_at), 0x6A80)
        ask(signer.takes(note.purpose) and records.is_signed(signer.key, data), 0x6A80)
        ask(note.min_tier == 0, 0x940C)
        ask(not state.policy.banned & 2, 0x940F)
        ask(note.purpose == 0 or note.purpose not in state.policy.banned_purposes, 0x940F)
        total = sum(state.balance().values()) + note.value
        ask(total <= state.policy.limits.balance, 0x940D)
        state.held[slots[0]] = Held(note)
        self._kept()
        return b""

    # -- money out -----------------------------------------------------------------------------

    def _pay(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        ask(len(data) == 228, 0x6700)
        request, state = records.request(data), self.state
        try:
            payee = records.certificate(request.payee)
        except NoRecord:
            raise Word(0x9408) from None
        ask(request.amount > 0, 0x6A80)
        ask(state.lifecycle == ACTIVE, 0x6985)
        synced_at = max(state.synced_at, self.issue.own.begins)
        now = max(request.time, synced_at, state.policy.issued_at)
        self._check_payee(request, payee, now)
        before = state.entries.get(request.payment_id)
        if before is not None:
            same = (records.record_id(payee.raw), request.amount) == (before.payee, before.amount)
            ask(same, 0x6A80)
            return self._again(before)
        payment = Payment(self.issue, state, request, payee, now, self.pin_shown)
        payment.check_caps(synced_at)
        pieces = payment.choose()
        if state.has_strayed:
            state.lifecycle = SYNC_ONLY
            self._kept()
            raise Word(0x6985)
        ask(state.counter < COUNTER_END, 0x940E)
        entry, held = payment.planned(pieces)
        taken = min(entry.counter + self.jump, COUNTER_END)
        jumped, self.jump = taken - entry.counter, 0
        state.counter = taken
        if jumped:
            self._cuts_by_a_jump(entry, held)
            self._kept()
            raise Word(0x6F00)
        state.book(entry, held)
        self._kept()
        return entry.tokens

    def _check_payee(self, request: records.Request, payee: Certificate, now: int) -> None:
        ask(request.currency == self.issue.bank.currency, 0x9407)
        ask(payee.role == records.TERMINAL, 0x9408)
        bank = self._find(records.BANK, payee.issuer)
        if bank is None:
            raise Word(0x6A88)
        ask(bank.currency == payee.currency, 0x9408)
        ask(payee.is_valid(now) and bank.is_valid(now), 0x9408)
        ask(records.is_signed(bank.key, payee.raw) and payee.is_valid(request.time), 0x9408)
        ask(payee.currency == request.currency, 0x9407)

    def _cuts_by_a_jump(self, entry: Entry, held: dict[int, Held]) -> None:
        """Should the power fail before the counter jumps, the payment is completed with the
        number that it was to have; after it the counter is explained by nothing, for a counter in
        flash takes one step or none.
        """
        completed, locked = self.state.copy(), self.state.copy()
        completed.counter = entry.counter
        completed.book(entry, held)
        locked.lifecycle = SYNC_ONLY
        self.points += [completed, locked]

    def _again(self, entry: Entry) -> bytes:
        here = [held.note.record_id for held in self.state.held.values()]
        ask(all(note in here for note in entry.notes), 0x6985)
        return entry.tokens

    def _recover(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        ask(len(data) == 16, 0x6700)
        entry = self.state.entries.get(data)
        if entry is None:
            raise Word(0x6A88)
        return self._again(entry)

    # -- sync ----------------------------------------------------------------------------------

    def _export(self, p1: int, p2: int, data: bytes) -> bytes:
        ask(p1 in (0, 1, 2, 3) and (p1 == 1 or p2 == 0), 0x6A86)
        ask(len(data) == (16, 0, 0, 2)[p1], 0x6700)
        ask(p1 != 3, 0x6985)  # only of a purse that no longer pays
        ask(self.pin_shown, 0x6982)
        state = self.state
        if p1 == 2:
            return self.issue.own.raw
        waiting = state.waiting
        if p1 == 1:
            ask(p2 < len(waiting), 0x6A88)
            return waiting[p2].raw
        body = records.statement_body(
            len(waiting), self.issue.own.serial, data, state.counter, state.acknowledged,
            state.anchor, state.chain(waiting), state.policy.version,
        )  # fmt: skip
        return records.signed(self.issue.identity, body)

    def _acknowledge(self, p1: int, p2: int, data: bytes) -> bytes:
        ask((p1, p2) == (0, 0), 0x6A86)
        word, state, bank = records.acknowledgement(data), self.state, self.issue.bank
        ask(word.serial == self.issue.own.serial, 0x6A80)
        ask(word.bank == records.key_id(bank.key), 0x6A80)
        ask(records.is_signed(bank.key, data), 0x6A80)
        if (word.counter, word.time) <= (state.acknowledged, state.synced_at):
            return b""
        covered = [entry for entry in state.waiting if entry.counter <= word.counter]
        counters = [state.acknowledged, *(entry.counter for entry in covered)]
        ask(word.counter == counters[-1] and word.chain == state.chain(covered), 0x6A80)
        state.anchor, state.acknowledged = word.chain, word.counter
        state.synced_at = max(state.synced_at, word.time)
        self._kept()
        return b""

    def _store_data(self, p1: int, p2: int, data: bytes) -> bytes:
        raise Word(0x6A86 if p2 else 0x6985)


_ACTIONS: dict[int, Callable[[PlainPurse, int, int, bytes], bytes]] = {
    0xA4: PlainPurse._select,
    0x20: PlainPurse._verify,
    0x24: PlainPurse._change,
    0x2C: PlainPurse._unblock,
    0x30: PlainPurse._present,
    0x32: PlainPurse._pay,
    0x34: PlainPurse._recover,
    0x3A: PlainPurse._balance,
    0x3C: PlainPurse._load,
    0x3E: PlainPurse._export,
    0x40: PlainPurse._acknowledge,
    0x42: PlainPurse._set_policy,
    0x46: PlainPurse._generate,
    0xE2: PlainPurse._store_data,
}


def _tries_left(tries: int) -> Word:
    return Word(0x63C0 + tries if tries else 0x6983)


def _is_pin(digits: bytes) -> bool:
    return 4 <= len(digits) <= 12 and all(digit in b"0123456789" for digit in digits)


def _split(apdu: bytes) -> tuple[bytes, bytes, int]:
    """Header, data and how many bytes of answer are wanted, of a short APDU."""
    header, body = apdu[:4], apdu[4:]
    ask(len(header) == 4, 0x6700)
    if not body:
        return header, b"", 256
    if len(body) == 1:
        return header, b"", body[0] or 256
    size, data, tail = body[0], body[1 : 1 + body[0]], body[1 + body[0] :]
    ask(size > 0 and len(data) == size and len(tail) <= 1, 0x6700)
    return header, data, (tail[0] or 256) if tail else 256
