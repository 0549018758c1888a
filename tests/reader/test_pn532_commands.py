# SPDX-License-Identifier: Apache-2.0
"""Each command's bytes as UM0701-02 gives them, and what is made of each answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.reader import pn532_errors
from firmware.reader.pn532 import PICC
from firmware.reader.pn532_errors import StatusError, check
from firmware.reader.pn532_initiator import Initiator
from firmware.reader.pn532_power import WAKE_BY_FIELD, WAKE_BY_HSU, power_down
from firmware.reader.pn532_target import Target
from firmware.reader.ports import CardGone, ReaderError
from tests.reader.pn532_bench import START, Bench, answer, command

CARD = "4b01 01 0004 20 04 01020304 09 7577810280318073"  # an ATS with four historical bytes


def bench(*answers: str) -> Bench:
    """A chip on SPI that gives these answers."""
    return Bench("spi", *[answer(text) for text in answers])


def rf(bench: Bench) -> Initiator:
    """The commands of a reader."""
    return Initiator(bench.link)


CHIP: dict[str, tuple[Callable[[Bench], object], str, str, object]] = {
    "GetFirmwareVersion": (
        lambda b: b.pn532.firmware(),
        "02",
        "03 32010607",
        bytes.fromhex("32010607"),
    ),
    "SetParameters": (lambda b: b.pn532.set_parameters(PICC), "12 20", "13", None),
    "RFConfiguration, field on": (lambda b: rf(b).field(True), "32 01 01", "33", None),
    "RFConfiguration, field off": (
        lambda b: rf(b).field(False),
        "32 01 00",
        "33",
        None,
    ),
    "RFConfiguration, timings": (
        lambda b: rf(b).timings(11, 10),
        "32 02 00 0b 0a",
        "33",
        None,
    ),
    "RFConfiguration, retries": (
        lambda b: rf(b).retries(1),
        "32 05 02 01 01",
        "33",
        None,
    ),
    "PowerDown": (
        lambda b: power_down(b.link, WAKE_BY_HSU | WAKE_BY_FIELD),
        "16 18",
        "17 00",
        None,
    ),
    "InDataExchange": (
        lambda b: Initiator(b.link).exchange(1, b"\x00\xa4\x04\x00", False, 100),
        "40 01 00a40400",
        "41 00 9000",
        (b"\x90\x00", False),
    ),
    "InDataExchange, more there": (
        lambda b: Initiator(b.link).exchange(1, b"\x00\xa4", True, 100),
        "40 41 00a4",
        "41 00",
        (b"", False),
    ),
    "InDataExchange, more back": (
        lambda b: Initiator(b.link).exchange(2, b"", False, 100),
        "40 02",
        "41 40 aabb",
        (b"\xaa\xbb", True),
    ),
    "InDeselect": (lambda b: Initiator(b.link).deselect(1), "44 01", "45 00", None),
    "InRelease": (lambda b: Initiator(b.link).release(), "52 00", "53 00", None),
    "InSelect": (lambda b: Initiator(b.link).select(2), "54 02", "55 00", None),
    "Diagnose, there": (lambda b: Initiator(b.link).is_present(100), "00 06", "01 00", True),
    "Diagnose, gone": (lambda b: Initiator(b.link).is_present(100), "00 06", "01 01", False),
    "TgInitAsTarget": (
        lambda b: Target(b.link).init(b"\xa1\xa2\xa3", b"\x80\x31", 100),
        "8c 05 0400 a1a2a3 20" + "00" * 28 + "00 02 8031",
        "8d 08 e080",
        True,
    ),
    "TgInitAsTarget, as something else": (
        lambda b: Target(b.link).init(b"\xa1\xa2\xa3", b"", 100),
        "8c 05 0400 a1a2a3 20" + "00" * 28 + "00 00",
        "8d 00 60",
        False,
    ),
    "TgGetData": (
        lambda b: Target(b.link).get_data(100),
        "86",
        "87 00 00a40400",
        (b"\x00\xa4\x04\x00", False),
    ),
    "TgGetData, more": (lambda b: Target(b.link).get_data(100), "86", "87 40 aa", (b"\xaa", True)),
    "TgSetData": (lambda b: Target(b.link).set_data(b"\x90\x00", False), "8e 9000", "8f 00", None),
    "TgSetMetaData": (lambda b: Target(b.link).set_data(b"\xaa", True), "94 aa", "95 00", None),
    "TgGetTargetStatus, activated": (
        lambda b: Target(b.link).is_activated(),
        "8a",
        "8b 81 00",
        True,
    ),
    "TgGetTargetStatus, released": (
        lambda b: Target(b.link).is_activated(),
        "8a",
        "8b 80 00",
        False,
    ),
    "TgGetTargetStatus, deselected": (
        lambda b: Target(b.link).is_activated(),
        "8a",
        "8b 82 00",
        False,
    ),
}


@pytest.mark.parametrize("name", CHIP)
def test_a_command_and_its_answer(name: str) -> None:
    call, sent, said, made = CHIP[name]
    chip = bench(said)
    assert call(chip) == made
    assert chip.chip.commands == [command(sent)]


@pytest.mark.parametrize("name", CHIP)
def test_l08_an_answer_without_its_bytes(name: str) -> None:
    """Only the response code: each that needs more says so."""
    call, _, said, _ = CHIP[name]
    chip = bench(said[:2])
    if said.split()[1:]:
        with pytest.raises(ReaderError):
            call(chip)
    else:
        call(chip)


def test_sam_configuration_comes_first() -> None:
    chip = Bench("spi", *START)
    chip.pn532.begin()
    assert chip.chip.commands == [command("14 01 00 01"), command("02")]


def test_another_chip_is_no_pn532() -> None:
    chip = bench("15", "03 33010607")
    with pytest.raises(ReaderError, match="33010607"):
        chip.pn532.begin()


# -- the list of cards -------------------------------------------------------------------------


def test_a_card_that_is_listed() -> None:
    chip = bench(CARD)
    count, cards = Initiator(chip.link).list_cards()
    assert chip.chip.commands == [command("4a 02 00")]
    assert count == 1
    card = cards[0]
    assert (card.number, card.uid.hex(), card.is_iso_dep) == (1, "01020304", True)
    assert card.historical.hex() == "80318073"


@pytest.mark.parametrize(
    ("ats", "historical"),
    [
        ("01", ""),
        ("0200", ""),
        ("0480aabb", "aabb"),
        ("0305aa", "aa"),
        ("0415 11 aa", "aa"),
        ("0427 22 aa", "aa"),
        ("0447 33 aa", "aa"),
        ("06 75 11 22 33 aa", "aa"),
        ("05 75 11 22 33", ""),
        ("03 75 11", ""),
    ],
)
def test_historical_bytes_are_behind_the_interface_bytes(ats: str, historical: str) -> None:
    chip = bench("4b01 01 0004 20 04 01020304" + ats)
    _, cards = Initiator(chip.link).list_cards()
    assert cards[0].historical.hex() == historical


def test_l05_of_two_cards_only_the_number_is_told() -> None:
    chip = bench("4b02" + 2 * "01 0004 20 04 01020304 05 75778102")
    assert Initiator(chip.link).list_cards() == (2, [])


def test_a_card_without_iso_dep() -> None:
    chip = bench("4b01 01 0044 00 07 04010203040506")
    _, cards = Initiator(chip.link).list_cards()
    assert not cards[0].is_iso_dep
    assert cards[0].historical == b""


def test_l09_a_card_that_has_an_ats_and_says_that_it_has_none() -> None:
    chip = bench("4b01 01 0044 00 07 04010203040506 05 75778102")
    _, cards = Initiator(chip.link).list_cards()
    assert not cards[0].is_iso_dep


@pytest.mark.parametrize("size", range(len(bytes.fromhex(CARD)) - 1))
def test_l09_a_list_that_ends_too_early(size: int) -> None:
    """Wherever it is cut: either an error, or a card without ATS, which is not taken."""
    chip = bench(bytes.fromhex(CARD)[: 1 + size].hex())
    try:
        count, cards = Initiator(chip.link).list_cards()
    except ReaderError:
        return
    assert count == 1
    assert not cards[0].is_iso_dep


@pytest.mark.parametrize(
    "text",
    [
        "4b03",
        "4bff",
        "4b01 00 0004 20 04 01020304",
        "4b01 03 0004 20 04 01020304",
        "4b01 01 0004 20 ff 01020304",
        "4b01 01 0004 20 04 01020304 08 75778102 80318073",
        "4b01 01 0004 20 04 01020304 0a 75778102 80318073",
        "4b01 01 0004 20 04 01020304 00",
    ],
)
def test_l09_a_list_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ReaderError, match="makes no sense"):
        Initiator(bench(text).link).list_cards()


# -- status bytes ------------------------------------------------------------------------------

GONE = (1, 2, 3, 4, 5, 6, 7, 9, 0x0A, 0x0B, 0x13, 0x23, 0x25, 0x29, 0x2A, 0x2B)
CHIP_S = (0x0D, 0x0E, 0x10, 0x12, 0x14, 0x26, 0x27, 0x2C, 0x2D, 0x2E)


@pytest.mark.parametrize("status", GONE)
def test_the_card_is_gone(status: int) -> None:
    for flags in (0, 0x40, 0x80, 0xC0):
        with pytest.raises(CardGone, match=f"status {status:02X}"):
            check(status | flags)


@pytest.mark.parametrize("status", CHIP_S)
def test_the_chip_is_at_fault(status: int) -> None:
    with pytest.raises(StatusError, match=f"status {status:02X}"):
        check(status)


def test_every_status_is_one_or_the_other() -> None:
    """L08: no status but 0 passes."""
    for status in range(256):
        if not status & 0x3F:
            check(status)
        else:
            with pytest.raises((CardGone, StatusError)):
                check(status)


def test_out_of_context_is_the_reader_s_leaving_where_a_chip_is_a_card() -> None:
    with pytest.raises(CardGone, match="status 27"):
        check(0x27, context_is_card=True)
    assert pn532_errors.OUT_OF_CONTEXT == 0x27


def test_nothing_is_sent_that_no_exchange_carries() -> None:
    chip = bench()
    with pytest.raises(ValueError, match="262"):
        Initiator(chip.link).exchange(1, bytes(263), False, 100)
    with pytest.raises(ValueError, match="262"):
        Target(chip.link).set_data(bytes(263), False)
    with pytest.raises(ValueError, match="3 bytes"):
        Target(chip.link).init(bytes(4), b"", 100)
    with pytest.raises(ValueError, match="at most 15"):
        Target(chip.link).init(bytes(3), bytes(16), 100)
    assert chip.chip.heard == []
