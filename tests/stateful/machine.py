# SPDX-License-Identifier: Apache-2.0
"""The firmware, the plain purse and the model take the same steps, and have to agree on all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.doubles import plain_records as records
from tests.doubles.plain_purse import COUNTER_END, PlainPurse
from tests.doubles.plain_state import SYNC_ONLY, Issue, State
from tests.stateful import town
from tests.stateful.board import Board, PowerCut, issued
from tests.stateful.desk import OK, SELECT, Ask, Desk
from tests.stateful.model import Model
from tests.stateful.steps import Step
from tests.stateful.told import tell

_GET_RESPONSE = b"\x00\xc0\x00\x00"
_NO_COMMAND = b"\x80\xff\x00\x00"
_MAX_PARTS = 8


class Machine:
    """Three purses that began as one. A step on which they do not agree raises AssertionError.

    counts: steps by kind, tears by outcome, status words.
    """

    def __init__(self, seed: int, is_real: bool) -> None:
        self.model = Model(records.policy(town.first_policy()))
        self.desk = Desk(seed, self.model)
        self.board = Board(issued().copy(), self.desk.draw_key, is_real)
        issue = Issue(
            town.key("root"), records.certificate(town.BANK_A), records.certificate(town.OWN),
            town.VIEW_KEY, town.secret("identity"),
        )  # fmt: skip
        state = State(town.PIN, town.PUK, records.policy(town.first_policy()))
        self.plain = PlainPurse(issue, state, lambda slot: self.board.element.secret(slot))
        self.counts: dict[str, Counter[str]] = {
            "steps": Counter(),
            "tears": Counter(),
            "words": Counter(),
        }
        self.paid: dict[bytes, bytes] = {}  # payment_id to the tokens
        self._commands = 0

    def take(self, step: Step) -> None:
        """One step, on all three."""
        self.counts["steps"][step.do] += 1
        special: Callable[[Step], None] | None = getattr(self, "_" + step.do, None)
        if special is not None:
            special(step)
        else:
            ask = self.desk.ask(step.do, step.args, self.plain.state)
            self._carry_out(ask, step)
        self._compare()

    # -- steps that are no command -------------------------------------------------------------

    def _tap(self, step: Step) -> None:
        if step.tear is None:
            self.board.reset()
            self._new_tap(step.args["select"])
        else:
            self._boot(step)

    def _boot(self, step: Step) -> None:
        self._power_comes_back(step.tear)
        self._same(self.board.facts(), self.plain.state.facts())
        self._new_tap(step.args["select"])

    def _power_comes_back(self, tear: tuple[int, str] | None = None) -> None:
        self._start_board(tear)
        self.plain.boot()
        self.model.locked = self.plain.state.lifecycle == SYNC_ONLY

    def _start_board(self, tear: tuple[int, str] | None) -> None:
        """Boots, where it says so with a power cut within: then it has to boot again."""
        if tear is not None:
            self.board.supply.fail(*tear)
        try:
            self.board.boot()
            self.counts["tears"]["boot: not reached"] += tear is not None
        except PowerCut:
            self.counts["tears"]["boot: at boot"] += 1
            self.board.supply.fail(0, "")
            self.board.boot()
        self.board.supply.fail(0, "")

    def _new_tap(self, select: bool) -> None:
        self.plain.reset()
        self.model.selected = self.model.shown = False
        if select:
            self._carry_out(
                Ask(do="select", of="select", flaw=None, header=SELECT, data=b""),
                Step("select", {}),
            )

    def _wait(self, step: Step) -> None:
        self.desk.clock += step.args["seconds"]

    def _jump(self, step: Step) -> None:
        self._arm_jump(step.args["by"])

    def _arm_jump(self, by: int) -> None:
        self.board.jump = self.plain.jump = self.model.jump = by

    def _stray(self, step: Step) -> None:
        """The element counts, and no payment says why: rolled back flash looks so."""
        if self.plain.state.counter < COUNTER_END:
            self.board.jump = self.board.element.jump = 0
            self.board.element.advance()
            self.plain.count_by_itself()
            self.model.has_strayed = True
            self.model.counter += 1
            self._arm_jump(0)
            if step.args["boot"]:  # else the next payment finds it out, or the next boot
                self._boot(Step("boot", {"select": True}))

    def _garbage(self, step: Step) -> None:
        """No word is foretold: the model asks the plain purse what is left of its tries."""
        self._ask(bytes.fromhex(step.args["apdu"]))
        self._adopt()

    def _long(self, step: Step) -> None:
        """A LOAD in more parts than any record has: there is a bound, and data are no record."""
        size = step.args["size"]
        for apdu in _parts(b"\x80\x3c\x00\x00", bytes(size), 250):
            word = self._ask(apdu)
        wanted = 0x6700 if size > 1024 else 0x6A80 if self.model.selected else 0x6985
        assert int.from_bytes(word, "big") == wanted

    def _response(self, step: Step) -> None:
        le = step.args["le"]
        self._ask(_GET_RESPONSE + (b"" if le is None else bytes((le & 0xFF,))))

    def _adopt(self) -> None:
        plain, model = self.plain, self.model
        model.selected, model.shown = plain.selected, plain.pin_shown
        model.tries.update(plain.state.tries)

    def _sync(self, step: Step) -> None:
        """A holder at a terminal with a line: PIN, all of the journal, the bank's word."""
        if not self.plain.selected:
            self._new_tap(True)
        if not self.plain.state.tries["pin"]:
            self._plainly("unblock", puk="right", new=town.PIN)
        if self._plainly("verify", pin="right") != OK:
            return
        statement = self._exported(0, 0)
        entries = [
            self._exported(1, index) for index in range(int.from_bytes(statement[2:4], "big"))
        ]
        for entry in entries:
            self.desk.take(entry)
        assert statement[76:108] == self.desk.book[-1][1], "the head is not that of the entries"
        ask = self.desk.ask("acknowledge", {"kind": "share", **step.args}, self.plain.state)
        self._carry_out(ask, step)

    def _plainly(self, do: str, **args: Any) -> int:
        return self._carry_out(self.desk.ask(do, args, self.plain.state), Step(do, {}))

    def _exported(self, p1: int, p2: int) -> bytes:
        ask = self.desk.ask("export", {"p1": p1, "p2": p2}, self.plain.state)
        self._carry_out(ask, Step("export", {}))
        return self._data

    # -- a command -----------------------------------------------------------------------------

    def _carry_out(self, ask: Ask, step: Step) -> int:
        """A command and its answer; the word, 0 where the power failed."""
        if ask.of in ("pay", "recover") and not self._is_known_alike(ask):
            return 0
        if self.plain.gathers(ask.header):
            self._ask(_NO_COMMAND)  # or what garbage has left would come first
        expected = self.model.word(ask.do, ask)
        *first, last = _apdus(ask, step.args.get("parts", 1), step.args.get("le"))
        for apdu in first:
            self._ask(apdu)
        if step.tear is not None:
            return self._torn(ask, step, last, expected)
        answer = self._ask(last)
        self._data, word = self._fetched(answer, step.args.get("leave", False))
        assert word == expected, f"the model expected {expected:04X}, the answer is {word:04X}"
        self._happened(ask, word, len(self.plain.points))
        return word

    def _is_known_alike(self, ask: Ask) -> bool:
        """Of a payment that is long past the firmware may know more than it must.

        Then it is asked whether it does, and where it does not, the others forget it too.
        """
        if not self.plain.may_let_go_of(ask.id):
            return True
        if self.plain.selected:
            answer = self.board.process(b"\x80\x34\x00\x00\x10" + ask.id)
            if answer == b"\x6a\x88":
                self.plain.let_go_of(ask.id)
                self.model.paid.pop(ask.id)
                self.desk.forget(ask.id)
                self.counts["words"]["let go of"] += 1
            self._ask(SELECT)  # so that both have nothing more to say
            self._adopt()
        return False

    def _ask(self, apdu: bytes) -> bytes:
        """The answer of both purses, which must be one."""
        self._commands += 1
        answer = self.board.process(apdu)
        if self._commands % 4:
            self.board.application.rest()
        return self._answered(apdu, answer)

    def _answered(self, apdu: bytes, answer: bytes) -> bytes:
        self.plain.slot_hint = self.board.drawn_slot
        wanted = self.plain.process(apdu)
        assert answer == wanted, _difference(apdu, answer, wanted)
        self.counts["words"][_name(answer)] += 1
        return answer

    def _fetched(self, answer: bytes, leave: bool = False) -> tuple[bytes, int]:
        """The whole answer; with `leave` the rest of it is never asked for."""
        data, word = answer[:-2], int.from_bytes(answer[-2:], "big")
        if leave and word >> 8 == 0x61:
            return data, OK
        while word >> 8 == 0x61:
            answer = self._ask(_GET_RESPONSE + b"\0")
            data, word = data + answer[:-2], int.from_bytes(answer[-2:], "big")
        return data, word

    def _torn(self, ask: Ask, step: Step, apdu: bytes, expected: int) -> int:
        """The power fails at a write, if the command comes to it."""
        assert step.tear is not None
        board, before = self.board, self.plain.state.copy()
        board.supply.fail(*step.tear)
        answer, outcome = None, "not reached"
        try:
            answer = board.process(apdu)
            board.application.rest()
        except PowerCut:
            outcome = "torn"
        board.supply.fail(0, "")
        if answer is not None:
            self._answered(apdu, answer)
            at = len(self.plain.points)
            if outcome == "torn":
                outcome = "after the answer"
                self._power_comes_back()
                self._same(board.facts(), self.plain.state.facts())
            else:
                self._data, word = self._fetched(answer)
                assert word == expected, (
                    f"the model expected {expected:04X}, the answer is {word:04X}"
                )
        else:
            self._start_board(step.args.get("twice"))
            self.plain.slot_hint = board.drawn_slot
            at = self._found(apdu, before)
            outcome = (
                "before" if at == 0 else "after" if at == len(self.plain.points) else "between"
            )
            self.plain.state = (before, *self.plain.points)[at]
        self.counts["tears"][f"{ask.of}: {outcome}"] += 1
        self._happened(ask, expected, at, was_cut=outcome not in ("not reached",))
        return 0

    def _found(self, apdu: bytes, before: State) -> int:
        """In which of the allowed states the firmware came back."""
        self.plain.process(apdu)
        self.plain.reset()
        facts = self.board.facts()
        states = (before, *self.plain.points)
        for at, state in enumerate(states):
            state.wake()
            if _matches(facts, state.facts()):
                return at
        self._same(facts, states[-1].facts())
        raise AssertionError("after a tear the purse is in no state that it may be in")

    def _same(self, facts: dict[str, object], wanted: dict[str, object]) -> None:
        differ = [name for name in facts if facts[name] != wanted.get(name, "")]
        parts = [
            f"{name}: {_short(facts[name])} is not {_short(wanted.get(name))}" for name in differ
        ]
        assert not differ, "the purses differ: " + "; ".join(parts)

    # -- what it comes to ----------------------------------------------------------------------

    def _happened(self, ask: Ask, word: int, at: int, was_cut: bool = False) -> None:
        """Tells the model: the word, and how many durable steps were done."""
        state = self.plain.state
        if ask.do in ("pay", "recover") and ask.id in state.entries:
            self._tokens(ask, state)
        tell(self.model, ask, word, at, state)
        if was_cut:
            self._arm_jump(0)
            self.model.selected = self.model.shown = False
            self.model.locked = state.lifecycle == SYNC_ONLY
        if ask.do == "pay":
            self._arm_jump(self.plain.jump)

    def _tokens(self, ask: Ask, state: State) -> None:
        """Each token as a till verifies it; the same payment has the same bytes, always (I3)."""
        raw = state.entries[ask.id].tokens
        if self.paid.setdefault(ask.id, raw) == raw and ask.of == "recover":
            return
        assert self.paid[ask.id] == raw, "the same payment has other bytes"
        for at in range(0, len(raw), 360):
            note, transfer = records.note(raw[at : at + 180]), raw[at + 180 : at + 360]
            assert records.is_signed(note.owner, transfer), "a token that no till takes"

    def _compare(self) -> None:
        """Money, after every step."""
        balance = {0: 0, **self.board.purse.balance()}
        assert balance == self.plain.state.balance() == self.model.balance(), (
            f"balance: {balance}, {self.plain.state.balance()}, {self.model.balance()}"
        )

    def finish(self) -> None:
        """Everything to the bank; then no tiyn is missing, and none too many (I1, I2, I6)."""
        self._boot(Step("boot", {"select": True}))
        if self.plain.state.tries["pin"] or self.plain.state.tries["puk"]:
            self._sync(Step("sync", {"share": 4, "lag": 0}))
            assert self.plain.state.waiting == [], "something still waits"
        runs: dict[bytes, list[tuple[int, int]]] = {}
        for raw in self.paid.values():
            for at in range(0, len(raw), 360):
                transfer = raw[at + 180 : at + 360]
                start, end = (int.from_bytes(transfer[i : i + 4], "big") for i in (36, 40))
                runs.setdefault(transfer[4:36], []).append((start, end))
        for name, value in self.model.loaded.items():
            at = 0
            for start, end in sorted(runs.pop(name, [])):
                assert start == at, "runs of a note overlap, or leave something out"
                at = end
            left = self.model.notes[name].left if name in self.model.notes else 0
            assert at + left == value, "a note is not worth what was loaded"
        assert not runs, "something was paid that was never loaded"
        self._same(self.board.facts(), self.plain.state.facts())


