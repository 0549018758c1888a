# SPDX-License-Identifier: Apache-2.0
"""The commands of CCID, each answered as the specification and libccid have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.reader.ccid import COMMANDS, FIRMWARE, MAX_DATA, Ccid
from firmware.reader.signals import Signals
from firmware.reader.slot import ABSENT, ACTIVE, INACTIVE, Slot
from tests.doubles.handed_antenna import PlainAntenna, PlainClock
from tests.doubles.twin_host import (
    ESCAPE,
    GET_PARAMETERS,
    POWER_OFF,
    POWER_ON,
    SET_PARAMETERS,
    SLOT_STATUS,
    TRANSFER,
    message,
)

RESET_PARAMETERS = 0x6D
OK = b"\x90\x00"
SELECT = b"\x00\xa4\x04\x00\x07\xf0QALTA\x01"
FAILED = 0x40
NOT_SUPPORTED, MUTE, HARDWARE = 0x00, 0xFE, 0xFB
T0_PARAMETERS = b"\x11\x00\x00\x0a\x00"


class Answer:
    """An answer, taken apart."""

    def __init__(self, raw: bytes) -> None:
        self.kind, self.slot, self.sequence = raw[0], raw[5], raw[6]
        self.status, self.error, self.own = raw[7], raw[8], raw[9]
        self.data = raw[10:]
        assert int.from_bytes(raw[1:5], "little") == len(self.data)

    @property
    def failed(self) -> bool:
        return bool(self.status & 0xC0)

    @property
    def state(self) -> int:
        return self.status & 0x03


class Reader:
    """A reader with a card that answers as it was asked."""

    def __init__(self) -> None:
        self.clock = PlainClock()
        self.antenna = PlainAntenna()
        self.antenna.cards = [lambda command: command + OK]
        self.slot = Slot(self.antenna, Signals(None, None, self.clock), self.clock)
        self.ccid = Ccid(self.slot)

    def ask(self, kind: int, data: bytes = b"", own: bytes = bytes(3)) -> Answer:
        return Answer(self.ccid.process(message(kind, data, own=own, sequence=0x5A)))


@pytest.fixture
def reader() -> Reader:
    """It has seen its card."""
    made = Reader()
    made.slot.check()
    return made


@pytest.fixture
def powered(reader: Reader) -> Reader:
    """Its card has power."""
    assert not reader.ask(POWER_ON).failed
    return reader


# -- what libccid does when it opens the port --------------------------------------------------


def test_the_firmware_is_named(reader: Reader) -> None:
    answer = reader.ask(ESCAPE, b"\x02")
    assert (answer.kind, answer.failed, answer.data) == (0x83, False, FIRMWARE)
    assert len(FIRMWARE) < 50, "libccid has room for 50 bytes, of which one ends the text"
    assert FIRMWARE.isascii()


def test_notices_are_switched(reader: Reader) -> None:
    assert not reader.ccid.wants_notices
    for mode, wanted in ((1, True), (0, False), (1, True), (2, False)):
        answer = reader.ask(ESCAPE, bytes([1, 1, mode]))
        assert (answer.kind, answer.failed, answer.data) == (0x83, False, b"")
        assert reader.ccid.wants_notices == wanted


@pytest.mark.parametrize("data", [b"", b"\x02\x00", b"\x01\x01", b"\x1f\x02", b"\x6a", bytes(60)])
def test_other_escapes_are_refused(reader: Reader, data: bytes) -> None:
    answer = reader.ask(ESCAPE, data)
    assert (answer.kind, answer.status & FAILED, answer.error) == (0x83, FAILED, NOT_SUPPORTED)


# -- the slot ----------------------------------------------------------------------------------


def test_the_states_of_the_slot(reader: Reader) -> None:
    assert reader.ask(SLOT_STATUS).status == INACTIVE
    assert reader.ask(POWER_ON).status == ACTIVE
    assert reader.ask(SLOT_STATUS).status == ACTIVE
    assert reader.ask(POWER_OFF).status == INACTIVE
    reader.antenna.cards.clear()
    reader.slot.check()
    answer = reader.ask(SLOT_STATUS)
    assert (answer.kind, answer.status, answer.error) == (0x81, ABSENT, 0)


def test_the_status_asks_nothing_of_the_antenna(powered: Reader) -> None:
    """libccid waits for 100 ms and no longer when it opens a reader."""
    before = (powered.antenna.looks, powered.antenna.releases)
    powered.antenna.fails = True
    assert powered.ask(SLOT_STATUS).status == ACTIVE
    assert (powered.antenna.looks, powered.antenna.releases) == before


@pytest.mark.parametrize("power", range(4))
def test_power_on_gives_the_answer_to_reset(reader: Reader, power: int) -> None:
    answer = reader.ask(POWER_ON, own=bytes([power, 0, 0]))
    assert (answer.kind, answer.status, answer.own) == (0x80, ACTIVE, 0)
    assert answer.data == b"\x3b\x85\x40\x01plain"


@pytest.mark.parametrize("kind", [POWER_ON, TRANSFER])
def test_without_a_card_it_is_mute(kind: int) -> None:
    empty = Reader()
    empty.antenna.cards.clear()
    answer = empty.ask(kind, SELECT if kind == TRANSFER else b"")
    assert (answer.kind, answer.status, answer.error) == (0x80, FAILED | ABSENT, MUTE)
    assert answer.data == b""


# -- APDUs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 5, 24, 255, 256, MAX_DATA])
def test_an_apdu_goes_there_and_back(powered: Reader, size: int) -> None:
    """L03: what libccid can send at once."""
    apdu = (b"\x80\x32\x00\x00" + bytes([min(max(size - 5, 0), 255)]) + bytes(256))[:size]
    powered.antenna.cards[0] = powered.antenna._active = lambda command: OK
    answer = powered.ask(TRANSFER, apdu)
    assert (answer.kind, answer.status, answer.data) == (0x80, ACTIVE, OK)
    assert powered.antenna.sent == [apdu]


def test_an_answer_that_is_too_long_is_fetched(powered: Reader) -> None:
    """More than 258 bytes and libccid's serial driver would read for ever (its buffer is full)."""
    powered.antenna.cards[0] = powered.antenna._active = lambda command: bytes(600) + OK
    answer = powered.ask(TRANSFER, b"\x00\xb0\x00\x00\x00")
    assert answer.data == bytes(256) + b"\x61\x00"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\xa4\x04"])
