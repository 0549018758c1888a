# SPDX-License-Identifier: Apache-2.0
"""Flash that rots: one bit costs nothing (S04), more than that no money (S05, S07, S08, S09).

What cannot be read any more stops the purse, and is neither mended over nor formatted: a good
copy that is put back is a purse again.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from firmware.purse import stored
from firmware.purse.state import STATE, TRIES
from firmware.wire.apdu import (
    LIFECYCLE_ACTIVE,
    LIFECYCLE_DAMAGED,
    LIFECYCLE_SYNC_ONLY,
    Command,
)
from tests.card.bench import COUNT, OK, Bench, Issued, pay_command, refusal, whole_answer
from tests.card.damaged import is_damaged, works_again
from tests.card.facts import facts
from tests.card.flash_map import Harm, Spot, bits_of, copies, files, headers, records
from tests.doubles.desk import MEDICAL, NOW, PIN
from tests.doubles.folder_flash import SECTOR_SIZE, FilePartition, FolderFiles

COLD = ["root", "bank", "purse", "policy", "view-key", "note.01", "note.02", "key.00"]


@pytest.fixture
def lived(issued: Issued, tmp_path: Path) -> Bench:
    """A card with three notes, payments that the bank has and such that wait, and a known bank."""
    bench = issued.bench(tmp_path / "lived")
    desk = issued.desk
    for value, purpose in ((300, 0), (300, 0), (90, MEDICAL)):
        desk.load(bench.session, value, purpose)
    bench.session.present(desk.other_bank)
    bench.session.set_policy(desk.policy(max_payment=1_000))
    for amount in (10, 350):
        bench.pay(desk.request(amount))
    word = desk.acknowledge(bench.session.export(bytes(16)), time=NOW + 1)
    bench.session.acknowledge(word)
    for amount in (5, 6):
        bench.pay(desk.request(amount))
    bench.word(Command(0x00, 0x20, 0, 0x81, b"0000"))
    bench.boot()
    return bench


def newest(bench: Bench, log: str, kind: int) -> Spot:
    """The newest record of this kind."""
    return [spot for spot in records(bench, log) if spot.kind == kind][-1]


def still_the_same(bench: Bench, before: dict[str, object], what: object, boots: int = 1) -> None:
    """At the next boot; at the one after it, what could be mended is."""
    for _ in range(boots):
        bench.card.boot()
        bench.rested()
        assert bench.card.purse.damage == "", what
        assert facts(bench.card.purse) == before, what
        assert bench.card.purse.access.pin_tries == 2, what


# -- S04: one bit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("state", STATE),
        ("state", TRIES),
        ("counter", COUNT),
        ("journal", stored.INTENT),
        ("journal", stored.COMMIT),
        ("journal", stored.SIGNED),
    ],
)
def test_s04_each_bit_of_the_newest_record(log: str, kind: int, lived: Bench) -> None:
    """A bit of each byte at least: each bit of a record alone is test_log_record.py's."""
    harm, before = Harm(lived), facts(lived.card.purse)
    paid = [transfer.payment_id for transfer in lived.taken]
    answers = [whole_answer(lived, Command(0x80, 0x34, data=one)) for one in paid]
    spot = newest(lived, log, kind)
    for bit in list(bits_of(spot))[:: 7 if kind in (STATE, stored.SIGNED) else 3]:
        harm.flip(spot.name, bit)
        still_the_same(lived, before, (spot, bit), 1 + (bit % 8 == 0))
        if bit % 32 == 0:
            lived.tap()
            for one, answer in zip(paid, answers, strict=True):
                assert whole_answer(lived, Command(0x80, 0x34, data=one)) == answer
            lived.session.pay(lived.desk.request(7))
            lived.boot()
            assert lived.balance() == before["balance"][0] - 7  # type: ignore[index]
        harm.undo()


