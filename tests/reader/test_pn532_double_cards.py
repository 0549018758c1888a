# SPDX-License-Identifier: Apache-2.0
"""The PN532's double keeps to ISO/IEC 14443: cards found, blocks gone astray, cards torn out."""

from __future__ import annotations

import pytest

from tests.doubles.pn532_cards import PlainCard
from tests.doubles.pn532_frames import (
    ACK,
    TO_CHIP,
    encode,
)
from tests.doubles.pn532_hosts import (
    UID_1,
    UID_2,
    VERSION,
    Echo,
    Host,
    ask,
    awake_host,
    body,
    card_in,
)
from tests.doubles.pn532_isodep_card import (
    AFTER,
    BEFORE,
    EXECUTED,
    IN_ANSWER,
    IN_COMMAND,
    TEARS,
    IsoDepCard,
)
from tests.doubles.rf_field import CORRUPT, LOST, TO_CARD, TO_READER, crc_a

TIMEOUT, CRC_ERROR, PROTOCOL_ERROR, CONTEXT = b"\x01", b"\x02", b"\x0b", b"\x27"


@pytest.fixture
def host() -> Host:
    """A chip in normal mode that gives up looking at once."""
    return awake_host()


# -- cards in the field ------------------------------------------------------------------------


def test_a_card_is_described_with_its_ats(host: Host) -> None:
    host.chip.field.put(IsoDepCard(Echo(), UID_1))
    assert ask(host, b"\x4a\x01\x00").hex() == "010100442007" + UID_1.hex() + "067580800080"


@pytest.mark.parametrize("uid", ["01020304", "04a1b2c3d4e5f6", "0102030405060708090a"])
def test_every_length_of_uid(host: Host, uid: str) -> None:
    host.chip.field.put(IsoDepCard(Echo(), bytes.fromhex(uid)))
    assert bytes.fromhex(uid) in ask(host, b"\x4a\x01\x00")


def test_no_card_and_other_kinds_of_card(host: Host) -> None:
    for kind in (0, 1, 2, 3, 4):
        assert ask(host, bytes([0x4A, 1, kind])) == b"\x00"


def test_looking_for_ever_ends_with_a_card_or_an_ack(host: Host) -> None:
    assert ask(host, b"\x32\x05\xff\x01\xff") == b""
    host.send(encode(b"\x4a\x01\x00", TO_CHIP))
    assert host.receive() == ACK and host.receive() == b""
    host.chip.field.put(IsoDepCard(Echo()))
    assert body(host.receive())[2] == 1
    host.chip.field.pull()
    host.send(encode(b"\x4a\x01\x00", TO_CHIP))
    assert host.receive() == ACK and host.chip.busy
    host.send(ACK)
    assert not host.chip.busy
    assert ask(host, b"\x02") == VERSION[2:]


def test_l05_two_cards_are_told_apart(host: Host) -> None:
    first, second = IsoDepCard(Echo(), UID_1), IsoDepCard(Echo(), UID_2)
    host.chip.field.put(first)
    host.chip.field.put(second)
    answer = ask(host, b"\x4a\x02\x00")
    assert answer[0] == 2 and UID_1 in answer and UID_2 in answer
    order = [first, second] if answer.index(UID_1) < answer.index(UID_2) else [second, first]
    for number, card in enumerate(order, 1):
        assert ask(host, bytes([0x40, number]) + b"abc") == b"\x00abc\x90\x00"
        assert card.executed == [b"abc"]


def test_l05_a_second_card_may_be_of_another_kind(host: Host) -> None:
    host.chip.field.put(PlainCard())
    card = IsoDepCard(Echo())
    host.chip.field.put(card)
    answer = ask(host, b"\x4a\x02\x00")
    assert answer[0] == 2 and bytes.fromhex("0804deadbeef") in answer
    number = 1 if answer.index(UID_1) < answer.index(b"\xde\xad\xbe\xef") else 2
    assert ask(host, bytes([0x40, number]) + b"abc") == b"\x00abc\x90\x00"


