# SPDX-License-Identifier: Apache-2.0
"""Our reader at stock pcscd with libccid's own driver: who sees it, and what is paid there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from smartcard.System import readers as pyscard_readers

from firmware.wire import apdu
from firmware.wire.apdu import Command
from host_bridge.session.exchange import Exchange
from host_bridge.session.purse import PurseSession
from pos_terminal.book import Payment
from pos_terminal.cheque import Cheque
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import PIN
from tests.doubles.pn532_isodep_card import (
    AFTER,
    BEFORE,
    EXECUTED,
    IN_ANSWER,
    IN_COMMAND,
    IsoDepCard,
)
from tests.doubles.shop import Shop
from tests.pcsc.conftest import BALANCE_TIYN, IssuedBoard
from tests.pcsc.reader_rig import FieldCard, ReaderRig, application
from tests.pcsc.service import need

BREAD = Cheque.of_amount(30_000, "Bread")
PRICE_TIYN = 30_000
SELECT = bytes.fromhex("00a4040007f051414c54410100")
OK = b"\x90\x00"
_PROGRAM_S = 30.0


@pytest.fixture
def rig(tmp_path: Path, micropython: Path) -> Iterator[ReaderRig]:
    """A reader that pcscd knows; nothing lies on it."""
    with ReaderRig(tmp_path / "rig") as made:
        yield made


@pytest.fixture
def purse(rig: ReaderRig, issued_board: IssuedBoard, tmp_path: Path) -> Iterator[FieldCard]:
    """A MicroPython card with 10,000 tenge, not in the field yet."""
    with FieldCard(rig, issued_board.card(tmp_path)) as card:
        yield card


@pytest.fixture
def till(issued_board: IssuedBoard, tmp_path: Path) -> Iterator[Till]:
    with Shop(tmp_path / "till", issued_board.desk).open() as opened:
        yield opened


def balance(rig: ReaderRig) -> int:
    """Tiyn on the card that lies there."""
    with rig.open() as transport:
        session = PurseSession(transport)
        session.select()
        session.verify_pin(PIN)
        return session.balance()[0]


def test_other_programs_see_reader_and_card(rig: ReaderRig, purse: FieldCard) -> None:
    """pyscard, opensc-tool and pcsc_scan, none of which knows of us."""
    purse.lay()
    (reader,) = pyscard_readers()
    assert str(reader) == rig.name == "Qalta Reader 00 00"
    connection = reader.createConnection()
    connection.connect()
    assert bytes(connection.getATR()) == b"\x3b\x81\x40\x01\x80"
    data, *word = connection.transmit(list(SELECT))
    assert word == [0x90, 0x00]
    assert apdu.AID in bytes(data)
    connection.disconnect()
    connection.release()

    listed = [need("opensc-tool"), "-l"]
    told = subprocess.run(listed, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
    assert rig.name in told.stdout

    tool = [need("opensc-tool"), "--reader", rig.name, "-a", "-s", SELECT.hex(":")]
    told = subprocess.run(tool, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
    assert "3b:81:40:01:80" in told.stdout
    assert "SW1=0x90, SW2=0x00" in told.stdout

    scan = [need("pcsc_scan"), "-n", "-t", "1"]
    told = subprocess.run(scan, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
    assert rig.name in told.stdout
    assert "Card inserted" in told.stdout
    assert "3B 81 40 01 80" in told.stdout


@pytest.mark.parametrize("bits", [64, 32])
def test_a_sale(
    bits: int,
    till: Till,
    issued_board: IssuedBoard,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """With either MicroPython in the reader."""
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    board = issued_board.card(tmp_path)
    with ReaderRig(tmp_path / "rig", bits=bits) as rig, FieldCard(rig, board) as purse:
        purse.lay()
        for times in (1, 2):
            payment = till.sell(BREAD, rig.open)
            assert payment.state is PaymentState.PAID, payment.reason
            assert balance(rig) == BALANCE_TIYN - times * PRICE_TIYN


def torn(till: Till, rig: ReaderRig, purse: FieldCard, number: int, moment: str) -> Payment:
    """A sale whose card is torn out; it lies nowhere afterwards, and has no power."""
    purse.lay((number, moment))
    payment = till.sell(BREAD, rig.open)
    purse.lift()
    return payment


@pytest.mark.parametrize("moment", [BEFORE, IN_COMMAND, EXECUTED, IN_ANSWER])
@pytest.mark.parametrize(("number", "name"), [(1, "SELECT"), (2, "PAY"), (3, "GET RESPONSE")])
def test_t05_torn_at_each_apdu_of_a_payment(
    till: Till, rig: ReaderRig, purse: FieldCard, number: int, name: str, moment: str
) -> None:
    """L04, T05: nothing is carried out twice; held there again, there is exactly one debit."""
    payment = torn(till, rig, purse, number, moment)
    assert purse.card is not None
    executed = [apdu.COMMAND_NAMES[command[1]] for command in purse.card.executed]
    expected = ["SELECT", "PAY", "GET RESPONSE"][: number - (moment in (BEFORE, IN_COMMAND))]
    assert executed == expected, "each command reached the card once"
    purse.lay()
    if name == "SELECT" and moment != IN_ANSWER:
        assert payment.state is PaymentState.REFUSED, "PAY was never sent"
        assert balance(rig) == BALANCE_TIYN
        return
    if payment.state is PaymentState.TORN:
        payment = till.recover(payment.payment_id, rig.open)
        if payment.state is PaymentState.TORN:
            assert executed[-1] == "SELECT", "only a PAY that never came is not known"
            payment = till.recover(payment.payment_id, rig.open, pay_again=True)
    assert payment.state is PaymentState.PAID, payment.reason
    assert balance(rig) == BALANCE_TIYN - PRICE_TIYN


def test_a_card_lifted_after_its_answer_has_paid(
    till: Till, rig: ReaderRig, purse: FieldCard
) -> None:
    payment = torn(till, rig, purse, 3, AFTER)
    assert payment.state is PaymentState.PAID
    purse.lay()
    assert balance(rig) == BALANCE_TIYN - PRICE_TIYN


@pytest.mark.parametrize("size", [4, 24, 255, 256, 261])
def test_apdus_of_every_size(rig: ReaderRig, size: int) -> None:
    """L03: through libccid and the PN532 to the card, whole."""
    card = IsoDepCard(application(OK))
    rig.lay(card)
    data = bytes(index & 0xFF for index in range(max(0, size - 5)))[:255]
    sent = b"\x80\x32\x01\x02" + (bytes([len(data)]) + data if data else b"")
    sent += b"\x00" * (size - len(sent))
    with rig.open() as transport:
        transport.transmit(sent)
    # At T=0 a case 1 has a P3, and a case 4 no Le (ISO 7816-3, 12.2).
    expected = sent + b"\x00" if size == 4 else sent[: 5 + len(data)]
    assert card.executed == [expected]


@pytest.mark.parametrize("size", [1, 24, 255, 256, 261, 1000])
def test_answers_of_every_size(rig: ReaderRig, size: int) -> None:
    """L03: what is longer than 256 bytes comes by 61xx; the card is asked once."""
    data = bytes(index * 3 & 0xFF for index in range(size))
    card = IsoDepCard(application(data + OK))
    rig.lay(card)
    with rig.open() as transport:
        answer = Exchange(transport).send(Command(0x80, 0x3A, 0, 0, b"x", le=256))
    assert answer == data
    assert len(card.executed) == 1


def test_l05_two_cards_are_none(rig: ReaderRig) -> None:
    """Neither is told anything until one of them is taken away."""
    first = IsoDepCard(application(OK))
    second = IsoDepCard(application(OK), uid=bytes.fromhex("04112233445566"))
    rig.chip.field.put(first)
    rig.chip.field.put(second)
    rig.wait_for(False)
    rig.lift(second)
    rig.wait_for(True)
    with rig.open() as transport:
        assert transport.transmit(SELECT) == OK
    assert (len(first.executed), len(second.executed)) == (1, 0)


def test_a_chip_that_falls_silent_and_comes_back(rig: ReaderRig) -> None:
    """To pcscd it is a card that left; nothing needs to be started again."""
    card = IsoDepCard(application(OK))
    rig.lay(card)
    rig.chip.deaf = True
    rig.wait_for(False)
    rig.chip.deaf = False
    rig.wait_for(True)
    rig.chip.reset()  # its power failed for a moment
    rig.wait_for(False)
    rig.wait_for(True)
    with rig.open() as transport:
        assert transport.transmit(SELECT) == OK


def test_a_card_laid_down_again_and_again(rig: ReaderRig) -> None:
    """Each time it begins anew."""
    card = IsoDepCard(application(OK))
    for times in range(1, 6):
        rig.lay(card)
        with rig.open() as transport:
            assert transport.transmit(SELECT) == OK
        rig.lift(card)
        assert len(card.executed) == times


def test_l05_a_second_card_comes_during_a_tap(rig: ReaderRig) -> None:
    """The one that was held goes on; afterwards there are two, which is none."""
    first = IsoDepCard(application(OK))
    second = IsoDepCard(application(OK), uid=bytes.fromhex("04112233445566"))
    rig.lay(first)
    with rig.open() as transport:
        assert transport.transmit(SELECT) == OK
        rig.chip.field.put(second)
        assert transport.transmit(SELECT) == OK
    rig.wait_for(False)
    assert (len(first.executed), len(second.executed)) == (2, 0)
    rig.lift(second)
    rig.wait_for(True)
