# SPDX-License-Identifier: Apache-2.0
"""One card in a PN532's field: L03, L04, L05, L08 to L10, by scripted answers of the chip."""

from __future__ import annotations

import pytest

from firmware.reader.contactless import Pn532Contactless
from firmware.reader.pn532_errors import FrameDefect, NotTaken
from firmware.reader.ports import CardGone, Contactless, ReaderError
from tests.reader.pn532_bench import BUSES, START, Bench, answer, command
from tests.reader.pn532_script import ACK, NAK

SETUP = [*START, answer("13"), answer("33"), answer("33")]
FIELD_ON = answer("33")
FIELD_OFF = answer("33")
NOBODY = answer("4b00")
CARD = answer("4b01 01 0004 20 04 01020304 09 7577810280318073")
SELECTED = answer("55 00")
TWO = answer("4b02 01 0004 20 04 01020304 05 75778102 02 0004 20 04 05060708 05 75778102")
MEMORY_CARD = answer("4b01 01 0044 00 07 04010203040506")
MS = 10_000
OFF = command("32 01 00")


def seen(kind: str, *script: list[bytes]) -> tuple[Bench, Pn532Contactless]:
    """A chip with a card that was found; then the script."""
    bench = Bench(kind, *SETUP, FIELD_ON, CARD, SELECTED, *script)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert antenna.look()
    bench.chip.heard.clear()
    return bench, antenna


# -- looking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BUSES)
def test_a_card_is_found(kind: str) -> None:
    _, antenna = seen(kind)
    assert isinstance(antenna, Contactless)
    assert antenna.historical.hex() == "80318073"
    assert not antenna.crowded


def test_what_a_look_asks_of_the_chip() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, CARD, SELECTED)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert bench.chip.heard == [], "nothing before the first look"
    antenna.look()
    assert bench.chip.commands == [
        command("14 01 00 01"),
        command("02"),
        command("12 14"),
        command("32 05 02 01 01"),
        command("32 01 00"),
        command("32 01 01"),
        command("4a 02 00"),
        command("54 01"),
    ]


def test_an_empty_field() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, NOBODY, FIELD_OFF, FIELD_ON, CARD, SELECTED)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert not antenna.look()
    assert antenna.historical == b""
    assert antenna.look(), "and the next look needs no setting up"


def test_l05_of_two_cards_none_is_taken() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, TWO, FIELD_OFF, FIELD_ON, CARD, SELECTED)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert not antenna.look()
    assert antenna.crowded
    assert not antenna.is_there()
    assert bench.chip.commands[-1] == OFF, "both begin anew"
    with pytest.raises(CardGone):
        antenna.transmit(b"\x00\xa4\x04\x00")
    assert antenna.look(), "one was taken away"
    assert not antenna.crowded


def test_l05_two_cards_after_one_was_active() -> None:
    _, antenna = seen("spi", FIELD_OFF, FIELD_ON, TWO, FIELD_OFF)
    assert not antenna.look()
    assert antenna.crowded
    assert antenna.historical == b""


def test_a_card_that_knows_no_iso_dep_is_not_taken() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, MEMORY_CARD, FIELD_OFF)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert not antenna.look()
    assert not antenna.crowded
    assert bench.chip.commands[-1] == OFF


def test_a_card_that_gave_no_ats_is_not_taken() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, answer("4b01 01 0004 20 04 01020304"), FIELD_OFF)
    assert not Pn532Contactless(bench.pn532, bench.clock).look()


def test_a_card_that_is_torn_away_before_it_is_chosen() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, CARD, answer("55 01"), FIELD_OFF)
    antenna = Pn532Contactless(bench.pn532, bench.clock)
    assert not antenna.look()
    assert antenna.historical == b""
    assert bench.chip.commands[-1] == OFF


def test_a_look_lets_go_of_the_card_before() -> None:
    bench, antenna = seen("spi", FIELD_OFF, FIELD_ON, NOBODY, FIELD_OFF)
    assert not antenna.look()
    assert bench.chip.commands[0] == OFF
    assert not antenna.is_there()


def test_the_field_is_away_long_enough() -> None:
    """ISO 14443-3: 5 ms until a card has lost its power, and 5 until it has it."""
    bench, antenna = seen("spi", FIELD_OFF, FIELD_ON, CARD, SELECTED)
    began_ms = bench.clock.now_ms
    antenna.look()
    assert bench.clock.now_ms - began_ms >= 10


@pytest.mark.parametrize("kind", BUSES)
def test_l06_a_chip_that_failed_is_set_up_anew(kind: str) -> None:
    """It lost its power: nobody answers, then a chip that knows nothing of before."""
    bench, antenna = seen(kind)
    bench.chip.is_deaf = True
    for _ in range(3):
        with pytest.raises(NotTaken):
            antenna.look()
    bench.chip.is_deaf = False
    bench.chip.script = [*SETUP, FIELD_ON, CARD, SELECTED]
    assert antenna.look()
    assert bench.chip.commands[0] == command("14 01 00 01")


# -- being there -------------------------------------------------------------------------------