def test_a_card_that_is_alone_is_not_disturbed_by_looking_for_two(host: Host) -> None:
    card = IsoDepCard(Echo())
    host.chip.field.put(card)
    assert ask(host, b"\x4a\x02\x00")[0] == 1
    assert card.state == "protocol" and card.resets == 0


def test_a_known_card_is_asked_for_by_its_number(host: Host) -> None:
    for uid in (UID_1, UID_2):
        host.chip.field.put(IsoDepCard(Echo(), uid))
    for uid in (UID_2, UID_1):
        answer = ask(host, b"\x4a\x01\x00\x88" + uid)
        assert answer[0] == 1 and uid in answer


@pytest.mark.parametrize("size", [1, 24, 61, 62, 255, 256, 260, 262])
@pytest.mark.parametrize("fsci", [0, 5, 8])
def test_l03_commands_of_every_length(host: Host, size: int, fsci: int) -> None:
    card = IsoDepCard(Echo())
    card.fsci = fsci
    host.chip.field.put(card)
    assert ask(host, b"\x4a\x01\x00")[0] == 1
    command = bytes(index & 0xFF for index in range(size))
    answer = ask(host, b"\x40\x01" + command)
    data, status = answer[1:], answer[0]
    while status & 0x40:
        answer = ask(host, b"\x40\x01")
        data, status = data + answer[1:], answer[0]
    assert (status, data) == (0, command + b"\x90\x00") and card.executed == [command]


def test_l03_more_than_a_frame_holds_both_ways(host: Host) -> None:
    card = card_in(host)
    command = bytes(range(256)) * 3
    for start in range(0, 512, 256):
        assert ask(host, b"\x40\x41" + command[start : start + 256]) == b"\x00"
    answer = ask(host, b"\x40\x01" + command[512:])
    data = answer[1:]
    while answer[0] == 0x40:
        answer = ask(host, b"\x40\x01")
        data += answer[1:]
    assert answer[0] == 0 and data == command + b"\x90\x00"
    assert card.executed == [command]


@pytest.mark.parametrize("kind", [LOST, CORRUPT])
@pytest.mark.parametrize("direction", [TO_CARD, TO_READER])
@pytest.mark.parametrize("number", range(1, 8))
def test_l04_a_block_goes_astray_and_nothing_is_done_twice(
    host: Host, number: int, direction: str, kind: str
) -> None:
    card = card_in(host)
    host.chip.field.spoil(number, direction, kind)
    command = bytes(150)
    assert ask(host, b"\x40\x01" + command) == b"\x00" + command + b"\x90\x00"
    assert card.executed == [command]


def test_l04_blocks_go_astray_for_ever(host: Host) -> None:
    card = card_in(host)
    for kind, status in ((LOST, TIMEOUT), (CORRUPT, CRC_ERROR)):
        for number in range(1, 6):
            host.chip.field.spoil(number, TO_READER, kind)
        assert ask(host, b"\x40\x01abc") == status
        host.chip.field.pull()
        host.chip.field.put(card)
        assert ask(host, b"\x4a\x01\x00")[0] == 1


def test_l04_extensions_are_granted(host: Host) -> None:
    card = card_in(host)
    card.extensions = [3]
    assert ask(host, b"\x40\x01abc") == b"\x00abc\x90\x00"
    assert card.extended == 3 and card.executed == [b"abc"]
    card.thinks_ms = lambda command: 200.0
    before_ms = host.chip.time.air_ms
    assert ask(host, b"\x40\x01abc") == b"\x00abc\x90\x00"
    assert card.extended == 4 and host.chip.time.air_ms - before_ms > 200


def test_l04_a_card_that_waits_for_ever_can_be_left(host: Host) -> None:
    card = card_in(host)
    card.waits_for_ever = True
    host.send(encode(b"\x40\x01abc", TO_CHIP))
    assert host.receive() == ACK and host.receive() == b""
    assert card.extended > 5
    host.send(ACK)
    assert ask(host, b"\x02") == VERSION[2:]


