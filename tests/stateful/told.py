# SPDX-License-Identifier: Apache-2.0
"""What the model is told of a command: it was carried out, or begun until the power failed."""

from __future__ import annotations

from types import SimpleNamespace

from tests.doubles import plain_records as records
from tests.doubles.plain_state import SYNC_ONLY, Entry, State
from tests.stateful.desk import Ask
from tests.stateful.model import Model

_FULL = {"pin": 3, "puk": 10}


def tell(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    """Brings the model up to date. at: how many durable steps were done; state: what then was.

    Which notes pay, and which slot is used again, the model does not foretell: it takes that from
    `state` and holds it against the money that it knows of.
    """
    if ask.do == "select":
        model.selected, model.shown = True, False
    elif model.selected and ask.do in _TELL:
        _TELL[ask.do](model, ask, word, at, state)


def _verify(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    if ask.asks or word == 0x6700:
        return
    model.shown = False
    if at:
        model.tries[ask.what] -= 1
    if at == 2:
        model.tries[ask.what] = _FULL[ask.what]
        model.tries["pin"] = _FULL["pin"]
        model.shown = ask.of == "verify"


def _present(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    if not at:
        return
    is_full = len(model.known) == 16 and ask.who.key not in model.known
    if is_full:
        others = [name for name in model.known if name != "3 bank A"]
        del model.known[min(others, key=lambda name: model.known[name].ends)]
    if at == 1 + is_full:
        model.known[ask.who.key] = ask.who


def _policy(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    if at:
        model.policy = ask.policy


def _generate(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    here = [held.note.record_id for held in state.held.values()]
    for name in [name for name in model.notes if name not in here]:
        assert model.is_settled(name), "a slot was freed whose note is not settled"
        del model.notes[name]
    free = [key for slot, key in state.keys.items() if slot not in state.held]
    assert len(free) <= 1, "two keys wait for a note"
    model.waiting_key = records.public_key(free[0]) if free else b""


def _load(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    if at:
        note = ask.note
        model.notes[ask.name] = SimpleNamespace(
            left=note.value,
            purpose=note.purpose,
            cap=note.max_payment,
            times=note.max_transfers,
            ends=note.expires_at,
        )
        model.loaded[ask.name] = note.value
        model.waiting_key = b""


def _pay(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    model.counter = state.counter
    model.locked = state.lifecycle == SYNC_ONLY
    if ask.id in state.entries and ask.id not in model.paid:
        _book(model, ask, state.entries[ask.id])


def _book(model: Model, ask: Ask, entry: Entry) -> None:
    """What each note gave, as its token says."""
    names, total = [], 0
    for at in range(180, len(entry.tokens), 360):
        transfer = entry.tokens[at : at + 180]
        name = transfer[4:36]
        start, end = (int.from_bytes(transfer[i : i + 4], "big") for i in (36, 40))
        note = model.notes[name]
        assert start == model.loaded[name] - note.left, "not the front of what is left"
        assert 0 < end - start <= min(note.left, note.cap), "more than the note may give"
        assert note.times > 0, "divided too often"
        note.left -= end - start
        note.times -= 1
        total += end - start
        names.append(name)
    assert total == ask.amount, "another amount than was asked for"
    assert len(names) <= 4, "too many pieces"
    model.paid[ask.id] = SimpleNamespace(
        payee=ask.payee, amount=total, shown=entry.with_pin, counter=entry.counter, notes=names
    )


def _acknowledge(model: Model, ask: Ask, word: int, at: int, state: State) -> None:
    if at:
        model.synced_to = ask.counter
        model.synced_at = max(model.synced_at, ask.time)


_TELL = {
    "verify": _verify,
    "present": _present,
    "policy": _policy,
    "generate": _generate,
    "load": _load,
    "pay": _pay,
    "acknowledge": _acknowledge,
}
