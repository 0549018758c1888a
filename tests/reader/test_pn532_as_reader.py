# SPDX-License-Identifier: Apache-2.0
"""The driver reads cards through the double, on each bus, whatever befalls link and air."""

from __future__ import annotations

import contextlib

import pytest

from firmware.reader.bus_hsu import HsuBus
from firmware.reader.pn532 import Pn532
from firmware.reader.pn532_errors import NotTaken
from firmware.reader.pn532_power import (
    BAUD_RATES,
    WAKE_BY_HSU,
    WAKE_BY_I2C,
    WAKE_BY_SPI,
    change_baud,
    power_down,
)
from firmware.reader.ports import CardGone, ReaderError
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_buses import Uart
from tests.doubles.pn532_cards import PlainCard
from tests.doubles.pn532_frames import ACK_DEFECTS, ANSWER_DEFECTS, LINK_DEFECTS
from tests.doubles.pn532_isodep_card import TEARS, IsoDepCard
from tests.doubles.rf_field import CORRUPT, LOST, TO_CARD, TO_READER
from tests.reader.pn532_rig import BUSES, PAY, THREE, Counting, Rig

SELECT = b"\x00\xa4\x04\x00"
IN_DATA_EXCHANGE = 0x40
SIZES = (4, 5, 24, 61, 62, 255, 256, 261, 262, 263, 524, 525, 1024, 2000)

# A length and its checksum both wrong, and zeros behind the frame: no sum shows it.
LONGER = "longer than it is"
# What needs no second try on the air: the answer comes again, or was good all along. Not so where
# the chip says something else and no answer, or hides the answer behind an ACK in one reading.
MENDED = sorted(
    set(ANSWER_DEFECTS) - {"error frame", "no answer", "nak instead", "ack again", LONGER}
)
NOT_TAKEN = {"no ack", "nak for ack", "error for ack"}  # nothing came that could be an ACK


@pytest.fixture(params=BUSES)
def rig(request: pytest.FixtureRequest) -> Rig:
    """One on each bus, with an empty field."""
    return Rig(str(request.param))


@pytest.fixture(params=THREE)
def held(request: pytest.FixtureRequest) -> Rig:
    """One on each of three buses, with a card that was found."""
    return Rig(str(request.param)).with_card()


# -- as it should be ---------------------------------------------------------------------------


def test_nobody_then_a_card_then_nobody(rig: Rig) -> None:
    assert not rig.antenna.look()
    rig.chip.field.put(rig.card)
    assert rig.antenna.look()
    assert rig.antenna.historical == rig.card.historical
    assert rig.antenna.is_there()
    assert rig.antenna.transmit(PAY).hex() == "00019000"
    assert rig.antenna.is_there()
    assert rig.antenna.transmit(PAY).hex() == "00029000"
    rig.chip.field.pull()
    assert not rig.antenna.is_there()
    assert not rig.antenna.look()
    assert rig.application.executed == [PAY, PAY]


def test_l05_two_cards_then_one(rig: Rig) -> None:
    other = IsoDepCard(Counting(), uid=bytes.fromhex("0a0b0c0d"))
    rig.chip.field.put(rig.card)
    rig.chip.field.put(other)
    assert not rig.antenna.look()
    assert rig.antenna.crowded
    assert not rig.chip.field.is_on
    assert rig.application.executed == []
    rig.chip.field.pull(other)
    assert rig.antenna.look()
    assert not rig.antenna.crowded
    assert rig.antenna.transmit(PAY).hex() == "00019000"


def test_l05_a_memory_card_beside_ours_is_two_cards(rig: Rig) -> None:
    rig.chip.field.put(PlainCard())
    rig.chip.field.put(rig.card)
    assert not rig.antenna.look()
    assert rig.antenna.crowded


def test_a_memory_card_is_not_taken(rig: Rig) -> None:
    rig.chip.field.put(PlainCard())
    assert not rig.antenna.look()
    assert not rig.antenna.crowded


def test_being_there_does_not_begin_the_card_anew(held: Rig) -> None:
    resets = held.application.resets
    for _ in range(3):
        assert held.antenna.is_there()
    held.antenna.transmit(PAY)
    assert held.antenna.is_there()
    assert held.application.resets == resets


def test_release_begins_the_card_anew(held: Rig) -> None:
    resets = held.application.resets
    held.antenna.release()
    assert not held.chip.field.is_on
    assert held.antenna.look()
    assert held.application.resets > resets


@pytest.mark.parametrize("size", SIZES)
def test_l03_commands_of_every_size(held: Rig, size: int) -> None:
    command = bytes(index % 251 for index in range(size))
    assert held.antenna.transmit(command).hex() == "00019000"
    assert held.application.executed == [command]


@pytest.mark.parametrize("size", [2, *SIZES])
def test_l03_answers_of_every_size(held: Rig, size: int) -> None:
    whole = bytes(index % 251 for index in range(size))
    held.application.answer = lambda command: whole
    assert held.antenna.transmit(PAY) == whole
    assert held.antenna.transmit(PAY) == whole


def test_l03_an_extended_apdu_of_the_largest_size() -> None:
    rig = Rig("spi").with_card()
    command, answer = bytes(65_544), bytes(65_538)
    rig.application.answer = lambda command: answer
    rig.antenna._exchange_ms = 60_000  # its air time alone is half a minute
    assert rig.antenna.transmit(command) == answer
    assert rig.application.executed == [command]


