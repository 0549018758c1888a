# SPDX-License-Identifier: Apache-2.0
"""A MicroPython card in the virtual reader of a real pcscd: who sees it, and what it pays."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from smartcard.System import readers as pyscard_readers

from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_QALTA, Command
from firmware.wire.token import parse_tokens
from host_bridge.closing import Closing
from host_bridge.session.exchange import Exchange
from host_bridge.session.purse import PurseSession
from host_bridge.sync.port import SaleResult, SaleState
from host_bridge.transport.base import Traffic, Transport
from host_bridge.transport.open import open_transport
from host_bridge.transport.pcsc_context import CardGone
from host_bridge.transport.processors import chain
from pos_terminal.book import Payment
from pos_terminal.cheque import Cheque
from pos_terminal.payment import OpenCard
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import PIN
from tests.doubles.shop import PaperBank, Shop
from tests.pcsc.conftest import BALANCE_TIYN, IssuedBoard
from tests.pcsc.service import need
from tests.pcsc.vpcd import ATR_CONTACTLESS, Tear, VpcdCard, VpcdSlot

BREAD = Cheque.of_amount(30_000, "Bread")
SELECT = bytes.fromhex("00a4040007f051414c54410100")
PIECE = 100  # bytes of PAY's data in each APDU of the chained one: three of them
_PROGRAM_S = 30.0


@pytest.fixture
def shop(issued_board: IssuedBoard, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till", issued_board.desk)


@pytest.fixture
def till(shop: Shop) -> Iterator[Till]:
    with shop.open() as opened:
        yield opened


def held(slot: VpcdSlot) -> OpenCard:
    """What `qalta pos --card pcsc:NAME` opens."""
    return lambda: open_transport(f"pcsc:{slot.name}")


def balance(card: VpcdCard) -> int:
    """Tiyn on the card that is in the slot."""
    with held(card.slot)() as transport:
        session = PurseSession(transport)
        session.select()
        session.verify_pin(PIN)
        return session.balance()[0]


def torn(till: Till, card: VpcdCard, tear: Tear) -> Payment:
    """A sale whose card is pulled at this point; it is out of the reader afterwards."""
    card.insert(tear)
    payment = till.sell(BREAD, held(card.slot))
    card.wait_until_out()
    assert len(card.commands) == tear.command, "it was torn where it should be"
    return payment


def test_other_programs_see_the_card(slotted: VpcdCard) -> None:
    """pyscard, opensc-tool and pcsc_scan, none of which knows of us."""
    with slotted:
        name = slotted.slot.name
        (reader,) = (reader for reader in pyscard_readers() if str(reader) == name)
        connection = reader.createConnection()
        connection.connect()
        assert bytes(connection.getATR()) == ATR_CONTACTLESS
        data, *word = connection.transmit(list(SELECT))
        assert word == [0x90, 0x00]
        assert apdu.AID in bytes(data)
        connection.release()

        tool = [need("opensc-tool"), "--reader", name, "-a", "-s", SELECT.hex(":")]
        told = subprocess.run(tool, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
        assert "3b:80:80:01:01" in told.stdout
        assert "SW1=0x90, SW2=0x00" in told.stdout

        scan = [need("pcsc_scan"), "-n", "-t", "1"]
        told = subprocess.run(scan, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
        assert name in told.stdout
        assert "Card inserted" in told.stdout
        assert "3B 80 80 01 01" in told.stdout


def test_a_sale_over_pcsc(till: Till, slotted: VpcdCard) -> None:
    with slotted:
        payment = till.sell(BREAD, held(slotted.slot))
        assert payment.state is PaymentState.PAID, payment.reason
        assert payment.tap.apdus == len(slotted.commands) == 3
        assert balance(slotted) == BALANCE_TIYN - 30_000


@pytest.mark.parametrize("acted", [False, True], ids=["command lost", "answer lost"])
@pytest.mark.parametrize(("command", "name"), [(1, "SELECT"), (2, "PAY"), (3, "GET RESPONSE")])
def test_t05_pulled_at_each_apdu_of_a_payment(
    till: Till, slotted: VpcdCard, command: int, name: str, acted: bool
) -> None:
    """T01, T02, T05: whatever was lost, holding the card again ends in exactly one debit (I3)."""
    payment = torn(till, slotted, Tear(command, acted))
    assert apdu.COMMAND_NAMES[slotted.commands[-1][1]] == name
    if name == "SELECT":
        assert payment.state is PaymentState.REFUSED, "PAY was never sent"
        expected = BALANCE_TIYN
    else:
        assert payment.state is PaymentState.TORN
        assert "Virtual PCD" in payment.reason
        expected = BALANCE_TIYN - 30_000
    with slotted:
        if payment.state is PaymentState.TORN:
            again = till.recover(payment.payment_id, held(slotted.slot))
            if again.state is PaymentState.TORN:
                assert (name, acted) == ("PAY", False), "only a PAY that never came is not known"
                assert "does not know" in again.reason
                again = till.recover(payment.payment_id, held(slotted.slot), pay_again=True)
            assert again.state is PaymentState.PAID, again.reason
            assert till.waiting() == 1
        assert balance(slotted) == expected


@pytest.mark.parametrize("acted", [False, True], ids=["command lost", "answer lost"])
def test_t05_pulled_within_a_recovery(till: Till, slotted: VpcdCard, acted: bool) -> None:
    """Torn, and torn again at each APDU of RECOVER: the third time the same tokens come."""
    payment = torn(till, slotted, Tear(2, True))
    for command in (1, 2, 3):
        slotted.insert(Tear(command, acted))
        again = till.recover(payment.payment_id, held(slotted.slot))
        assert again.state is PaymentState.TORN
        slotted.wait_until_out()
    with slotted:
        assert till.recover(payment.payment_id, held(slotted.slot)).state is PaymentState.PAID
        assert balance(slotted) == BALANCE_TIYN - 30_000


@pytest.mark.parametrize("command", [2, 3, 4])
def test_t05_pulled_within_a_chained_command(
    issued_board: IssuedBoard, slotted: VpcdCard, command: int
) -> None:
    """A PAY in three parts: it is executed when its last part is there, and not before."""
    request = issued_board.desk.request(30_000)
    pay = Command(CLA_QALTA, apdu.INS_PAY, data=request.data, le=256)
    slotted.insert(Tear(command, True))
    with held(slotted.slot)() as transport:
        PurseSession(transport).select()
        with pytest.raises(CardGone):
            Exchange(transport, chain(transport, PIECE)).send(pay)
    assert slotted.commands[-1][0] & apdu.CLA_CHAINED == (command < 4) * apdu.CLA_CHAINED
    slotted.wait_until_out()
    with slotted:
        paid = BALANCE_TIYN - (command == 4) * 30_000
        assert balance(slotted) == paid
        with held(slotted.slot)() as transport:
            session = PurseSession(transport)
            session.select()
            if command == 4:
                assert session.recover(request.payment_id)
            else:
                assert session.pay(request)
        assert balance(slotted) == BALANCE_TIYN - 30_000


def test_t06_the_card_never_comes_back(shop: Shop, till: Till, slotted: VpcdCard) -> None:
    """Unknown, until the payer's own sync has brought the payment to the bank."""
    payment = torn(till, slotted, Tear(2, True))
    absent = till.recover(payment.payment_id, held(slotted.slot))
    assert absent.state is PaymentState.TORN
    assert "no card in the reader" in absent.reason
    unknown = till.give_up(payment.payment_id)
    assert unknown.state is PaymentState.UNKNOWN
    bank = PaperBank(shop)
    assert till.sync(bank).resolved == 0, "the bank has not heard of it yet"
    bank.words[payment.payment_id] = SaleResult(
        payment.payment_id, SaleState.SYNCHRONISED, payment.amount_tiyn
    )
    assert till.sync(bank).resolved == 1
    assert till.find(payment.short_id).state is PaymentState.SYNCHRONISED