@pytest.mark.parametrize("log", ["state", "counter", "journal"])
def test_s04_a_bit_of_every_byte_of_every_record(log: str, lived: Bench) -> None:
    """The newest ones: what the journal lost in the middle it would have lost for good."""
    draw = random.Random(4)
    harm, before = Harm(lived), facts(lived.card.purse)
    for spot in records(lived, log)[-(2 if log == "state" else 20) :]:
        for at in range(spot.at, spot.at + spot.size):
            harm.flip(spot.name, 8 * at + draw.randrange(8))
            still_the_same(lived, before, (spot, at))
            harm.undo()


def test_s04_each_bit_of_the_headers(lived: Bench) -> None:
    harm, before = Harm(lived), facts(lived.card.purse)
    spots = headers(lived)
    assert len(spots) == 9, "three sectors of each log"
    for spot in spots:
        for bit in bits_of(spot):
            harm.flip(spot.name, bit)
            still_the_same(lived, before, (spot, bit))
            harm.undo()


def test_s04_a_bit_of_what_is_erased(lived: Bench) -> None:
    """Behind the newest record, and in ready sectors: it pays on, and reads what it wrote."""
    draw = random.Random(5)
    harm, before = Harm(lived), facts(lived.card.purse)
    for log in ("state", "counter", "journal"):
        end = records(lived, log)[-1]
        for at in (*range(end.at + end.size, end.at + end.size + 40), SECTOR_SIZE + 16, 9_000):
            harm.flip(end.name, 8 * at + draw.randrange(8))
            still_the_same(lived, before, (log, at))
            lived.tap()
            lived.session.pay(lived.desk.request(7))
            lived.session.verify_pin(PIN)
            lived.boot()
            assert lived.balance() == before["balance"][0] - 7  # type: ignore[index]
            assert lived.card.purse.access.pin_tries == 3
            harm.undo()


def test_s04_a_bit_of_every_byte_of_every_copy(lived: Bench) -> None:
    """Both are there again behind the next boot, as they were. Of the second, each fifth byte."""
    draw = random.Random(6)
    harm, before = Harm(lived), facts(lived.card.purse)
    spots = files(lived)
    assert len(spots) == 2 * (6 + 3 + 1 + 3 + 4), "records, notes, keys, who is known"
    for spot in spots:
        for at in range(0, spot.size, 5 if "-copy/" in spot.name else 1):
            harm.flip(spot.name, 8 * at + draw.randrange(8))
            if "/element" in spot.name:
                assert lived.card.memory.keys.read(spot.name.rsplit("/", 1)[1])
                lived.card.memory.keys.rest()
            elif "channel-keys" in spot.name or "lifecycle" in spot.name:
                assert lived.card.memory.store.read(spot.name.rsplit("/", 1)[1])
                lived.card.memory.store.rest()
            else:
                still_the_same(lived, before, (spot, at))
            assert (lived.folder / spot.name).read_bytes() == harm.good[spot.name], (spot, at)
            harm.undo()


# -- S05: more than that -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flipped", "empty", "one gone", "gone"])
@pytest.mark.parametrize("name", COLD)
def test_s05_both_copies_of_a_record(name: str, how: str, lived: Bench) -> None:
    """S05, S07: flipped bits, files that are created and empty, a file that is not there."""
    harm, before = Harm(lived), facts(lived.card.purse)
    for number, copy in enumerate(copies(name)):
        if how == "flipped":
            harm.flip(copy, 77 + number, 90)
        else:
            gone = how == "gone" or (how == "one gone" and number == 0)
            harm.write(copy, None if gone else b"")
    is_damaged(lived)
    works_again(lived, harm, before)


@pytest.mark.parametrize("how", ["flipped", "empty", "gone"])
def test_s05_both_copies_of_a_token_key(how: str, lived: Bench) -> None:
    """Its note pays nothing, and nothing is begun; the bank is told all, and other notes pay."""
    harm, before = Harm(lived), facts(lived.card.purse)
    for copy in copies("key.02"):
        if how == "flipped":
            harm.flip(copy, 77, 90)
        else:
            harm.write(copy, None if how == "gone" else b"")
    flash = lived.card.flash()
    for _ in range(2):
        lived.boot()
        assert refusal(lived.session.pay, lived.desk.request(5)) == 0x6581
        assert facts(lived.card.purse) == before and lived.card.flash() == flash
    lived.session.verify_pin(PIN)
    assert len(lived.session.export(bytes(16)).entries) == 2
    lived.pay(lived.desk.request(80, lived.desk.clinic))
    harm.undo()
    lived.boot()
    lived.pay(lived.desk.request(5))