def test_less_than_a_header_is_no_apdu(powered: Reader, data: bytes) -> None:
    answer = powered.ask(TRANSFER, data)
    assert (answer.status, answer.error) == (FAILED | ACTIVE, 1)
    assert powered.antenna.sent == []


def test_a_part_of_an_apdu_is_refused(powered: Reader) -> None:
    """wLevelParameter belongs to readers that take extended APDUs in parts."""
    answer = powered.ask(TRANSFER, SELECT, own=b"\x00\x01\x00")
    assert (answer.status, answer.error) == (FAILED | ACTIVE, 8)
    assert powered.antenna.sent == []


def test_a_torn_card_is_said_to_be_gone(powered: Reader) -> None:
    """T05: FE with an empty slot, which pcscd calls a removed card."""
    powered.antenna.torn = 1
    answer = powered.ask(TRANSFER, SELECT)
    assert (answer.status, answer.error, answer.data) == (FAILED | ABSENT, MUTE, b"")
    assert powered.antenna.sent == [SELECT]


def test_a_dead_chip_is_an_empty_slot(powered: Reader) -> None:
    powered.antenna.fails = True
    answer = powered.ask(TRANSFER, SELECT)
    assert (answer.status, answer.error) == (FAILED | ABSENT, MUTE)
    answer = powered.ask(POWER_ON)
    assert (answer.status, answer.error) == (FAILED | ABSENT, MUTE)


@pytest.mark.parametrize("raised", [MemoryError(), ValueError(), AttributeError()])
def test_whatever_fails_there_is_an_answer(powered: Reader, raised: Exception) -> None:
    def broken(command: bytes) -> bytes:
        raise raised

    powered.antenna.cards[0] = powered.antenna._active = broken
    answer = powered.ask(TRANSFER, SELECT)
    assert (answer.status, answer.error) == (FAILED | ABSENT, HARDWARE)
    powered.clock.now_ms += 1000
    assert not powered.ask(POWER_ON).failed, "it goes on serving"


@pytest.mark.parametrize("kind", [POWER_ON, POWER_OFF])
def test_a_new_session_fetches_no_old_answer(powered: Reader, kind: int) -> None:
    assert powered.ask(TRANSFER, SELECT).data == b"\x61\x0c"
    powered.ask(kind)
    powered.ask(POWER_ON)
    get_response = b"\x00\xc0\x00\x00\x0c"
    assert powered.ask(TRANSFER, get_response).data == get_response + OK
    assert powered.antenna.sent == [SELECT, get_response]


