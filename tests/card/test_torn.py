# SPDX-License-Identifier: Apache-2.0
"""The power fails before, within and after every write of every command that changes something.

I9: the purse boots to the state before or the state after. I3: a payment is debited once. The
writes are those of the flash as the firmware sees it: files, programs, erases; cuts inside the
file system are another test's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware.purse.state import STATE
from firmware.wire.apdu import LIFECYCLE_DAMAGED, Command
from tests.card.bench import OK, Bench, Issued, pay_command, refusal, whole_answer
from tests.card.facts import facts
from tests.doubles.desk import NOW, PIN, PUK
from tests.doubles.folder_flash import SECTOR_SIZE, FolderFiles
from tests.doubles.power import BEFORE, MOMENTS, PowerCut, PowerSupply, flash_error

MOMENT = pytest.mark.parametrize("moment", MOMENTS)
MAX_WRITES = 60  # of one command: an acknowledgement that drops a dozen entries
Act = Callable[[Bench], object]
OTHER_PIN = "4321"


@pytest.fixture
def three_notes(issued: Issued, tmp_path: Path) -> Bench:
    """A card that has paid twelve times from three notes and waits for its bank."""
    bench = issued.bench(tmp_path / "three")
    for value in (100, 200, 300):
        issued.desk.load(bench.session, value)
    for number in range(12):
        bench.pay(issued.desk.request(1 + number))
    return bench


def cuts_of(bench: Bench, act: Act, moment: str, pin: bool = False) -> list[Bench]:
    """One card for each write of `act`, cut there and booted again, its supply whole."""
    cards = []
    for number in range(1, MAX_WRITES):
        supply = PowerSupply()
        card = bench.twin(bench.folder.with_name(f"cut{number}"), supply)
        card.taken = list(bench.taken)
        if pin:
            card.session.verify_pin(PIN)
        supply.fail(number, moment)
        try:
            act(card)
            assert cards, "it wrote at least once"
            return cards
        except PowerCut:
            supply.fail(0, moment)
        card.boot()
        cards.append(card)
    raise AssertionError("it never ends")


def outcome(bench: Bench, act: Act, pin: bool = False) -> tuple[Bench, object]:
    """A twin on which `act` came to its end, and what it gave."""
    whole = bench.twin(bench.folder.with_name("whole"))
    whole.taken = list(bench.taken)
    if pin:
        whole.session.verify_pin(PIN)
    return whole, act(whole)


def goes_on(card: Bench) -> None:
    """The card pays, forgets nothing of it at the next boot, and syncs."""
    request = card.desk.request(7, time=NOW + 61)
    card.pay(request)
    before = facts(card.card.purse)
    card.boot()
    assert facts(card.card.purse) == before
    card.session.verify_pin(PIN)
    export = card.session.export(bytes(16))
    card.session.acknowledge(card.desk.acknowledge(export, time=NOW + 2))
    assert card.card.purse.journal.since.count == 0


@MOMENT
@pytest.mark.parametrize("amount", [50, 350], ids=["one note", "three notes"])
def test_pay(moment: str, amount: int, three_notes: Bench) -> None:
    """T02, T03: RECOVER gives the very bytes; the same PAY again never debits twice."""
    command = pay_command(three_notes.desk.request(amount))
    payment_id = command.data[8:24]
    recover = Command(0x80, 0x34, data=payment_id)
    before = facts(three_notes.card.purse)
    whole, answer = outcome(three_notes, lambda card: whole_answer(card, command))
    after = facts(whole.card.purse)
    seen = []
    for card in cuts_of(three_notes, lambda card: whole_answer(card, command), moment):
        found = facts(card.card.purse)
        assert found in (before, after)
        seen.append(found == after)
        if found == after:
            assert whole_answer(card, recover) == answer
        else:
            assert card.word(recover) == 0x6A88
        assert whole_answer(card, command) == answer
        assert facts(card.card.purse) == after
        assert whole_answer(card, recover) == answer
        goes_on(card)
    assert seen == [moment == "after", True, True, True], "intent, counter, commit, signatures"


@MOMENT
def test_pay_cut_twice(moment: str, three_notes: Bench) -> None:
    """T04: the power fails again while the purse mends what the first cut left."""
    command = pay_command(three_notes.desk.request(50))
    before = facts(three_notes.card.purse)
    whole, answer = outcome(three_notes, lambda card: whole_answer(card, command))
    after = facts(whole.card.purse)
    for first in range(1, 5):
        for second in range(1, 3):
            supply = PowerSupply()
            card = three_notes.twin(three_notes.folder.with_name(f"{first}-{second}"), supply)
            supply.fail(first, moment)
            with pytest.raises(PowerCut):
                whole_answer(card, command)
            supply.fail(second, moment)
            try:
                card.boot()
                card.word(Command(0x80, 0x34, data=command.data[8:24]))
            except PowerCut:
                pass
            supply.fail(0, moment)
            card.boot()
            assert facts(card.card.purse) in (before, after)
            assert whole_answer(card, command) == answer
            assert facts(card.card.purse) == after


@pytest.mark.parametrize("moment", MOMENTS)
def test_pay_on_worn_flash(moment: str, three_notes: Bench) -> None:
    """A write fails and the firmware lives on: 6581, and memory and flash do not part.

    The next payment must not spend units that the failed one has on record (I1, I3).
    """
    command = pay_command(three_notes.desk.request(50))
    _, answer = outcome(three_notes, lambda card: whole_answer(card, command))
    for number in range(1, 5):
        supply = PowerSupply(flash_error)
        card = three_notes.twin(three_notes.folder.with_name(f"worn{number}"), supply)
        card.taken = list(three_notes.taken)
        supply.fail(number, moment)
        assert card.word(command) == 0x6581
        supply.fail(0, moment)
        other = card.desk.request(20)
        card.pay(other)
        recovered = refusal(card.session.recover, command.data[8:24])
        if recovered == OK:
            assert whole_answer(card, command) == answer
        request_tokens = card.session.pay(_request_of(card, command))
        card.verified(_request_of(card, command), request_tokens)
        in_memory = facts(card.card.purse)
        card.boot()
        assert facts(card.card.purse) == in_memory
        assert sum(transfer.amount_tiyn for transfer in card.taken) == 78 + 70
        assert card.balance() == 600 - 78 - 70


def _request_of(card: Bench, command: Command):  # type: ignore[no-untyped-def]
    return card.desk.request(50, payment_id=command.data[8:24])


def test_pay_out_of_memory(three_notes: Bench) -> None:
    """A full heap right behind the commit, as MicroPython may have it: no unit goes twice."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    for name in ("_count_in", "keep_signatures"):
        setattr(three_notes.card.purse.journal, name, no_memory)
        with pytest.raises(MemoryError):
            three_notes.session.pay(three_notes.desk.request(30))
        three_notes.tap()
        three_notes.pay(three_notes.desk.request(20))
    for entry in map(three_notes.card.purse.journal.at, three_notes.card.purse.journal.counters):
        request = three_notes.desk.request(entry.amount, payment_id=entry.payment_id)
        three_notes.verified(request, three_notes.session.recover(entry.payment_id))
    assert three_notes.balance() == 600 - 78 - 100


