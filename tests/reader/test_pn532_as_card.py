# SPDX-License-Identifier: Apache-2.0
"""The driver makes the chip's double a card, over each bus, and another reader talks to it."""

from __future__ import annotations

import pytest

from firmware.reader.target import CardTarget
from tests.doubles.pn532_target import OtherReader
from tests.reader.pn532_rig import BUSES, PAY, CardRig, Counting, Rig


@pytest.fixture(params=BUSES)
def emulated(request: pytest.FixtureRequest) -> CardRig:
    """One on each bus; the other reader is there."""
    rig = CardRig(str(request.param))
    assert not rig.target.wait(200)
    rig.reader.approach()
    assert rig.target.wait(200)
    return rig


def test_the_other_reader_sees_a_card(emulated: CardRig) -> None:
    assert emulated.reader.found is not None
    assert emulated.reader.found.uid == b"\x08\x01\x02\x03"
    assert emulated.reader.found.ats.endswith(b"\x80\x31")
    assert emulated.application.resets == 1


def test_the_other_reader_asks_and_goes(emulated: CardRig) -> None:
    for number in range(3):
        emulated.reader.send(PAY + bytes([number]))
        assert emulated.target.answer(500)
    answers = [answer.hex() for answer in emulated.reader.answers]
    assert answers == ["00019000", "00029000", "00039000"]
    emulated.reader.leave()
    assert not emulated.target.answer(500)
    assert emulated.application.resets == 2
    emulated.reader.approach()
    assert emulated.target.wait(500)
    emulated.reader.send(PAY)
    assert emulated.target.answer(500)
    assert emulated.reader.answers[-1].hex() == "00049000"


def test_the_other_reader_asks_nothing_for_a_while(emulated: CardRig) -> None:
    assert emulated.target.answer(300)
    emulated.reader.send(PAY)
    assert emulated.target.answer(300)
    assert emulated.application.executed == [PAY]


def test_the_other_reader_deselects(emulated: CardRig) -> None:
    emulated.reader.send(PAY)
    assert emulated.target.answer(500)
    emulated.reader.deselect()
    assert not emulated.target.answer(500)
    assert emulated.application.resets == 2


@pytest.mark.parametrize("size", [1, 255, 261, 262, 263, 525, 2000])
def test_l03_both_ways_as_a_card(emulated: CardRig, size: int) -> None:
    command = bytes(index % 251 for index in range(size))
    emulated.application.answer = lambda sent: sent + b"\x90\x00"
    emulated.reader.send(command)
    assert emulated.target.answer(500)
    assert emulated.application.executed == [command]
    assert emulated.reader.answers == [command + b"\x90\x00"]


def test_an_application_that_thinks_for_long(emulated: CardRig) -> None:
    """The chip asks the reader for time by itself."""

    def think(command: bytes) -> bytes:
        emulated.chip.time.sleep_ms(3_000)
        return b"\x90\x00"

    emulated.application.answer = think
    emulated.reader.send(PAY)
    assert emulated.target.answer(500)
    assert emulated.reader.answers == [b"\x90\x00"]


def test_a_reader_and_a_card_in_turns() -> None:
    """A wallet's chip reads, is a card, and reads again."""
    rig = Rig("spi").with_card()
    reader = OtherReader(rig.chip)
    own = Counting()
    target = CardTarget(rig.pn532, own, b"\x01\x02\x03")
    rig.antenna.release()
    reader.approach()
    assert target.wait(500)
    reader.send(PAY)
    assert target.answer(500)
    reader.leave()
    assert not target.answer(500)
    assert rig.antenna.look()
    assert rig.antenna.transmit(PAY).hex() == "00019000"
    assert (own.executed, rig.application.executed) == ([PAY], [PAY])