@pytest.mark.parametrize("kind", THREE)
def test_a_chip_that_was_switched_off_meanwhile(kind: str) -> None:
    rig = Rig(kind).with_card()
    rig.chip.reset()
    with pytest.raises((ReaderError, CardGone)):
        rig.antenna.transmit(PAY)
    assert rig.antenna.look()
    assert rig.antenna.transmit(PAY).hex() == "00019000"
    assert rig.application.executed == [PAY]


@pytest.mark.parametrize("kind", THREE)
def test_a_chip_that_sleeps_is_woken(kind: str) -> None:
    rig = Rig(kind).with_card()
    power_down(rig.pn532.link, {"hsu": WAKE_BY_HSU, "spi": WAKE_BY_SPI, "i2c": WAKE_BY_I2C}[kind])
    rig.pn532.begin()
    assert rig.antenna.look()


@pytest.mark.parametrize("baud", BAUD_RATES)
def test_every_rate_of_the_serial_line(baud: int) -> None:
    chip = Pn532Double()
    bus = HsuBus(Uart(chip), chip.time)
    pn532 = Pn532(bus, chip.time)
    pn532.begin()
    change_baud(pn532.link, bus, baud)
    assert chip.baud_rate == baud
    assert pn532.firmware().hex() == "32010607"


# -- the host's link ---------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("defect", LINK_DEFECTS)
def test_l01_l04_a_defect_in_the_middle_of_a_payment(
    held: Rig, defect: str, lasting: bool
) -> None:
    """Whatever becomes of the answer: the card acts once, and the next payment goes well."""
    application = held.application
    held.antenna.transmit(SELECT)
    held.chip.spoil(defect, lasting=lasting)
    began_us = held.chip.time.now_us
    answer = None
    with contextlib.suppress(CardGone, ReaderError):
        answer = held.antenna.transmit(PAY)
    assert application.executed.count(PAY) <= 1
    if defect == LONGER and answer is not None and len(answer) > 4:
        assert answer[-2:] != b"\x90\x00", "at least no success"
    else:
        assert answer in (None, bytes.fromhex("00029000")), "half an answer, or another's"
    assert held.seconds(began_us) < 12
    held.antenna.release()
    assert held.antenna.look()
    count = len(application.executed) + 1
    assert held.antenna.transmit(b"after") == bytes([0, count]) + b"\x90\x00"
    assert held.chip.commands.count(bytes([IN_DATA_EXCHANGE, 1]) + PAY) <= 1


@pytest.mark.parametrize("defect", MENDED)
def test_l01_what_nak_mends_is_mended(held: Rig, defect: str) -> None:
    held.antenna.transmit(SELECT)
    held.chip.spoil(defect)
    assert held.antenna.transmit(PAY).hex() == "00029000"
    assert held.application.executed[1:] == [PAY]


@pytest.mark.parametrize("defect", sorted(set(ACK_DEFECTS) - NOT_TAKEN))
def test_l01_a_broken_acknowledgement_is_got_over(held: Rig, defect: str) -> None:
    held.antenna.transmit(SELECT)
    held.chip.spoil(defect)
    assert held.antenna.transmit(PAY).hex() == "00029000"
    assert held.application.executed[1:] == [PAY]


def test_l06_a_chip_that_hears_nothing(held: Rig) -> None:
    held.chip.deaf = True
    began_us = held.chip.time.now_us
    with pytest.raises(NotTaken):
        held.antenna.is_there()
    assert held.seconds(began_us) < 0.5, "an unplugged chip is noticed within two looks"
    for _ in range(3):
        began_us = held.chip.time.now_us
        with pytest.raises(NotTaken):
            held.antenna.look()
        assert held.seconds(began_us) < 2
    held.chip.deaf = False
    assert held.antenna.look()
    assert held.antenna.transmit(PAY).hex() == "00019000"


# -- the air -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", TEARS)
def test_t05_a_card_that_is_torn_away(held: Rig, where: str) -> None:
    held.application.answer = lambda command: bytes(600) + b"\x90\x00"
    held.card.tear(held.chip.field, 1, where)
    long = bytes(600)
    try:
        answer = held.antenna.transmit(long)
    except CardGone:
        answer = b""
    assert len(answer) in (0, 602)
    assert held.application.executed.count(long) <= 1
    assert not held.antenna.is_there()
    held.chip.field.put(held.card)
    assert held.antenna.look()
    assert len(held.antenna.transmit(PAY)) == 602


@pytest.mark.parametrize("direction", [TO_CARD, TO_READER])
@pytest.mark.parametrize("kind", [LOST, CORRUPT])
@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_l04_a_block_that_is_lost_in_the_air(
    held: Rig, direction: str, kind: str, block: int
) -> None:
    """The chip asks for it again; the card executes once."""
    long = bytes(200)
    held.application.answer = lambda command: bytes(400) + b"\x90\x00"
    held.chip.field.spoil(block, direction, kind)
    assert len(held.antenna.transmit(long)) == 402
    assert held.application.executed == [long]


@pytest.mark.parametrize("times", [1, 5, 30])
def test_l04_waiting_time_extensions(held: Rig, times: int) -> None:
    held.card.extensions = [times]
    assert held.antenna.transmit(PAY).hex() == "00019000"
    assert held.card.extended == times


@pytest.mark.parametrize("setting", ["waits_for_ever", "trickles"])
def test_l10_a_card_that_never_answers(held: Rig, setting: str) -> None:
    setattr(held.card, setting, True)
    began_us = held.chip.time.now_us
    with pytest.raises(CardGone):
        held.antenna.transmit(PAY)
    assert held.seconds(began_us) < 12
    setattr(held.card, setting, False)
    held.antenna.release()
    assert held.antenna.look()
    held.antenna.transmit(PAY)
