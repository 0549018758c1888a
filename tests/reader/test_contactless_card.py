# SPDX-License-Identifier: Apache-2.0
"""A card on a MicroPython board with a PN532: what it pays another reader over the air."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boards.VIRTUAL.board import BoardError, VirtualBoard
from host_bridge.session.exchange import CardError
from host_bridge.session.purse import PayRequest, PurseSession
from host_bridge.transport.base import TransportError
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.doubles.desk import PIN, Desk
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_port import Pn532Port
from tests.doubles.pn532_target import OtherReader

LOADED_TIYN = 100_000
PRICE_TIYN = 1_200
ANSWER_S = 30.0  # a deadline, not a promise


class AirCard:
    """A purse with money in it, on a board whose PN532 is a double."""

    def __init__(self, folder: Path, bits: int) -> None:
        self.desk = Desk()
        self.log = folder / "board.log"
        self._image = folder / "card.img"
        self._bits = bits
        build_image(self._image)
        with VirtualTransport(VirtualBoard(self._image, bits=bits), timeout_s=ANSWER_S) as blank:
            self.desk.personalise(blank)
            blank.reset()
            session = PurseSession(blank)
            session.select()
            self.desk.load(session, LOADED_TIYN)

    @contextmanager
    def on(self) -> Iterator[tuple[OtherReader, VirtualBoard]]:
        """It has power; a reader is held to it."""
        chip = Pn532Double()
        reader = OtherReader(chip, ANSWER_S)
        with Pn532Port(chip) as port:
            board = VirtualBoard(self._image, bits=self._bits, log=self.log, pn532=port.path)
            with board, reader:
                reader.approach()
                yield reader, board
        assert self.log.read_text() == "", "the board reports a failure"


@pytest.fixture(params=[64, 32])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> AirCard:
    """On each of the two interpreters."""
    request.getfixturevalue("micropython" if request.param == 64 else "micropython32")
    return AirCard(tmp_path, request.param)


def selected(reader: OtherReader) -> PurseSession:
    session = PurseSession(reader)
    session.select()
    return session


def balance(session: PurseSession) -> int:
    session.verify_pin(PIN)
    return session.balance()[0]


def test_a_payment_over_the_air(card: AirCard) -> None:
    """And a reader that goes and comes finds the card anew, its PIN forgotten."""
    with card.on() as (reader, _):
        session = selected(reader)
        assert reader.found is not None
        assert reader.found.uid[0] == 0x08, "a random number: nobody knows a purse again by it"
        first = session.pay(card.desk.request(PRICE_TIYN))
        assert first[0].amount_tiyn == PRICE_TIYN
        assert balance(session) == LOADED_TIYN - PRICE_TIYN
        reader.reset()
        session = selected(reader)
        with pytest.raises(CardError):
            session.balance()
        session.pay(card.desk.request(PRICE_TIYN))
        assert balance(session) == LOADED_TIYN - 2 * PRICE_TIYN


def test_t05_a_reader_that_goes_before_it_has_the_answer(card: AirCard) -> None:
    """The same bytes at RECOVER, and one debit."""
    with card.on() as (reader, _):
        request = card.desk.request(PRICE_TIYN)
        session = selected(reader)
        first = session.pay(request)
        reader.leave()
        with pytest.raises(TransportError):
            reader.transmit(b"\x00\xa4\x04\x00")
        reader.approach()
        again = selected(reader).recover(request.payment_id)
        assert [token.raw for token in again] == [token.raw for token in first]
        assert balance(selected(reader)) == LOADED_TIYN - PRICE_TIYN


def test_power_off_between_two_payments(card: AirCard) -> None:
    with card.on() as (reader, board):
        selected(reader).pay(card.desk.request(PRICE_TIYN))
        board.kill()
    with card.on() as (reader, _):
        assert balance(selected(reader)) == LOADED_TIYN - PRICE_TIYN


def test_a_request_that_makes_no_sense_is_answered(card: AirCard) -> None:
    """The card goes on."""
    with card.on() as (reader, _):
        for nonsense in (b"\x00", b"\x80\x32", bytes(300), b"\x80\x32\x00\x00\xff\x00"):
            assert len(reader.transmit(nonsense)) == 2
        request: PayRequest = card.desk.request(PRICE_TIYN)
        assert selected(reader).pay(request)


def test_no_pn532_where_one_should_be(tmp_path: Path, micropython: Path) -> None:
    build_image(tmp_path / "card.img")
    board = VirtualBoard(tmp_path / "card.img", pn532=str(tmp_path / "nothing"))
    with pytest.raises(BoardError, match=r"The PN532 at .*nothing is out of reach"):
        board.start()
    with pytest.raises(BoardError, match=r"card\.img is no serial port"):
        VirtualBoard(tmp_path / "card.img", pn532=str(tmp_path / "card.img")).start()
    VirtualTransport(VirtualBoard(tmp_path / "card.img")).close()  # the image was let go


def test_an_application_that_fails_is_answered_for(root: Path, micropython: Path) -> None:
    """6F00, and it begins anew, even where that fails too."""
    program = f"""
import sys
sys.path.insert(0, {str(root)!r})
from firmware.apps.contactless import Guarded

class Broken:
    def process(self, raw):
        raise MemoryError
    def reset(self):
        print("reset")
        raise ValueError

print(Guarded(Broken()).process(b"1234").hex())
"""
    command = [micropython, "-X", "heapsize=2m", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    assert done.stdout.split() == ["reset", "6f00"]
    assert "MemoryError" in done.stderr and "ValueError" in done.stderr, "the log says why"