def test_a_card_that_is_still_there() -> None:
    bench, antenna = seen("spi", answer("01 00"), answer("01 01"))
    assert antenna.is_there()
    assert not antenna.is_there()
    assert bench.chip.commands == [command("00 06")] * 2
    assert antenna.historical == b""
    assert not antenna.is_there(), "and the chip is not asked any more"
    assert len(bench.chip.commands) == 2
    with pytest.raises(CardGone):
        antenna.transmit(b"\x00\xa4\x04\x00")


def test_a_chip_that_cannot_say_whether_a_card_is_there() -> None:
    _, antenna = seen("spi", answer("01 27"))
    with pytest.raises(ReaderError, match="status 27"):
        antenna.is_there()
    assert not antenna.is_there()


# -- APDUs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BUSES)
def test_an_apdu(kind: str) -> None:
    bench, antenna = seen(kind, answer("41 00 9000"))
    assert antenna.transmit(bytes.fromhex("00a4040000")) == b"\x90\x00"
    assert bench.chip.commands == [command("40 01 00a4040000")]


def chunks(data: bytes) -> list[bytes]:
    """As much as one exchange carries."""
    return [data[start : start + 262] for start in range(0, len(data), 262)]


@pytest.mark.parametrize("kind", BUSES)
@pytest.mark.parametrize("size", [5, 24, 255, 256, 261, 262, 263, 524, 525, 1000, 65_544])
def test_l03_commands_of_every_size(kind: str, size: int) -> None:
    apdu = bytes(index % 251 for index in range(size))
    parts = chunks(apdu)
    bench, antenna = seen(kind, *[answer("41 00")] * (len(parts) - 1), answer("41 00 9000"))
    assert antenna.transmit(apdu) == b"\x90\x00"
    more = [command("40 41", part) for part in parts[:-1]]
    assert bench.chip.commands == [*more, command("40 01", parts[-1])]


@pytest.mark.parametrize("kind", BUSES)
@pytest.mark.parametrize("size", [2, 24, 255, 256, 258, 262, 263, 524, 525, 1000, 65_538])
def test_l03_answers_of_every_size(kind: str, size: int) -> None:
    whole = bytes(index % 251 for index in range(size))
    parts = chunks(whole)
    said = [answer("41 40", part) for part in parts[:-1]] + [answer("41 00", parts[-1])]
    script: list[list[bytes]] = []
    for entry in said:
        script.append(entry)
        if kind == "i2c" and len(entry[1]) > 79:
            script.append(entry[1:])  # asked for again, to be read whole
    bench, antenna = seen(kind, *script)
    assert antenna.transmit(b"\x00\xb0\x00\x00\x00\x00\x00") == whole
    exchanges = [frame for frame in bench.chip.commands if frame != NAK]
    assert exchanges[1:] == [command("40 01")] * (len(parts) - 1)


def test_l03_both_ways_at_once() -> None:
    _, antenna = seen("spi", answer("41 00"), answer("41 40", b"a" * 262), answer("41 00 9000"))
    assert antenna.transmit(bytes(400)) == b"a" * 262 + b"\x90\x00"


def test_a_command_of_no_bytes_is_refused() -> None:
    bench, antenna = seen("spi")
    with pytest.raises(ValueError, match="at least one byte"):
        antenna.transmit(b"")
    assert bench.chip.heard == []


@pytest.mark.parametrize("kind", BUSES)
def test_l04_a_broken_answer_is_fetched_and_the_apdu_not_sent_again(kind: str) -> None:
    good = answer("41 00 9000")[1]
    broken = good[:-3] + b"\x01" + good[-2:]
    bench, antenna = seen(kind, [ACK, broken], [good])
    assert antenna.transmit(b"\x80\x32\x00\x00") == b"\x90\x00"
    assert bench.chip.commands == [command("40 01 80320000"), NAK]


@pytest.mark.parametrize("kind", BUSES)
def test_l04_an_answer_that_stays_broken(kind: str) -> None:
    broken = b"\x00\x00\xff\x05\xfb\xd5\x41\x00\x90\x01\x00\x00"
    bench, antenna = seen(kind, [ACK, broken], [broken], [broken], [broken])
    with pytest.raises(FrameDefect):
        antenna.transmit(b"\x80\x32\x00\x00")
    assert bench.chip.commands.count(command("40 01 80320000")) == 1
    assert not antenna.is_there()


@pytest.mark.parametrize("kind", BUSES)
def test_l04_an_acknowledgement_that_is_missing(kind: str) -> None:
    bench, antenna = seen(kind, [])
    with pytest.raises(NotTaken):
        antenna.transmit(b"\x80\x32\x00\x00")
    assert bench.chip.commands == [command("40 01 80320000")]
    assert not antenna.is_there(), "whether it was carried out is not known: the card is let go"


@pytest.mark.parametrize("status", [0x01, 0x02, 0x05, 0x07, 0x0B, 0x13, 0x29, 0x2B])
def test_the_card_is_torn_away(status: int) -> None:
    bench, antenna = seen("spi", answer(f"41 {status:02x}"))
    with pytest.raises(CardGone, match=f"status {status:02X}"):
        antenna.transmit(b"\x80\x32\x00\x00")
    assert antenna.historical == b""
    assert not antenna.is_there()
    assert len(bench.chip.commands) == 1