@pytest.mark.parametrize("what", ["policy", "bank", "purse", "note.01", "state"])
def test_memory_that_cannot_be_read_anew(what: str, three_notes: Bench) -> None:
    """A payment broke off, and a stored record is no record: nothing more is paid (S05, I1).

    With what it still has in memory the purse would spend the same units again.
    """
    supply = PowerSupply(flash_error)
    three_notes.session.verify_pin(PIN)
    word = three_notes.desk.acknowledge(three_notes.session.export(bytes(16)), counter=0)
    card = three_notes.twin(three_notes.folder.with_name("broken"), supply)
    supply.fail(4, BEFORE)
    assert card.word(pay_command(card.desk.request(50))) == 0x6581
    supply.fail(0, BEFORE)
    if what == "state":
        card.card.memory.state.append(STATE, b"no record")
    else:
        card.card.memory.store.replace(what, b"no record")
    before = card.card.flash()
    for _ in range(2):
        assert card.word(pay_command(card.desk.request(50))) == 0x6985
        assert card.word(Command(0x80, 0x40, data=word.raw)) == 0x6581
    assert card.tap().info.lifecycle == LIFECYCLE_DAMAGED
    assert card.card.flash() == before


def test_a_certificate_that_cannot_be_read_anew_is_presented_again(three_notes: Bench) -> None:
    """It is no money, and no reason to stop: the till is told that its bank is not known."""
    three_notes.session.present(three_notes.desk.other_bank)
    name = f"known.3.{three_notes.desk.other_bank_key.key_id.hex()}"
    three_notes.card.memory.store.replace(name, b"no record")
    three_notes.boot()
    request = three_notes.desk.request(50, three_notes.desk.far_shop)
    assert refusal(three_notes.session.pay, request) == 0x6A88
    three_notes.session.present(three_notes.desk.other_bank)
    three_notes.pay(request)


@MOMENT
def test_load(moment: str, three_notes: Bench) -> None:
    """T14."""
    three_notes.session.verify_pin(PIN)
    key = three_notes.session.generate_key(bytes(16)).public_key
    note = three_notes.desk.note(key, 500)
    load: Act = lambda card: card.session.load(note)  # noqa: E731
    before = facts(three_notes.card.purse)
    whole, _ = outcome(three_notes, load)
    after = facts(whole.card.purse)
    for card in cuts_of(three_notes, load, moment):
        assert facts(card.card.purse) in (before, after)
        load(card)
        assert facts(card.card.purse) == after
        goes_on(card)