@pytest.mark.parametrize(
    ("kind", "index"), [(stored.INTENT, -1), (stored.INTENT, -2), (stored.COMMIT, -2)]
)
def test_s05_two_bits_of_a_payment(kind: int, index: int, lived: Bench) -> None:
    """A payment that the bank lacks cannot be read: the purse stops, and keeps the rest."""
    harm, before = Harm(lived), facts(lived.card.purse)
    spot = [spot for spot in records(lived, "journal") if spot.kind == kind][index]
    harm.flip(spot.name, 8 * spot.at + 30, 8 * spot.at + 33)
    is_damaged(lived)
    works_again(lived, harm, before)


def test_s05_two_bits_of_the_newest_commit(lived: Bench) -> None:
    """The counter and the intent say all that it said: nothing is lost, and signed is signed."""
    harm, before = Harm(lived), facts(lived.card.purse)
    answers = {
        transfer.payment_id: whole_answer(lived, Command(0x80, 0x34, data=transfer.payment_id))
        for transfer in lived.taken
    }
    spot = newest(lived, "journal", stored.COMMIT)
    harm.flip(spot.name, 8 * spot.at + 30, 8 * spot.at + 33)
    for _ in range(2):
        lived.boot()
        assert facts(lived.card.purse) == before
        for payment_id, answer in answers.items():
            assert whole_answer(lived, Command(0x80, 0x34, data=payment_id)) == answer
    lived.pay(lived.desk.request(3))


def test_s05_two_bits_of_any_signature(lived: Bench) -> None:
    """It is made once more; and nobody is given another payment's."""
    before = facts(lived.card.purse)
    for spot in [spot for spot in records(lived, "journal") if spot.kind == stored.SIGNED]:
        harm = Harm(lived)
        harm.flip(spot.name, 8 * spot.at + 40, 8 * spot.at + 99)
        for _ in range(2):
            lived.boot()
            assert facts(lived.card.purse) == before
            for transfer in lived.taken:
                tokens = lived.session.recover(transfer.payment_id)
                amount = sum(token.amount_tiyn for token in tokens)
                request = lived.desk.request(amount, payment_id=transfer.payment_id)
                lived.verified(request, tokens)
        harm.undo()


def test_s05_two_bits_of_an_acknowledged_payment_stop_nobody(lived: Bench) -> None:
    """The bank has it: what is left of the notes is in the state, and the card pays on."""
    before = facts(lived.card.purse)
    spot = next(spot for spot in records(lived, "journal") if spot.kind == stored.INTENT)
    harm = Harm(lived)
    harm.flip(spot.name, 8 * spot.at + 40, 8 * spot.at + 99)
    lived.boot()
    assert facts(lived.card.purse) == before
    lived.pay(lived.desk.request(3))


def test_s05_two_bits_of_a_state_with_something_behind(lived: Bench) -> None:
    """There is a gap: what was newer than the state before it is not known."""
    harm, before = Harm(lived), facts(lived.card.purse)
    spot = newest(lived, "state", STATE)
    assert records(lived, "state")[-1].kind == TRIES
    harm.flip(spot.name, 8 * spot.at + 30, 8 * spot.at + 33)
    is_damaged(lived)
    works_again(lived, harm, before)