def test_without_power_no_answer_is_fetched(powered: Reader) -> None:
    powered.ask(TRANSFER, SELECT)
    powered.ask(POWER_OFF)
    answer = powered.ask(TRANSFER, b"\x00\xc0\x00\x00\x0c")
    assert (answer.status, answer.error) == (FAILED | INACTIVE, MUTE)


# -- parameters --------------------------------------------------------------------------------


def test_parameters_are_taken_and_told(powered: Reader) -> None:
    assert powered.ask(GET_PARAMETERS).data == T0_PARAMETERS
    answer = powered.ask(SET_PARAMETERS, b"\x11\x00\x00\x01\x00")
    assert (answer.kind, answer.failed, answer.own) == (0x82, False, 0)
    assert answer.data == b"\x11\x00\x00\x01\x00", "15 bytes in all: libccid has no more room"
    assert powered.ask(GET_PARAMETERS).data == b"\x11\x00\x00\x01\x00"
    assert powered.ask(RESET_PARAMETERS).data == T0_PARAMETERS
    powered.ask(SET_PARAMETERS, b"\x11\x00\x00\x01\x00")
    powered.ask(POWER_ON)
    assert powered.ask(GET_PARAMETERS).data == T0_PARAMETERS


def test_another_protocol_is_refused(powered: Reader) -> None:
    """The place of bProtocolNum is what libccid takes for: cannot be changed."""
    answer = powered.ask(SET_PARAMETERS, bytes(7), own=b"\x01\x00\x00")
    assert (answer.status, answer.error) == (FAILED | ACTIVE, 7)
    assert powered.ask(GET_PARAMETERS).data == T0_PARAMETERS


# -- what is wrong in itself -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [POWER_ON, POWER_OFF, SLOT_STATUS, GET_PARAMETERS])
def test_data_where_none_belong(reader: Reader, kind: int) -> None:
    answer = reader.ask(kind, b"x")
    assert (answer.kind, answer.status & FAILED, answer.error) == (COMMANDS[kind], FAILED, 1)
    assert answer.state == INACTIVE, "nothing happened"


def test_a_wrong_power(reader: Reader) -> None:
    answer = reader.ask(POWER_ON, own=b"\x04\x00\x00")
    assert (answer.status, answer.error) == (FAILED | INACTIVE, 7)


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_there_is_one_slot(powered: Reader, kind: int) -> None:
    raw = bytearray(message(kind, SELECT))
    raw[5] = 1
    answer = Answer(powered.ccid.process(bytes(raw)))
    assert (answer.kind, answer.slot) == (COMMANDS[kind], 1)
    assert (answer.status & FAILED, answer.error) == (FAILED, 5)
    assert powered.antenna.sent == []


@pytest.mark.parametrize("kind", [0x69, 0x6A, 0x6E, 0x71, 0x72, 0x73])
def test_commands_that_are_not_supported(powered: Reader, kind: int) -> None:
    answer = powered.ask(kind, bytes(8))
    assert (answer.kind, answer.status, answer.error) == (
        COMMANDS[kind],
        FAILED | ACTIVE,
        NOT_SUPPORTED,
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(COMMANDS)),
            st.binary(max_size=MAX_DATA),
            st.binary(min_size=3, max_size=3),
            st.sampled_from(["", "fails", "works", "torn", "card", "no card"]),
        ),
        max_size=30,
    )
)
def test_every_command_has_one_answer(
    steps: list[tuple[int, bytes, bytes, str]],
) -> None:
    """Whatever is asked, in whatever order, whatever happens in the field: its own kind."""
    reader = Reader()
    asked = 0
    for kind, data, own, event in steps:
        reader.antenna.fails = event == "fails" or (reader.antenna.fails and event != "works")
        reader.antenna.torn = 1 if event == "torn" else 0
        if event in ("card", "no card"):
            reader.antenna.cards = [lambda command: command + OK] * (event == "card")
        answer = reader.ask(kind, data, own)
        assert (answer.kind, answer.slot, answer.sequence) == (COMMANDS[kind], 0, 0x5A)
        assert len(answer.data) <= 258
        assert answer.failed or answer.error == 0
        assert not answer.failed or answer.data == b""
        asked += kind == TRANSFER
        assert len(reader.antenna.sent) <= asked