def test_t07_another_card_at_recovery(
    till: Till, slotted: VpcdCard, issued_board: IssuedBoard, tmp_path: Path
) -> None:
    """It is refused, the payment stays as it is, and the right card still ends it."""
    payment = torn(till, slotted, Tear(2, True))
    other = issued_board.card(tmp_path, "other")
    with VpcdCard(other.open, slotted.slot, power_cut=other.cut_power) as stranger:
        refused = till.recover(payment.payment_id, held(stranger.slot))
        assert refused.state is PaymentState.TORN
        assert "another card" in refused.reason
        assert balance(stranger) == BALANCE_TIYN
    other.close()
    with slotted:
        assert till.recover(payment.payment_id, held(slotted.slot)).state is PaymentState.PAID


class Replayer(Closing):
    """A thief's card: it answers each instruction as another card once answered it."""

    def __init__(self, card: VpcdCard) -> None:
        self.traffic = Traffic()
        self._answers = {
            command[1]: answer
            for command, answer in zip(card.commands, card.answers, strict=True)
            if command[1] != apdu.INS_VERIFY
        }
        self._answers[apdu.INS_RECOVER] = self._answers[apdu.INS_PAY]

    def transmit(self, command: bytes) -> bytes:
        """What was recorded, whatever is asked."""
        return self._answers.get(command[1], status.UNKNOWN_INSTRUCTION.to_bytes(2, "big"))

    def reset(self) -> str:
        """Nothing to forget."""
        return ""

    def close(self) -> None:
        """Nothing to let go."""


def test_r02_a_recorded_answer_is_refused_after_a_reset(
    shop: Shop, slotted: VpcdCard, vpcd: tuple[VpcdSlot, VpcdSlot]
) -> None:
    """R01, R02: the tokens of one payment buy nothing else, then or after both were reset."""
    with slotted, shop.open() as till:
        first = till.sell(BREAD, held(slotted.slot))
        assert first.state is PaymentState.PAID
        thief = Replayer(slotted)
    replayed: list[Transport] = []

    def opened() -> Transport:
        replayed.append(thief)
        return thief

    with VpcdCard(opened, vpcd[1]) as copy, shop.open() as till:
        second = till.sell(BREAD, held(copy.slot))
        assert second.state is PaymentState.REJECTED
        tokens = parse_tokens(second.answer or b"")
        assert tokens[0].transfer.payment_id == first.payment_id, "it did hand over the old money"
        assert till.recover(second.payment_id, held(copy.slot)).state is PaymentState.REJECTED
        assert till.waiting() == 1, "the first sale alone is owed"
    assert replayed == [thief]