def test_s05_the_very_newest_state_is_as_if_torn(bench: Bench) -> None:
    """Nothing tells it from a write that a cut ended: the command before it was not carried out.

    What it would take away can be brought again: here a note, whose key still waits for it.
    """
    balance = bench.balance()
    note = bench.desk.load(bench.session, 5_000)
    spot = records(bench, "state")[-1]
    assert spot.kind == STATE
    Harm(bench).flip(spot.name, 8 * spot.at + 30, 8 * spot.at + 33)
    bench.boot()
    assert bench.session.info is not None
    assert bench.session.info.lifecycle == LIFECYCLE_ACTIVE and bench.balance() == balance
    bench.session.load(note)
    bench.boot()
    assert bench.balance() == balance + 5_000
    bench.pay(bench.desk.request(6))


def test_s05_two_bits_of_the_newest_count(lived: Bench) -> None:
    """I11: the counter then stands below the journal; it pays no more, and can be redeemed."""
    spot = newest(lived, "counter", COUNT)
    Harm(lived).flip(spot.name, 8 * spot.at + 30, 8 * spot.at + 33)
    waiting = lived.card.purse.journal.waiting
    assert lived.boot().info.lifecycle == LIFECYCLE_SYNC_ONLY  # type: ignore[union-attr]
    assert refusal(lived.session.pay, lived.desk.request(1)) == 0x6985
    lived.session.verify_pin(PIN)
    export = lived.session.export(bytes(16))
    assert [entry.counter for entry in export.entries] == waiting


def test_s05_the_only_sector_of_the_state(lived: Bench) -> None:
    """Its header is past mending: the card is no blank one, and nobody writes over the records."""
    harm, before = Harm(lived), facts(lived.card.purse)
    harm.flip("state.bin", 8 * 5, 8 * 9 + 1)
    flash = lived.card.flash()
    for _ in range(2):
        assert lived.boot().info.lifecycle == LIFECYCLE_DAMAGED  # type: ignore[union-attr]
        assert refusal(lived.session.pay, lived.desk.request(1)) == 0x6985
        assert lived.card.flash() == flash
    works_again(lived, harm, before)


def test_s05_the_newest_sector_of_the_journal(lived: Bench) -> None:
    """Sectors stand ready behind it, so it is missed; what it holds is not written over."""
    lived.session.set_policy(lived.desk.policy(max_payment=1_000, max_offline_count=64))
    while records(lived, "journal")[-1].at < SECTOR_SIZE + 400:
        lived.pay(lived.desk.request(1))
    harm, before = Harm(lived), facts(lived.card.purse)
    harm.flip("journal.bin", 8 * (SECTOR_SIZE + 5), 8 * (SECTOR_SIZE + 9) + 1)
    is_damaged(lived)
    works_again(lived, harm, before)


def test_s05_the_only_sector_of_the_journal(lived: Bench) -> None:
    """It looks like a journal that was put back: sync-only (I11), and the sector is kept."""
    harm = Harm(lived)
    harm.flip("journal.bin", 8 * 5, 8 * 9 + 1)
    journal = lived.card.flash()["journal.bin"][:SECTOR_SIZE]
    for _ in range(2):
        assert lived.boot().info.lifecycle == LIFECYCLE_SYNC_ONLY  # type: ignore[union-attr]
        assert refusal(lived.session.pay, lived.desk.request(1)) == 0x6985
        lived.rested()
        assert lived.card.flash()["journal.bin"].startswith(journal)


# -- S07: created but empty --------------------------------------------------------------------


def test_s07_one_copy_of_each_record_is_empty(lived: Bench) -> None:
    """As is a file that a power cut left: created, and nothing in it."""
    harm, before = Harm(lived), facts(lived.card.purse)
    for spot in files(lived):
        if "/purse" in spot.name and "channel-keys" not in spot.name:
            harm.write(spot.name, b"")
            still_the_same(lived, before, spot, 2)
            if "lifecycle" not in spot.name:
                assert (lived.folder / spot.name).read_bytes() == harm.good[spot.name]
            harm.undo()


