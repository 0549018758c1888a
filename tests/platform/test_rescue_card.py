# SPDX-License-Identifier: Apache-2.0
"""Reading a locked or damaged card: whatever it still gives is kept, and the rest is said."""

from __future__ import annotations

import pytest

from firmware.wire import apdu
from firmware.wire.bundle import PurseExport
from host_bridge.bank.rescue import Rescued
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused
from host_bridge.session.purse import PurseSession, WrongPin
from host_bridge.sync.rescue_card import MAX_BAD_IN_A_ROW, rescue_card
from host_bridge.sync.rescue_file import MAX_STORED, Rescue
from host_bridge.transport.base import TransportError
from tests.doubles.broken_card import BrokenCard
from tests.doubles.paper_purse import PaperPurse
from tests.platform.town import START, Town
from tests.platform.wreck import Record, log_of

ALL = ("certificate", "statement", "entry.0", "entry.1", "entry.2")


@pytest.fixture
def purse(town: Town) -> PaperPurse:
    """A purse that paid the cafe three times; no till has brought it."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for amount in (100, 200, 300):
        town.pay(purse, town.cafe, piece, amount)
    return purse


def export_of(purse: PaperPurse) -> PurseExport:
    return purse.export(bytes(16))


def read(card: BrokenCard, pin: str = "2580") -> Rescue:
    rescue = rescue_card(PurseSession(card), "board:alice", START, bytes(16), lambda: pin)
    return Rescue.parse(rescue.raw)


def never_asked() -> str:
    raise AssertionError("the card wants no PIN")


def test_the_session_reads_all_stored_records(purse: PaperPurse) -> None:
    log = [*log_of(purse), (7, bytes(700))]  # longer than one answer
    card = BrokenCard(log, export_of(purse), pin=None)
    session = PurseSession(card)
    session.select()
    assert list(session.stored_records()) == log
    assert list(session.stored_records(8)) == log[8:]
    assert list(session.stored_records(len(log))) == []


def test_the_session_ends_where_a_card_does_not(purse: PaperPurse) -> None:
    card = BrokenCard([(1, b"x")] * (MAX_STORED + 1), export_of(purse), pin=None)
    session = PurseSession(card)
    with pytest.raises(CardMisbehaved, match="do not end"):
        list(session.stored_records())


def test_a_record_without_a_kind_is_nonsense(purse: PaperPurse) -> None:
    class Empty(BrokenCard):
        def _stored(self, index: int) -> tuple[bytes, int]:
            return b"", 0x9000

    session = PurseSession(Empty([], export_of(purse), pin=None))
    with pytest.raises(CardMisbehaved, match="nonsense"):
        list(session.stored_records())


def test_what_a_card_gave_before_a_bad_record_stands(purse: PaperPurse) -> None:
    log = log_of(purse)
    session = PurseSession(BrokenCard([*log[:4], None], export_of(purse), pin=None))
    got: list[Record] = []
    with pytest.raises(CardRefused) as refused:
        for record in session.stored_records():
            got.append(record)
    assert refused.value.word == 0x6581
    assert got == log[:4]


def test_a_locked_card_gives_everything(town: Town, purse: PaperPurse) -> None:
    locked = apdu.LIFECYCLE_SYNC_ONLY
    rescue = read(BrokenCard(log_of(purse), export_of(purse), lifecycle=locked))
    assert rescue.lifecycle == locked
    assert rescue.certificate == purse.papers
    assert rescue.export is not None and len(rescue.export.entries) == 3
    assert (rescue.entries, list(rescue.stored), rescue.unreadable) == ((), log_of(purse), ())
    report = town.bank.rescue(rescue)
    assert [payment.state for payment in report.payments] == [Rescued.SETTLED] * 3
    assert town.wallet("cafe") == 600
    town.assert_sound()


@pytest.mark.parametrize(
    "without",
    [
        ("certificate",),
        ("statement",),
        ("entry.1",),
        ("statement", "entry.0", "entry.2"),
        ("certificate", "statement"),
        ALL,
    ],
    ids="+".join,
)
def test_whatever_cannot_be_read_is_said_and_the_rest_settled(
    town: Town, purse: PaperPurse, without: tuple[str, ...]
) -> None:
    rescue = read(BrokenCard(log_of(purse), export_of(purse), without=without))
    assert rescue.unreadable
    report = town.bank.rescue(rescue)
    assert [payment.state for payment in report.payments] == [Rescued.SETTLED] * 3
    assert town.wallet("cafe") == 600
    assert report.purses[0].serial == purse.papers.serial
    town.assert_sound()


def test_bad_records_are_passed_over(town: Town, purse: PaperPurse) -> None:
    log = log_of(purse)
    card = BrokenCard([log[0], log[1], None, None, *log[3:]], export_of(purse), without=ALL)
    rescue = read(card)
    assert list(rescue.stored) == [*log[:2], *log[3:]]
    states = [payment.state for payment in town.bank.rescue(rescue).payments]
    assert states == [Rescued.UNSIGNED, Rescued.SETTLED, Rescued.SETTLED]
    assert town.wallet("cafe") == 500


def test_a_memory_that_is_all_bad_ends(purse: PaperPurse) -> None:
    rescue = read(BrokenCard([None] * 500, export_of(purse), without=ALL))
    assert rescue.stored == ()
    assert rescue.unreadable[1:] == (
        "3 of the entries: the card's memory failed",
        f"{MAX_BAD_IN_A_ROW} of the stored records, and those behind them",
    )


def test_records_that_no_log_has_are_left_out(purse: PaperPurse) -> None:
    log = log_of(purse)
    rescue = read(BrokenCard([(0, b"x"), *log, (99, b""), (1, bytes(2000))], export_of(purse)))
    assert list(rescue.stored) == log


def test_a_card_that_lost_its_pin_asks_for_none(town: Town, purse: PaperPurse) -> None:
    card = BrokenCard(log_of(purse), export_of(purse), pin=None)
    rescue = rescue_card(PurseSession(card), "x", START, bytes(16), never_asked)
    assert list(rescue.stored) == log_of(purse)


def test_a_wrong_pin_is_a_wrong_pin(purse: PaperPurse) -> None:
    with pytest.raises(WrongPin):
        read(BrokenCard(log_of(purse), export_of(purse)), pin="0000")


@pytest.mark.parametrize(
    ("lifecycle", "says"),
    [(apdu.LIFECYCLE_ACTIVE, "is in order"), (apdu.LIFECYCLE_BLANK, "is blank")],
)
def test_a_card_that_needs_none(purse: PaperPurse, lifecycle: int, says: str) -> None:
    with pytest.raises(CardError, match=says):
        read(BrokenCard([], export_of(purse), lifecycle=lifecycle))


def test_a_card_that_is_taken_away_leaves_what_it_gave(town: Town, purse: PaperPurse) -> None:
    """At every command: an error before anything was read, afterwards a rescue that says so."""
    whole = len(log_of(purse))
    card = BrokenCard(log_of(purse), export_of(purse))
    read(card)
    found = set()
    for commands in range(60):
        card.reset()
        card.commands_left = commands
        try:
            rescue = read(card)
        except TransportError:
            assert commands < 3  # SELECT, the first record, VERIFY
            continue
        if not rescue.unreadable:
            break
        assert any("taken away" in line for line in rescue.unreadable)
        found.add(len(rescue.stored))
        if rescue.certificate is not None:
            town.bank.rescue(rescue)
            town.assert_sound()
    assert found == set(range(whole + 1))
    assert town.wallet("cafe") == 600
