# SPDX-License-Identifier: Apache-2.0
"""Class, instruction, parameters, lengths and lifecycle of every command: refusals first."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware.hal.software_element import COUNTER_END
from firmware.wire import apdu
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, Command, split_answer
from tests.card.bench import OK, SELECT, Bench, Issued, refusal
from tests.doubles.desk import PIN, PUK
from tests.doubles.in_process import InProcessCard

CHALLENGE = bytes(16)
ANY_P2 = range(256)
_INDEX = apdu.STORED_INDEX.size


@dataclass(frozen=True)
class Row:
    """One form of a command. lengths: which are right; wrong: the word for any other."""

    name: str
    cla: int
    ins: int
    p1: int
    p2: int
    lengths: range
    wrong: int
    needs_pin: bool = False
    blank: int = 0x6985
    active: int | None = None
    sync_only: int | None = None
    p2s: range | None = None

    def command(self, data: bytes | None = None) -> Command:
        size = self.lengths[0] if self.lengths else 0
        return Command(self.cla, self.ins, self.p1, self.p2, bytes(size) if data is None else data)


def _exactly(size: int) -> range:
    return range(size, size + 1)


ISO, OWN = CLA_ISO, CLA_QALTA
ROWS = [
    Row("VERIFY", ISO, 0x20, 0, 0x81, range(0), 0x6A80),
    Row("CHANGE", ISO, 0x24, 0, 0x81, range(0), 0x6700, blank=0x6700),
    Row("RESET RETRY", ISO, 0x2C, 0, 0x81, range(9, 256), 0x6700),
    Row("PRESENT", OWN, 0x30, 0, 0, range(0), 0x6A80),
    Row("PAY", OWN, 0x32, 0, 0, _exactly(228), 0x6700, blank=0x9408, sync_only=0x9408),
    Row("RECOVER", OWN, 0x34, 0, 0, _exactly(16), 0x6700),
    Row("BALANCE", OWN, 0x3A, 0, 0, _exactly(0), 0x6700, needs_pin=True),
    Row("LOAD", OWN, 0x3C, 0, 0, range(0), 0x6A80, blank=0x6A80),
    Row("STATEMENT", OWN, 0x3E, 0, 0, _exactly(16), 0x6700, needs_pin=True),
    Row("ENTRY", OWN, 0x3E, 1, 0, _exactly(0), 0x6700, needs_pin=True, p2s=ANY_P2),
    Row("STORED", OWN, 0x3E, 3, 0, _exactly(_INDEX), 0x6700, active=0x6985, sync_only=OK),
    Row("CERTIFICATE", OWN, 0x3E, 2, 0, _exactly(0), 0x6700, needs_pin=True),
    Row("ACKNOWLEDGE", OWN, 0x40, 0, 0, range(0), 0x6A80, blank=0x6A80),
    Row("SET POLICY", OWN, 0x42, 0, 0, range(0), 0x6A80),
    Row("TOKEN KEY", OWN, 0x46, 0, 0, _exactly(16), 0x6700, needs_pin=True, sync_only=0x6985),
    Row("IDENTITY", OWN, 0x46, 1, 0, _exactly(0), 0x6700, blank=0x6987, active=0x6985),
]
ALL = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
KNOWN_INS = set(apdu.COMMAND_NAMES)


def _word(card: InProcessCard, raw: bytes) -> int:
    return split_answer(card.application.process(raw))[1]


@ALL
def test_not_selected(row: Row, bench: Bench) -> None:
    bench.card.reset()
    assert bench.word(row.command()) == 0x6985


@ALL
def test_wrong_parameters(row: Row, shown: Bench) -> None:
    before = shown.card.flash()
    for value in range(256):
        command = row.command()
        if value not in (row.p2s or [row.p2]):
            command.p2 = value
            assert shown.word(command) == 0x6A86, value
        known = {other.p1 for other in ROWS if other.ins == row.ins}
        if value not in known:
            command = row.command()
            command.p1 = value
            assert shown.word(command) == 0x6A86, value
    assert shown.card.flash() == before


@ALL
def test_wrong_lengths(row: Row, shown: Bench) -> None:
    before = shown.card.flash()
    lengths = [size for size in range(1, 256) if size not in row.lengths]
    for size in lengths:
        for filler in (0x00, 0xFF):
            assert shown.word(row.command(bytes([filler]) * size)) in (row.wrong, 0x6A80), size
    assert 0 in row.lengths or row.name == "VERIFY" or shown.word(row.command(b"")) == row.wrong
    assert shown.card.flash() == before, "no try was lost either"


@ALL
def test_wrong_class(row: Row, shown: Bench) -> None:
    for cla in [cla for cla in range(256) if not cla & apdu.CLA_CHAINED and cla != row.cla]:
        command = row.command()
        command.cla = cla
        if cla == 0x84:
            expected = 0x6985  # there is no secure channel
        elif cla & 0x7C == 0 or cla & 0xFC == 0x84:
            expected = 0x6881 if cla & 3 else 0x6E00
        else:
            expected = 0x6E00
        assert shown.word(command) == expected, f"{cla:02X}"


@ALL
def test_without_pin(row: Row, bench: Bench) -> None:
    if row.needs_pin:
        assert bench.word(row.command()) == 0x6982


@ALL
def test_blank(row: Row, blank: InProcessCard) -> None:
    """A blank card has nothing to give: not its state, not a key, not a certificate."""
    before = blank.flash()
    assert _word(blank, SELECT.raw) == OK
    assert _word(blank, row.command().raw) == row.blank
    assert blank.flash() == before


@ALL
def test_active(row: Row, shown: Bench) -> None:
    if row.active is not None:
        assert shown.word(row.command()) == row.active


@ALL
def test_sync_only(row: Row, bench: Bench) -> None:
    """A purse whose counter went back no longer pays, loads or makes keys, but it syncs (I11)."""
    paid = bench.desk.request(1_000)
    answer = bench.pay(paid)
    bench.set_counter(0)
    assert bench.boot().info.lifecycle == apdu.LIFECYCLE_SYNC_ONLY
    bench.session.verify_pin(PIN)
    if row.sync_only is not None:
        assert bench.word(row.command()) == row.sync_only
    assert refusal(bench.session.pay, bench.desk.request(1_000)) == 0x6985
    assert refusal(bench.session.load, bench.desk.note(bench.desk.shop.public_key, 1)) == 0x6985
    assert [token.raw for token in bench.session.recover(paid.payment_id)] == [answer[0].raw]
    assert len(bench.session.export(CHALLENGE).entries) == 1
    assert bench.boot().info.lifecycle == apdu.LIFECYCLE_SYNC_ONLY


@pytest.mark.parametrize("cla", [CLA_ISO, CLA_QALTA])
def test_unknown_instructions(cla: int, shown: Bench) -> None:
    for ins in range(256):
        word = shown.word(Command(cla, ins))
        if ins not in KNOWN_INS:
            assert word == 0x6D00, f"{ins:02X}"
        else:
            assert word not in (OK, 0x6F00) or (cla, ins) in ((0x00, 0x20), (0x80, 0x3A))


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Command(0x00, 0xC0), 0x6985),  # nothing waits
        (Command(0x80, 0x50, data=bytes(8)), 0x6985),  # personalisation is over
        (Command(0x84, 0x82, 0x33, data=bytes(16)), 0x6985),
        (Command(0x80, 0xE2, apdu.ITEM_PIN, data=b"0000"), 0x6985),
        (Command(0x84, 0xE2, apdu.ITEM_PIN, data=bytes(24)), 0x6985),
    ],
)
def test_active_card_is_not_personalised_again(command: Command, word: int, shown: Bench) -> None:
    before = shown.card.flash()
    assert shown.word(command) == word
    assert shown.card.flash() == before


@pytest.mark.parametrize("data", [b"", apdu.AID[:-1], apdu.AID + b"\0", bytes(7)])
def test_select_another_application(data: bytes, bench: Bench) -> None:
    bench.card.reset()
    assert bench.word(Command(0x00, 0xA4, 4, 0, data)) == 0x6A88
    assert bench.word(Command(0x80, 0x3A)) == 0x6985


def test_select_parameters(bench: Bench) -> None:
    for value in range(256):
        if value != 4:
            assert bench.word(Command(0x00, 0xA4, value, 0, apdu.AID)) == 0x6A86
        if value:
            assert bench.word(Command(0x00, 0xA4, 4, value, apdu.AID)) == 0x6A86


def test_select_tells_nothing_that_identifies(issued: Issued, tmp_path: Path) -> None:
    """Two purses of one bank answer SELECT with the same bytes."""
    other = InProcessCard(tmp_path / "other")
    issued.desk.personalise(other, policy_version=1)
    issued.desk.policy_version = max(issued.desk.policy_version, 2)
    bench = issued.bench(tmp_path / "card")
    assert bench.ask(SELECT) == split_answer(other.application.process(SELECT.raw))


def test_select_flags(bench: Bench) -> None:
    assert bench.session.info.flags == 0
    for _ in range(3):
        bench.word(Command(0x00, 0x20, 0, 0x81, b"0000"))
    assert bench.tap().info.pin_blocked
    bench.session.unblock_pin(PUK, PIN)
    assert not bench.tap().info.pin_blocked


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x80\x32\x00", bytes(6), bytes(262), bytes(600)])
def test_no_apdu(raw: bytes, bench: Bench) -> None:
    assert bench.card.application.process(raw) == b"\x67\x00"


def test_counter_end_is_an_atecc608(bench: Bench) -> None:
    assert COUNTER_END == 2_097_151  # reliability case T17