@pytest.mark.parametrize("folder", ["purse", "purse-copy"])
@pytest.mark.parametrize(
    "name",
    [
        "note.05",
        "note.01.new",
        "policy.new",
        "known.3.0011223344556677",
        "known.3.x.new",
    ],
)
def test_s07_an_empty_file_of_a_record_that_never_was(
    name: str, folder: str, lived: Bench
) -> None:
    harm, before = Harm(lived), facts(lived.card.purse)
    harm.write(f"vfs/{folder}/{name}", b"")
    still_the_same(lived, before, name, 2)
    lived.tap()
    lived.session.verify_pin(PIN)
    lived.session.set_policy(lived.desk.policy())
    lived.desk.load(lived.session, 10)
    lived.pay(lived.desk.request(3))


# -- S08, S09: no room, and worn ---------------------------------------------------------------


@pytest.fixture
def paid(bench: Bench) -> Bench:
    """A card with 10,000 tenge less the 21 tiyn that it has paid, and a PIN that was shown."""
    for amount in (10, 5, 6):
        bench.pay(bench.desk.request(amount))
    bench.session.verify_pin(PIN)
    return bench


class FullFiles(FolderFiles):
    """A littlefs without a free block: what is there can be read and removed."""

    def open(self, path: str, mode: str) -> Any:
        if mode != "rb":
            raise OSError(28, "no space left on device")
        return super().open(path, mode)


def test_s08_a_full_file_system(paid: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it is refused and changes nothing; PAY, PIN and the bank's word do not."""
    desk = paid.desk
    paid.session.verify_pin(PIN)
    key = paid.session.generate_key(bytes(16)).public_key
    note, policy = desk.note(key, 50), desk.policy()
    desk.certify(desk.root, desk.shop_key, 3)
    monkeypatch.setattr("tests.doubles.folder_flash.FolderFiles", FullFiles)
    paid.boot()
    before, flash = facts(paid.card.purse), paid.card.flash()
    for verb, argument in (
        (paid.session.load, note),
        (paid.session.set_policy, policy),
        (paid.session.present, desk.certify(desk.root, desk.shop_key, 3)),
    ):
        assert refusal(verb, argument) in (0x6581, 0x6A84)
        paid.tap()
        assert facts(paid.card.purse) == before and paid.card.flash() == flash
    paid.pay(desk.request(3))
    paid.session.verify_pin(PIN)
    paid.session.acknowledge(desk.acknowledge(paid.session.export(bytes(16)), time=NOW + 9))
    monkeypatch.undo()
    paid.boot()
    paid.session.load(note)
    paid.session.set_policy(policy)
    paid.pay(desk.request(40))


def test_s08_a_full_journal_partition_refuses_before_pay(paid: Bench) -> None:
    """T18 from below: no ready sector, and none that may go: 9409, and nothing was written."""
    journal = paid.card.memory.journal
    paid.card.purse.journal._log.has_room = lambda *sizes: False  # type: ignore[method-assign]
    assert journal.has_room(1) is False
    before, flash = facts(paid.card.purse), paid.card.flash()
    assert refusal(paid.session.pay, paid.desk.request(3)) == 0x9409
    assert facts(paid.card.purse) == before and paid.card.flash() == flash


# -- S09: worn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("log", ["state", "counter", "journal"])
def test_s09_a_sector_that_keeps_nothing(
    log: str, paid: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 6581, with nothing half done: what the till was not told can be asked again."""
    write = FilePartition.writeblocks
    paid.boot()

    def worn(self: FilePartition, block: int, buffer: bytes, offset: int = 0) -> None:
        if not (self._path.name == f"{log}.bin" and block == 0):
            write(self, block, buffer, offset)

    monkeypatch.setattr(FilePartition, "writeblocks", worn)
    for amount in (3, 4):
        request = paid.desk.request(amount)
        words = [refusal(paid.session.pay, request) for _ in range(2)]
        assert words[-1] in (OK, 0x6581)
        paid.boot()
        tokens = whole_answer(paid, pay_command(request))
        assert whole_answer(paid, pay_command(request)) == tokens
        paid.session.verify_pin(PIN)
    monkeypatch.undo()
    paid.boot()
    assert paid.balance() == 1_000_000 - 21 - 3 - 4