@pytest.mark.parametrize("status", [0x0D, 0x0E, 0x10, 0x26, 0x27, 0x2D, 0x3F])
def test_the_chip_fails(status: int) -> None:
    _, antenna = seen("spi", answer(f"41 {status:02x}"))
    with pytest.raises(ReaderError, match=f"status {status:02X}"):
        antenna.transmit(b"\x80\x32\x00\x00")
    assert not antenna.is_there()


def test_torn_in_the_middle_of_a_command() -> None:
    """T05: the rest is not sent."""
    bench, antenna = seen("spi", answer("41 00"), answer("41 01"))
    with pytest.raises(CardGone):
        antenna.transmit(bytes(1000))
    assert len(bench.chip.commands) == 2


def test_torn_in_the_middle_of_an_answer() -> None:
    """T05: half an answer is none."""
    _, antenna = seen("spi", answer("41 40", b"a" * 262), answer("41 01"))
    with pytest.raises(CardGone):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")


@pytest.mark.parametrize("said", ["41 00", "41 00 90"])
def test_l08_an_answer_without_a_status_word(said: str) -> None:
    _, antenna = seen("spi", answer(said))
    with pytest.raises(CardGone, match="answer has"):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")


def test_l08_an_answer_in_the_middle_of_a_command() -> None:
    bench, antenna = seen("spi", answer("41 00 9000"))
    with pytest.raises(ReaderError, match="in the middle"):
        antenna.transmit(bytes(1000))
    assert len(bench.chip.commands) == 1


def test_l09_an_answer_that_does_not_end() -> None:
    bench, antenna = seen("spi", *[answer("41 40", b"a" * 262)] * 400)
    with pytest.raises(CardGone, match="does not end"):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")
    assert len(bench.chip.commands) == 65_538 // 262 + 1


def test_l09_an_answer_above_what_the_board_has_room_for() -> None:
    bench = Bench("spi", *SETUP, FIELD_ON, CARD, SELECTED, *[answer("41 40", b"a" * 262)] * 4)
    antenna = Pn532Contactless(bench.pn532, bench.clock, max_answer=600)
    antenna.look()
    with pytest.raises(CardGone, match="does not end"):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")


def test_l10_parts_of_no_bytes_for_ever() -> None:
    bench, antenna = seen("spi", *[answer("41 40")] * 400)
    with pytest.raises(CardGone, match="does not end"):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")
    assert len(bench.chip.commands) < 3


@pytest.mark.parametrize("kind", BUSES)
def test_l10_a_card_that_asks_for_time_for_ever(kind: str) -> None:
    """The chip grants it, and says nothing: the driver does not wait for ever."""
    bench, antenna = seen(kind, [ACK])
    began_ms = bench.clock.now_ms
    with pytest.raises(CardGone, match="longer than it may"):
        antenna.transmit(b"\x80\x32\x00\x00")
    assert MS <= bench.clock.now_ms - began_ms <= MS + 100
    assert bench.chip.heard[-1] == ACK, "the chip is told to stop"
    assert bench.chip.commands == [command("40 01 80320000")]
    assert not antenna.is_there()


def test_l10_one_byte_at_a_time_for_ever() -> None:
    """Each part is quick enough; all of them together are not."""
    bench, antenna = seen("spi", *[[ACK]] * 1000)
    said = answer("41 40 61")[1]

    def drip() -> None:
        if bench.clock.now_ms % 900 < 100:
            bench.chip.says.append(said)

    bench.link.on_wait = drip
    began_ms = bench.clock.now_ms
    with pytest.raises(CardGone, match="longer than it may"):
        antenna.transmit(b"\x00\xb0\x00\x00\x00")
    assert bench.clock.now_ms - began_ms <= MS + 100


# -- letting go --------------------------------------------------------------------------------


def test_release_takes_the_field_away() -> None:
    bench, antenna = seen("spi", FIELD_OFF, FIELD_ON, CARD, SELECTED)
    antenna.release()
    assert bench.chip.commands == [OFF]
    assert antenna.historical == b""
    assert not antenna.is_there()
    antenna.release()
    assert bench.chip.commands == [OFF], "once is enough"
    assert antenna.look()


def test_release_before_the_first_look_asks_nothing() -> None:
    bench = Bench("spi")
    Pn532Contactless(bench.pn532, bench.clock).release()
    assert bench.chip.heard == []


def test_release_of_a_chip_that_is_silent() -> None:
    bench, antenna = seen("spi")
    with pytest.raises(NotTaken):
        antenna.release()
    assert not antenna.is_there()
    bench.chip.script = [*SETUP, FIELD_ON, CARD, SELECTED]
    assert antenna.look()


def test_release_after_the_card_was_torn_away() -> None:
    bench, antenna = seen("spi", answer("41 01"), FIELD_OFF)
    with pytest.raises(CardGone):
        antenna.transmit(b"\x80\x32\x00\x00")
    antenna.release()
    assert bench.chip.commands[-1] == OFF
