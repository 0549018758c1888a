# SPDX-License-Identifier: Apache-2.0
"""The world around one purse: what it asks, with which bytes, and what its bank has in its books.

A step of `steps` becomes one command here. `Ask.flaw` is the word that the command must get for
what is wrong with it, None where the purse has to look at itself.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.doubles import plain_records as records
from tests.doubles.plain_purse import AID
from tests.doubles.plain_state import State
from tests.stateful import town
from tests.stateful.model import Model
from tests.stateful.town import DAY, LONG, NOW

OK = 0x9000
SELECT = b"\x00\xa4\x04\x00" + bytes((len(AID),)) + AID


class Ask(SimpleNamespace):
    """One command: `header` and `data`, the model's name for it in `do`, and its arguments."""

    do: str
    header: bytes
    data: bytes
    flaw: int | None


class Desk:
    """Tills, issuers and a bank; `state` and `model` are of the purse that they deal with."""

    def __init__(self, seed: int, model: Model) -> None:
        self._seed = seed
        self._model = model
        self._drawn = 0
        self._notes: list[bytes] = []
        self._words: list[bytes] = []  # acknowledgements
        self.asked: list[SimpleNamespace] = []  # payments
        self.clock = NOW
        self.book = [(0, bytes(32))]  # the bank's: counter and chain behind each entry
        self.entries: list[bytes] = []  # the bank's: each journal entry, as it was exported

    def draw(self, what: str) -> bytes:
        """32 bytes that were never drawn before."""
        self._drawn += 1
        return records.sha256(f"{self._seed}/{what}/{self._drawn}".encode())

    def draw_key(self, slot: int) -> bytes:
        """The next key that the purse's element makes."""
        self._drawn += 1
        return town.secret(f"{self._seed}/slot {slot}/{self._drawn}")

    def ask(self, do: str, args: dict[str, Any], state: State) -> Ask:
        """The command of a step."""
        ask = Ask(do=do, flaw=None, data=b"", **{**args, "of": do})
        getattr(self, "_" + do)(ask, state)
        return ask

    # -- the holder ----------------------------------------------------------------------------

    def _pin(self, spec: str, state: State) -> bytes:
        fixed = {
            "wrong": b"0001",
            "none": b"",
            "short": b"12",
            "long": b"1" * 13,
            "letters": b"12ab",
        }
        return fixed.get(spec, state.pin)

    def _verify(self, ask: Ask, state: State) -> None:
        ask.header, ask.data = b"\x00\x20\x00\x81", self._pin(ask.pin, state)
        ask.what, ask.asks, ask.right = "pin", not ask.data, ask.data == state.pin
        ask.flaw = 0x6A80 if ask.pin in ("short", "long", "letters") else None

    def _change(self, ask: Ask, state: State) -> None:
        old = self._pin(ask.old, state)
        ask.do, ask.header = "verify", b"\x00\x24\x00\x81"
        ask.data = bytes((len(old),)) + old + ask.new
        ask.what, ask.asks, ask.right = "pin", False, old == state.pin
        ask.flaw = 0x6A80 if ask.old == "short" or ask.new not in town.PINS else None

    def _unblock(self, ask: Ask, state: State) -> None:
        puk = {"right": town.PUK, "wrong": b"00000001", "letters": b"1234567a"}[ask.puk]
        ask.do, ask.header, ask.data = "verify", b"\x00\x2c\x00\x81", puk + ask.new
        ask.what, ask.asks, ask.right = "puk", False, ask.puk == "right"
        if not 4 <= len(ask.new) <= 12:
            ask.flaw = 0x6A80 if ask.new else 0x6700
        elif ask.puk == "letters":
            ask.flaw = 0x6A80

    def _balance(self, ask: Ask, state: State) -> None:
        ask.do, ask.header = "shows", b"\x80\x3a\x00\x00"

    # -- certificates and limits ---------------------------------------------------------------

    def _present(self, ask: Ask, state: State) -> None:
        ask.who = town.SHOWN[ask.who]
        ask.header, ask.data = b"\x80\x30\x00\x00", ask.who.raw

    def _policy(self, ask: Ask, state: State) -> None:
        now = state.policy.version
        version = {"newer": now + 1, "older": max(1, now - 1)}.get(ask.kind, now)
        version += ask.kind in ("foreign", "forged", "tier", "dollars", "cut")
        fields = {name: getattr(ask, name) for name in ("emergency", "banned", "purposes")
                  if hasattr(ask, name)}  # fmt: skip
        extra = {
            "foreign": ("signer", "bank B"),
            "tier": ("tier", 1),
            "dollars": ("currency", 840),
        }
        if ask.kind in extra:
            fields[extra[ask.kind][0]] = extra[ask.kind][1]
        raw = (
            state.policy.raw if ask.kind == "again" else town.policy(version, ask.limits, **fields)
        )
        if ask.kind == "forged":
            raw = records.signed(town.secret("thief"), raw[:-64])
        if ask.kind == "cut":
            raw = raw[:-1]
        ask.header, ask.data = b"\x80\x42\x00\x00", raw
        ask.same = raw == state.policy.raw
        if ask.kind in ("foreign", "forged", "tier", "dollars", "cut"):
            ask.flaw = 0x6A80
        else:
            ask.policy = records.policy(raw)

    # -- money in ------------------------------------------------------------------------------

    def _generate(self, ask: Ask, state: State) -> None:
        ask.header, ask.data = b"\x80\x46\x00\x00", self.draw("challenge")[:16]

    def _load(self, ask: Ask, state: State) -> None:
        raw = self._note(ask)
        if ask.kind == "again" and self._notes:
            raw = self._notes[-1 - ask.days % len(self._notes)]
        ask.header, ask.data = b"\x80\x3c\x00\x00", raw
        if ask.kind == "cut":
            ask.data, ask.flaw = raw[:100], 0x6A80
            return
        ask.note = records.note(raw)
        ask.name, ask.owner = ask.note.record_id, ask.note.owner
        if ask.kind in ("good", "tier", "dollars"):
            self._notes.append(raw)

    def _note(self, ask: Ask) -> bytes:
        special = {
            town.MEDICAL: "authority 7",
            town.FOOD: "authority 9",
            town.NOBODYS: "authority 7",
        }
        signer = "nobody's issuer" if ask.kind == "unknown" else special.get(ask.purpose, "issuer")
        waiting = self._model.waiting_key
        owner = waiting if waiting and ask.kind != "other key" else town.key("nobody")
        issued_at = LONG[0] - 2 * DAY if ask.kind == "early" else self.clock
        raw = records.make_note(
            town.secret(signer), owner, self.draw("note")[:16], ask.value,
            purpose=ask.purpose, max_payment=ask.max_payment, max_transfers=ask.max_transfers,
            issued_at=issued_at, expires_at=self.clock + ask.days * DAY,
            min_tier=int(ask.kind == "tier"),
            currency=town.DOLLAR if ask.kind == "dollars" else town.TENGE,
        )  # fmt: skip
        return records.signed(town.secret("thief"), raw[:-64]) if ask.kind == "forged" else raw

    # -- money out -----------------------------------------------------------------------------

    def _pay(self, ask: Ask, state: State) -> None:
        old = self._payment(ask)
        if ask.id.startswith("new"):
            start = old.payment_id[:4] if ask.id != "new" else b""
            spec, more = ask.amount
            amount = self._amount(spec, more, state)
            new = (start + self.draw("payment"))[:16]
            old = SimpleNamespace(payment_id=new, amount=amount, payee=ask.payee)
            self.asked.append(old)
        ask.amount, ask.payee = old.amount, old.payee
        if ask.id == "again, other amount":
            ask.amount = (old.amount + 1) % 2**32
        if ask.id == "again, other payee":
            ask.payee = "clinic" if old.payee == "shop" else "shop"
        ask.id = old.payment_id
        payee = town.PAYEES[ask.payee]
        kind, more = ask.time
        start = {"clock": self.clock, "begins": payee.begins, "ends": payee.ends}.get(kind, 0)
        ask.time = start + more
        ask.header = b"\x80\x32\x00\x00"
        ask.data = records.pay_data(
            ask.amount, ask.currency, ask.purpose, ask.id, ask.time, payee.raw
        )

    def _amount(self, spec: str, more: int, state: State) -> int:
        limits, since = state.policy.limits, state.since
        held = list(state.held.values())
        payable = sorted((one.payable for one in held), reverse=True)
        start = {
            "tiyn": 0,
            "balance": sum(one.left for one in held),
            "payment": limits.payment,
            "pinless payment": limits.pinless_payment,
            "pinless": limits.pinless_total - since[2],
            "total": limits.total - since[0],
            "note": payable[len(self.asked) % len(payable)] if payable else 0,
            "all": sum(payable[:4]),
        }[spec]
        return min(max(start + more, 0), 0xFFFFFFFF)

    def _payment(self, ask: Ask) -> SimpleNamespace:
        if not self.asked:
            return SimpleNamespace(payment_id=self.draw("nothing")[:16], amount=1, payee="shop")
        found: SimpleNamespace = self.asked[-1 - ask.back % len(self.asked)]
        return found

    def _recover(self, ask: Ask, state: State) -> None:
        old = self._payment(ask)
        new = old.payment_id[:4] + self.draw("payment")[:12]
        ask.id = new if ask.id.startswith("new") else old.payment_id
        ask.header, ask.data = b"\x80\x34\x00\x00", ask.id

    def forget(self, payment_id: bytes) -> None:
        """Nobody asks for this payment any more."""
        self.asked = [old for old in self.asked if old.payment_id != payment_id]

    # -- sync ----------------------------------------------------------------------------------

    def _export(self, ask: Ask, state: State) -> None:
        ask.do, ask.header = "shows", bytes((0x80, 0x3E, ask.p1, ask.p2))
        ask.data = self.draw("challenge")[:16] if ask.p1 == 0 else b""
        if ask.p1 != 1 and ask.p2:
            ask.flaw = 0x6A86
        elif ask.p1 == 1 and self._model.shown and ask.p2 >= len(state.waiting):
            ask.flaw = 0x6A88

    def take(self, entry: bytes) -> None:
        """The bank writes an exported entry into its books."""
        counter = int.from_bytes(entry[4:8], "big")
        if counter > self.book[-1][0]:
            body = entry[: 68 + 116 * entry[3]]
            self.book.append((counter, records.sha256(self.book[-1][1] + body)))
            self.entries.append(entry)

    def _acknowledge(self, ask: Ask, state: State) -> None:
        """kind, or `share`: how many quarters of what the bank has."""
        model, kind = self._model, ask.kind
        at = {"old": len(self.book) // 2}.get(kind, len(self.book) - 1)
        if kind == "share":
            done = len([row for row in self.book if row[0] <= model.synced_to])
            at = done - 1 + (len(self.book) - done) * ask.share // 4
        counter, chain = self.book[at]
        if kind == "later":
            counter, chain = model.synced_to, state.anchor
        counter += {"gap": 1, "ahead": 5}.get(kind, 0)
        if kind == "hash":
            chain = records.sha256(chain)
        ask.counter, ask.time = counter, self.clock + ask.lag + 3_600 * (kind == "later")
        signer = town.secret("bank B" if kind == "foreign" else "bank A")
        serial = b"purse of Bob...." if kind == "purse" else town.SERIAL
        raw = records.make_acknowledgement(signer, serial, counter, ask.time, chain)
        if kind == "forged":
            raw = records.signed(town.secret("thief"), raw[:-64])
        if kind == "again" and self._words:
            raw = self._words[-1]
            word = records.acknowledgement(raw)
            ask.counter, ask.time = word.counter, word.time
        ask.header, ask.data = b"\x80\x40\x00\x00", raw[:-1] if kind == "cut" else raw
        ask.moves = (ask.counter, ask.time) > (model.synced_to, model.synced_at)
        is_wrong = kind in ("forged", "foreign", "purse", "cut")
        if is_wrong or (ask.moves and kind in ("hash", "gap", "ahead")):
            ask.flaw = 0x6A80
        else:
            self._words.append(raw)