@MOMENT
@pytest.mark.parametrize("what", ["policy", "acknowledgement", "certificate", "key"])
def test_what_a_till_or_bank_brings(what: str, moment: str, three_notes: Bench) -> None:
    desk = three_notes.desk
    three_notes.session.verify_pin(PIN)
    policy = desk.policy(max_payment=1_000)
    word = desk.acknowledge(three_notes.session.export(bytes(16)), time=NOW + 1)
    act: Act = {
        "policy": lambda card: card.session.set_policy(policy),
        "acknowledgement": lambda card: card.session.acknowledge(word),
        "certificate": lambda card: card.session.present(desk.authority),
        "key": lambda card: card.session.generate_key(bytes(16)) and None,
    }[what]
    before = facts(three_notes.card.purse)
    whole, _ = outcome(three_notes, act, pin=True)
    after = facts(whole.card.purse)
    for card in cuts_of(three_notes, act, moment, pin=True):
        assert facts(card.card.purse) in (before, after)
        card.session.verify_pin(PIN)
        act(card)
        assert facts(card.card.purse) == after
        goes_on(card)


@MOMENT
def test_the_journal_while_it_is_freed(moment: str, three_notes: Bench) -> None:
    """Whatever entries are left after a cut still answer RECOVER with their own bytes."""
    three_notes.session.verify_pin(PIN)
    word = three_notes.desk.acknowledge(three_notes.session.export(bytes(16)), time=NOW + 1)
    answers = {
        transfer.payment_id: whole_answer(
            three_notes, Command(0x80, 0x34, data=transfer.payment_id)
        )
        for transfer in three_notes.taken
    }
    cards = cuts_of(three_notes, lambda card: card.session.acknowledge(word), moment)
    assert len(cards) == 1, "one record of the state: nothing can part it"
    for card in cards:
        for payment_id, answer in answers.items():
            assert whole_answer(card, Command(0x80, 0x34, data=payment_id)) == answer
        assert card.balance() == 600 - 78
        card.session.acknowledge(word)
        assert card.card.purse.journal.waiting == [], "the same word again"
        assert card.balance() == 600 - 78


@MOMENT
@pytest.mark.parametrize("how", ["verify", "wrong", "change", "unblock"])
def test_pin(how: str, moment: str, three_notes: Bench) -> None:
    """T15: the old PIN or the new one is right, and at most one try is gone."""
    new = PIN if how in ("verify", "wrong") else OTHER_PIN
    act: Act = {
        "verify": lambda card: card.session.verify_pin(PIN),
        "wrong": lambda card: card.word(Command(0x00, 0x20, 0, 0x81, b"0000")),
        "change": lambda card: card.session.change_pin(PIN, OTHER_PIN),
        "unblock": lambda card: card.session.unblock_pin(PUK, OTHER_PIN),
    }[how]
    before = facts(three_notes.card.purse)
    for card in cuts_of(three_notes, act, moment):
        assert facts(card.card.purse) == before
        assert card.word(Command(0x00, 0x20, 0, 0x81)) in (0x63C3, 0x63C2)
        right = [
            pin
            for pin in {PIN, new}
            if card.word(Command(0x00, 0x20, 0, 0x81, pin.encode())) == OK
        ]
        assert len(right) == 1
        card.session.unblock_pin(PUK, PIN)
        goes_on(card)


class WornFiles(FolderFiles):
    """Files of which those with such an end cannot be opened: that is not to be missing."""

    def __init__(self, root: Path, end: str) -> None:
        super().__init__(root)
        self._end = end

    def open(self, path: str, mode: str) -> Any:
        if path.endswith(self._end):
            raise flash_error()
        return super().open(path, mode)


@pytest.mark.parametrize("what", ["bank", "policy", "note.01", "view-key", "lifecycle"])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_file_that_cannot_be_read_is_not_taken_for_missing(
    copies: int, what: str, three_notes: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S04: one copy is enough; with neither the purse is not blank, has no less, and pays nothing.

    Where the lifecycle is read, the state is gone: it says whether there ever was one.
    """
    if what == "lifecycle":
        (three_notes.folder / "state.bin").write_bytes(b"\xff" * 4 * SECTOR_SIZE)
        copies = 2
    before, flash = facts(three_notes.card.purse), three_notes.card.flash()
    end = f"purse/{what}" if copies == 1 else f"/{what}"
    with monkeypatch.context() as patched:
        worn = lambda root: WornFiles(root, end)  # noqa: E731
        patched.setattr("tests.doubles.folder_flash.FolderFiles", worn)
        three_notes.boot()
        if copies == 1:
            assert facts(three_notes.card.purse) == before
            three_notes.pay(three_notes.desk.request(5))
            return
        assert three_notes.session.info.lifecycle == LIFECYCLE_DAMAGED
        assert refusal(three_notes.session.pay, three_notes.desk.request(5)) == 0x6985
    assert three_notes.card.flash() == flash
    if what != "lifecycle":
        three_notes.boot()
        three_notes.pay(three_notes.desk.request(5))


def test_a_cut_before_anything_is_written(three_notes: Bench) -> None:
    """T01: nothing happened, and the till tries the same payment_id again."""
    request = three_notes.desk.request(5)
    before = facts(three_notes.card.purse)
    card = cuts_of(three_notes, lambda card: card.session.pay(request), BEFORE)[0]
    assert facts(card.card.purse) == before
    card.pay(request)