def test_l10_a_card_that_trickles_is_handed_on_by_the_frame(host: Host) -> None:
    card = card_in(host)
    card.trickles = True
    host.send(encode(b"\x40\x01abc", TO_CHIP))
    assert host.receive() == ACK
    frames = [host.receive() for _ in range(40)]
    answer = body(next(frame for frame in frames if frame))
    assert answer[2] == 0x40 and len(answer) == 3 + 262
    assert card.extended >= 262


def test_a_card_that_misbehaves(host: Host) -> None:
    card = card_in(host)
    card.wrong_numbers = 1
    assert ask(host, b"\x40\x01abc") == PROTOCOL_ERROR
    card = card_in(host, UID_1)
    card.silent = True
    assert ask(host, b"\x40\x01abc") == TIMEOUT


@pytest.mark.parametrize("moment", TEARS)
def test_torn_at_every_moment_of_an_exchange(host: Host, moment: str) -> None:
    card = card_in(host)
    echo = card.application
    assert isinstance(echo, Echo)
    card.tear(host.chip.field, 2, moment)
    command = bytes(range(100))
    assert ask(host, b"\x40\x01first") == b"\x00first\x90\x00"
    answer = ask(host, b"\x40\x01" + command)
    assert (answer == b"\x00" + command + b"\x90\x00") == (moment == AFTER)
    assert answer == TIMEOUT or moment == AFTER
    assert (command in card.executed) == (moment in (EXECUTED, IN_ANSWER, AFTER))
    assert (moment in (BEFORE, IN_COMMAND)) == (len(card.executed) == 1)
    assert ask(host, b"\x40\x01next") == TIMEOUT
    assert echo.resets == 1 and not host.chip.field.things


def test_without_the_field_a_card_begins_anew(host: Host) -> None:
    card = card_in(host)
    assert ask(host, b"\x32\x01\x00") == b"" and card.resets == 1
    assert ask(host, b"\x40\x01abc") == CONTEXT
    assert ask(host, b"\x32\x01\x01") == b"" and ask(host, b"\x40\x01abc") == TIMEOUT
    assert ask(host, b"\x4a\x01\x00")[0] == 1 and card.resets == 1


def test_presence_and_letting_go(host: Host) -> None:
    card = card_in(host)
    assert ask(host, b"\x00\x06") == b"\x00"
    assert ask(host, b"\x44\x01") == b"\x00" and card.state == "halted"
    assert ask(host, b"\x54\x01") == b"\x00" and ask(host, b"\x00\x06") == b"\x00"
    host.chip.field.pull()
    assert ask(host, b"\x00\x06") == TIMEOUT
    assert ask(host, b"\x52\x01") in (b"\x00", TIMEOUT)
    assert ask(host, b"\x52\x01") == ask(host, b"\x40\x01abc") == CONTEXT
    assert ask(host, b"\x04")[2] == 0


def test_raw_frames_by_the_registers(host: Host) -> None:
    host.chip.field.put(IsoDepCard(Echo()))
    assert ask(host, b"\x08\x63\x02\x00\x63\x03\x00\x63\x3d\x07") == b""
    assert ask(host, b"\x42\x26") == b"\x00\x44\x00"
    assert ask(host, b"\x08\x63\x3d\x00") == b""
    assert ask(host, b"\x42\x93\x20") == b"\x00\x88\x04\xa1\xb2\x9f"


def test_polling_by_the_chip_itself(host: Host) -> None:
    assert ask(host, b"\x60\x02\x01\x20") == b"\x00"
    host.chip.field.put(IsoDepCard(Echo()))
    assert ask(host, b"\x60\x02\x01\x10\x20")[:4] == b"\x01\x20\x12\x01"


def test_the_crc_is_the_standards() -> None:
    """The examples of ISO/IEC 14443-3, annex B."""
    assert crc_a(b"\x00\x00") == b"\xa0\x1e" and crc_a(b"\x12\x34") == b"\x26\xcf"