def _apdus(ask: Ask, parts: int, le: int | None) -> list[bytes]:
    """The command, chained in parts where that is wanted or its data are too long."""
    size = max(1, min(255, -(-len(ask.data) // min(parts, _MAX_PARTS))))
    found = _parts(ask.header, ask.data, size)
    if le is not None:
        found[-1] += bytes((le & 0xFF,))
    return found


def _parts(header: bytes, data: bytes, size: int) -> list[bytes]:
    """A command whose data are cut; all parts but the last say that more will come."""
    cuts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    chained = bytes((header[0] | 0x10,)) + header[1:]
    heads = [chained] * (len(cuts) - 1) + [header]
    whole = zip(heads, cuts, strict=True)
    return [head + (bytes((len(cut),)) + cut if cut else b"") for head, cut in whole]


def _matches(facts: dict[str, object], wanted: dict[str, object]) -> bool:
    return all(facts[name] == wanted.get(name, "") for name in facts)


def _short(value: object) -> str:
    """What fits in a line, bytes as hex."""
    if isinstance(value, bytes):
        return value[:12].hex()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_short(one) for one in value[:20]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_short(one)}" for name, one in value.items()) + "}"
    return repr(value)


def _name(answer: bytes) -> str:
    return "61xx" if answer[-2] == 0x61 else answer[-2:].hex().upper()


def _difference(apdu: bytes, answer: bytes, wanted: bytes) -> str:
    pairs = enumerate(zip(answer, wanted, strict=False))
    at = next((i for i, pair in pairs if pair[0] != pair[1]), 0)
    return (
        f"{apdu[:5].hex()} is answered {answer[-2:].hex()} ({len(answer)} bytes), "
        f"by the plain purse {wanted[-2:].hex()} ({len(wanted)}); "
        f"from byte {at}: {answer[at : at + 16].hex()}, {wanted[at : at + 16].hex()}"
    )
