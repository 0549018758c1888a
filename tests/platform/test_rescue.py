# SPDX-License-Identifier: Apache-2.0
"""A purse that pays no more, settled from the records of its memory that are left (issue 3).

Guards I1, I2 (no value made or lost), I4 (once), I5 (the payee is paid though no till brings it).
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.purse.stored import COMMIT, SIGNED
from firmware.wire.apdu import LIFECYCLE_SYNC_ONLY
from firmware.wire.certificate import ROLE_PURSE
from firmware.wire.journal import JournalEntry, Statement
from host_bridge.bank.rescue import Rescued, RescueReport
from host_bridge.bank.rescue_log import MAX_GUESSES
from host_bridge.sync.port import BankRefused, SaleState
from host_bridge.sync.rescue_file import Source
from tests.doubles.paper_purse import PaperPurse, Piece, spoiled
from tests.platform.town import Town
from tests.platform.wreck import COMMITTED, intent, log_of, payment, rescue_of, signed, void

# Offsets in an INTENT of what no signature covers: counter, purpose, and the slot, a hint.
NOT_SIGNED = {0, 1, 2, 3, 8, 9, 75}


@pytest.fixture
def purse(town: Town) -> PaperPurse:
    return town.purse()


@pytest.fixture
def piece(town: Town, purse: PaperPurse) -> Piece:
    return town.load(purse, 10_000)


def states(report: RescueReport) -> dict[int, Rescued]:
    return {payment.counter: payment.state for payment in report.payments}


def left(report: RescueReport) -> int:
    return sum(note.left_tiyn for purse in report.purses for note in purse.notes)


def test_every_payment_of_a_damaged_card_is_settled(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """I5: the tills never come, and their merchants are paid all the same."""
    town.pay(purse, town.cafe, piece, 2_500)
    town.pay(purse, town.shop, piece, 300)
    report = town.bank.rescue(rescue_of(log_of(purse), purse.papers))
    assert states(report) == {1: Rescued.SETTLED, 2: Rescued.SETTLED}
    assert report.amount_tiyn(Rescued.SETTLED) == 2_800
    assert report.unreadable == ()
    assert (town.wallet("cafe"), town.wallet("shop")) == (2_500, 300)
    (found,) = report.purses
    assert (found.serial, found.client_id) == (purse.papers.serial, "alibek")
    (note,) = found.notes
    assert (note.value_tiyn, note.left_tiyn, note.open_tiyn) == (10_000, 7_200, 0)
    grace = town.bank._office.grace_seconds
    assert note.settles_at == piece.note.expires_at + grace + 1
    town.assert_sound()


def test_the_same_file_again_changes_nothing(town: Town, purse: PaperPurse, piece: Piece) -> None:
    for amount in (100, 200, 300):
        town.pay(purse, town.cafe, piece, amount)
    rescue = rescue_of(log_of(purse), purse.papers)
    first = town.bank.rescue(rescue)
    held, findings = town.end_state(), town.bank.findings()
    second = town.bank.rescue(rescue)
    assert set(states(second).values()) == {Rescued.KNOWN}
    assert second.purses == first.purses
    assert town.end_state() == held
    assert town.bank.findings() == findings
    town.assert_sound()


@pytest.mark.parametrize("till_first", [True, False])
def test_what_the_till_brings_too_is_posted_once(
    town: Town, purse: PaperPurse, piece: Piece, till_first: bool
) -> None:
    tokens = town.pay(purse, town.cafe, piece, 2_500)
    rescue = rescue_of(log_of(purse), purse.papers)
    if till_first:
        town.bank.upload_sale(tokens)
        assert states(town.bank.rescue(rescue)) == {1: Rescued.KNOWN}
    else:
        assert states(town.bank.rescue(rescue)) == {1: Rescued.SETTLED}
        assert town.bank.upload_sale(tokens).state is SaleState.SYNCHRONISED
    assert town.wallet("cafe") == 2_500
    assert left(town.bank.rescue(rescue)) == 7_500
    town.assert_sound()


def test_a_payment_of_several_notes(town: Town, purse: PaperPurse, piece: Piece) -> None:
    other = town.load(purse, 5_000)
    pieces = [(piece, 10_000), (other, 1_000)]
    purse.pay(town.cafe.certificate, pieces, town.payment_id(), town.now)
    report = town.bank.rescue(rescue_of(log_of(purse), purse.papers))
    assert states(report) == {1: Rescued.SETTLED}
    assert town.wallet("cafe") == 11_000
    assert left(report) == 4_000


def test_without_a_certificate_the_notes_tell_whose_it_is(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    town.purse()
    town.pay(purse, town.cafe, piece, 100)
    report = town.bank.rescue(rescue_of(log_of(purse)))
    assert [found.serial for found in report.purses] == [purse.papers.serial]
    assert town.wallet("cafe") == 100
    empty = rescue_of([], notes=(piece.note,), source=Source.IMAGE, lifecycle=None)
    before = town.bank.findings()
    assert town.bank.rescue(empty).purses[0].serial == purse.papers.serial
    assert town.bank.findings() == before, "who has seen a note can say nothing of its purse"


def test_an_intent_alone_is_no_payment(town: Town, purse: PaperPurse, piece: Piece) -> None:
    town.pay(purse, town.cafe, piece, 100)
    town.pay(purse, town.cafe, piece, 900)
    first, second = purse.entries
    for tail in ([intent(second)], [intent(second), void(1)]):
        report = town.bank.rescue(rescue_of([*payment(first), *tail], purse.papers))
        assert states(report)[2] is Rescued.BEGUN
        assert left(report) == 9_900
    assert town.wallet("cafe") == 100


def test_a_commit_without_signatures_is_said_and_held_back(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    tokens = town.pay(purse, town.cafe, piece, 900)
    rescue = rescue_of([intent(purse.entries[0]), COMMITTED], purse.papers)
    report = town.bank.rescue(rescue)
    assert states(report) == {1: Rescued.UNSIGNED}
    (note,) = report.purses[0].notes
    assert (note.left_tiyn, note.open_tiyn) == (9_100, 900)
    assert town.wallet("cafe") == 0
    assert any("no signature of it" in finding.sentence for finding in town.bank.findings())
    town.bank.upload_sale(tokens)  # its till comes after all
    assert states(town.bank.rescue(rescue)) == {1: Rescued.KNOWN}
    assert town.wallet("cafe") == 900
    town.assert_sound()


def test_the_cards_own_entries_sign_what_its_log_does_not(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    town.pay(purse, town.cafe, piece, 900)
    (entry,) = purse.entries
    log = [intent(entry), COMMITTED]
    report = town.bank.rescue(rescue_of(log, purse.papers, entries=(entry,)))
    assert states(report) == {1: Rescued.SETTLED}
    assert town.wallet("cafe") == 900


def test_a_spoiled_entry_hides_no_good_signature_of_the_log(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    town.pay(purse, town.cafe, piece, 900)
    (entry,) = purse.entries
    bad = JournalEntry(entry.body, [spoiled(entry.signatures[0])])
    report = town.bank.rescue(rescue_of(payment(entry), purse.papers, entries=(bad,)))
    assert states(report) == {1: Rescued.SETTLED}
    assert town.wallet("cafe") == 900


def test_who_knows_a_note_accuses_its_purse_of_nothing(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Every payee has seen the note: that is not enough to speak of its purse."""
    town.pay(purse, town.cafe, piece, 900)
    (entry,) = purse.entries
    bad = JournalEntry(entry.body, [spoiled(entry.signatures[0])])
    for rescue in (rescue_of([], entries=(bad,)), rescue_of([intent(entry), COMMITTED])):
        with pytest.raises(BankRefused, match="Nothing in this rescue file"):
            town.bank.rescue(rescue)
    assert town.bank.findings() == []


def test_signatures_that_came_later_find_their_payment(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """A payment that was torn before its signature is signed behind the next ones."""
    for amount in (100, 200, 300):
        town.pay(purse, town.cafe, piece, amount)
    one, two, three = purse.entries
    log = [intent(one), COMMITTED, *payment(two), *payment(three), signed(one, 2)]
    assert set(states(town.bank.rescue(rescue_of(log, purse.papers))).values()) == {
        Rescued.SETTLED
    }
    assert town.wallet("cafe") == 600


def test_signatures_of_long_ago_are_found_by_their_place(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Farther back than guesses go; and what was stored twice is no mystery."""
    for _ in range(2 * MAX_GUESSES):
        town.pay(purse, town.cafe, piece, 10)
    one, *others = purse.entries
    log = [intent(one), COMMITTED, *(record for entry in others for record in payment(entry))]
    log += [signed(one, len(others)), signed(others[-1])]
    report = town.bank.rescue(rescue_of(log, purse.papers))
    assert set(states(report).values()) == {Rescued.SETTLED}
    assert report.unreadable == ()
    assert town.wallet("cafe") == 20 * MAX_GUESSES


def test_lost_records_hide_no_payment_that_can_be_proved(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Whatever records are gone, a payment whose INTENT and SIGNED are left is settled."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(12):
        town.pay(purse, town.cafe, piece, source.randrange(1, 200))
    log = log_of(purse)
    kept = [index for index in range(len(log)) if source.random() < 0.8]
    report = town.bank.rescue(rescue_of([log[index] for index in kept], purse.papers))
    for number, entry in enumerate(purse.entries):
        has = {part for part in range(3) if 3 * number + part in kept}
        state = states(report).get(entry.counter)
        if {0, 2} <= has:
            assert state is Rescued.SETTLED
        elif 0 in has:
            assert state in (Rescued.UNSIGNED, Rescued.BEGUN)
        else:
            assert state is None
    settled = report.amount_tiyn(Rescued.SETTLED)
    assert town.wallet("cafe") == settled
    orphans = [n for n in range(12) if 3 * n + 2 in kept and 3 * n not in kept]
    told = f"{len(orphans)} signatures fit no payment that could be read"
    assert (told in report.unreadable) is bool(orphans)
    town.assert_sound()


def test_numbers_of_which_nothing_is_left_are_named(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Not those that a till has brought, nor those that a jump left unused."""
    paid = []
    for jump in (0, 0, 0, 0, 3, 0, 2, 0):
        purse.counter += jump
        paid.append(town.pay(purse, town.cafe, piece, 100))
    one, _, _, four, eight, nine, twelve, _ = purse.entries
    assert [one.counter, four.counter, eight.counter, twelve.counter] == [1, 4, 8, 12]
    jumped = [intent(four), (COMMIT, b"\3"), signed(four)]
    given_up = JournalEntry(nine.body, nine.signatures)
    given_up.body = nine.body[:4] + (10).to_bytes(4, "big") + nine.body[8:]
    log = [*payment(one), *jumped, *payment(eight), *payment(nine)]
    log += [intent(JournalEntry(given_up.body, [])), void(11), *payment(twelve)]
    report = town.bank.rescue(rescue_of(log, purse.papers))
    assert report.unreadable == ("nothing is left here of payments 2 to 3, which may be at tills",)
    town.bank.upload_sale(paid[1])
    report = town.bank.rescue(rescue_of(log, purse.papers))
    assert report.unreadable == ("nothing is left here of payment 3, which may be at tills",)


def test_a_wrong_signature_proves_nothing(town: Town, purse: PaperPurse, piece: Piece) -> None:
    town.pay(purse, town.cafe, piece, 900)
    (entry,) = purse.entries
    wrong = (SIGNED, b"\0" + spoiled(entry.signatures[0]))
    report = town.bank.rescue(rescue_of([intent(entry), COMMITTED, wrong], purse.papers))
    assert states(report) == {1: Rescued.UNSIGNED}
    assert report.unreadable == ("1 signatures fit no payment that could be read",)
    bad = JournalEntry(entry.body, [spoiled(entry.signatures[0])])
    report = town.bank.rescue(rescue_of([], purse.papers, entries=(bad,)))
    assert states(report) == {1: Rescued.UNSIGNED}
    assert town.wallet("cafe") == 0
    town.assert_sound()


def test_an_intent_that_was_changed_has_no_signature(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Another amount, payee or note than the card signed: nothing of it is settled."""
    town.pay(purse, town.cafe, piece, 900)
    (entry,) = purse.entries
    kind, raw = intent(entry)
    proved = set()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        records = [(kind, bytes(changed)), COMMITTED, signed(entry)]
        report = town.bank.rescue(rescue_of(records, purse.papers))
        if {Rescued.SETTLED, Rescued.KNOWN} & set(states(report).values()):
            proved.add(at)
    assert proved == NOT_SIGNED
    assert town.wallet("cafe") == 900
    town.assert_sound()


def test_a_key_that_owns_no_note_signs_nothing(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Whoever writes a rescue file himself gets nothing by it."""
    thief = town.purse("bank-b", "bahtiyar")
    runs = [(piece, 0, 5_000)]
    purse.pay_runs(town.shop.certificate, runs, town.payment_id(), town.now, key=thief.identity)
    report = town.bank.rescue(rescue_of(log_of(purse), thief.papers))
    assert states(report) == {1: Rescued.UNSIGNED}
    assert town.wallet("shop") == 0


def test_a_double_spend_in_a_rescue_is_one(town: Town, purse: PaperPurse, piece: Piece) -> None:
    """I1: the same units twice cost the spender, as at any upload."""
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 500))
    town.pay_run(purse, town.shop, piece, 0, 500)
    town.bank.rescue(rescue_of(payment(purse.entries[1]), purse.papers))
    assert len(town.bank.fraud_cases()) == 1
    assert (town.wallet("cafe"), town.wallet("shop")) == (500, 500)
    assert town.line("alibek")["claims_tiyn"] == 500
    town.assert_sound()


def test_what_the_bank_refuses_it_says(town: Town, purse: PaperPurse) -> None:
    town.pay(purse, town.cafe, town.label(purse, 10_000), 100)  # money of a purpose, at a cafe
    report = town.bank.rescue(rescue_of(log_of(purse), purse.papers))
    assert states(report) == {1: Rescued.REFUSED}
    assert "may not be spent there" in report.payments[0].sentence
    assert town.wallet("cafe") == 0


def test_a_late_rescue_is_refused_as_a_late_till_is(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    town.pay(purse, town.cafe, piece, 100)
    town.now = piece.note.expires_at + town.bank._office.grace_seconds + 1
    report = town.bank.rescue(rescue_of(log_of(purse), purse.papers))
    assert states(report) == {1: Rescued.REFUSED}
    assert "the time to bring it is over" in report.payments[0].sentence


def test_a_purse_of_another_bank(town: Town, tmp_path: Path) -> None:
    other = Town(tmp_path / "other", seed=2)
    purse = other.purse()
    other.pay(purse, other.cafe, other.load(purse, 1_000), 100)
    before = town.end_state()
    with pytest.raises(BankRefused, match="no bank here has certified"):
        town.bank.rescue(rescue_of(log_of(purse), purse.papers))
    with pytest.raises(BankRefused, match="Nothing in this rescue file"):
        town.bank.rescue(rescue_of(log_of(purse)))
    assert town.end_state() == before
    other.bank.close()


def test_a_tills_certificate_is_no_purses(town: Town) -> None:
    assert town.cafe.certificate.role != ROLE_PURSE
    with pytest.raises(BankRefused, match="no bank here has certified"):
        town.bank.rescue(rescue_of([], town.cafe.certificate))


def test_a_note_of_another_bank_is_named(town: Town, tmp_path: Path, purse: PaperPurse) -> None:
    other = Town(tmp_path / "other", seed=2)
    stranger = other.purse()
    other.pay(stranger, other.cafe, other.load(stranger, 1_000), 100)
    report = town.bank.rescue(rescue_of(log_of(stranger), purse.papers))
    assert states(report) == {1: Rescued.FOREIGN}
    other.bank.close()


def test_records_that_are_none_are_counted(town: Town, purse: PaperPurse, piece: Piece) -> None:
    town.pay(purse, town.cafe, piece, 100)
    nonsense = [(1, b""), (1, bytes(500)), (2, b""), (3, b"\0"), (3, b""), (4, b"x"), (14, b"?")]
    report = town.bank.rescue(rescue_of([*nonsense, *log_of(purse)], purse.papers))
    assert states(report)[1] is Rescued.SETTLED
    assert any("are no part of a payment" in sentence for sentence in report.unreadable)


def test_a_locked_card_brings_its_whole_export(
    town: Town, purse: PaperPurse, piece: Piece
) -> None:
    """Its journal is settled and acknowledged as at a sync, and what is missing is explained."""
    town.pay(purse, town.cafe, piece, 100)
    twin = purse.clone()
    tokens = town.pay(twin, town.shop, twin.pieces[0], 40)
    purse.counter = twin.counter  # the element's stands; the memory was put back
    export = purse.export(bytes(16))
    rescue = rescue_of(log_of(purse), purse.papers, export=export, lifecycle=LIFECYCLE_SYNC_ONLY)
    town.bank.upload_sale(tokens)
    report = town.bank.rescue(rescue)
    assert states(report) == {1: Rescued.SETTLED}
    assert "has forgotten payment 2:" in report.purses[0].explanation
    word = town.bank.acknowledgement(purse.papers.serial)
    assert word is not None and word.acknowledgement.counter == 1
    assert states(town.bank.rescue(rescue)) == {1: Rescued.KNOWN}
    town.assert_sound()


def test_an_export_that_is_refused_is_said(town: Town, purse: PaperPurse, piece: Piece) -> None:
    town.pay(purse, town.cafe, piece, 100)
    export = purse.export(bytes(16))
    export.entries = []
    export.statement = replace_entries(purse, export.statement.raw)
    report = town.bank.rescue(rescue_of(log_of(purse), purse.papers, export=export))
    assert any("export was refused" in sentence for sentence in report.unreadable)
    assert states(report) == {1: Rescued.SETTLED}


def replace_entries(purse: PaperPurse, raw: bytes) -> Statement:
    """A statement of the same head with no entries, signed by the purse: they do not fit."""
    fields = Statement.LAYOUT.unpack(raw)
    for name in ("type", "version", "signature"):
        del fields[name]
    return Statement.issue(purse.identity.sign, **fields | {"entries": 0})


def test_two_purses_in_one_file(town: Town, purse: PaperPurse) -> None:
    other = town.purse("bank-b", "bahtiyar")
    rescue = replace(rescue_of([], purse.papers), export=other.export(bytes(16)))
    with pytest.raises(BankRefused, match="two purses"):
        town.bank.rescue(rescue)
