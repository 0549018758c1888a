# SPDX-License-Identifier: Apache-2.0
"""Commands and answers over each bus: L01 and L04, a command is sent once whatever is lost."""

from __future__ import annotations

import itertools

import pytest

from firmware.reader.pn532_errors import CommandRefused, FrameDefect, NotTaken, TooLate
from tests.reader.pn532_bench import (
    BUSES,
    FIRMWARE_VERSION,
    GET_FIRMWARE_VERSION,
    SAM_CONFIGURED,
    Bench,
    answer,
    command,
    framed,
)
from tests.reader.pn532_script import ACK, NAK

VERSION = bytes.fromhex("32010607")
LONG = framed(b"\xd5\x41\x00" + bytes(range(250)))
# Each is the answer to GetFirmwareVersion with one thing wrong.
DEFECTS = {
    "start code wrong": "0000fe06fad50332010607e800",
    "length wrong": "0000ff07fad50332010607e800",
    "length checksum wrong": "0000ff06fbd50332010607e800",
    "length zero": "0000ff0000d50332010607e800",
    "length too short": "0000ff05fbd50332010607e800",
    "longer than a frame can be": "0000ffffff0401fbd50332010607e800",
    "extended length checksum wrong": "0000ffffff0006f9d50332010607e800",
    "identifier of the host": "0000ff06fad40332010607e900",
    "identifier unknown": "0000ff06fad00332010607ed00",
    "data flipped": "0000ff06fad50333010607e800",
    "data checksum wrong": "0000ff06fad50332010607e700",
    "response code wrong": "0000ff06fad50532010607e600",
    "response code missing": "0000ff01ffd52b00",
    "truncated in the header": "0000ff06",
    "truncated in the data": "0000ff06fad50332",
    "truncated before the checksum": "0000ff06fad50332010607",
    "garbage": "1122334455667788",
    "garbage with a start code": "1100ff334455667788",
}


@pytest.fixture(params=BUSES)
def kind(request: pytest.FixtureRequest) -> str:
    """One of the buses."""
    return str(request.param)


BEFORE = [
    ACK,
    SAM_CONFIGURED,
]  # a command that went well, so that noise can be told from an answer


def begun(kind: str, *script: list[bytes]) -> Bench:
    """A chip that has answered one command; then the script."""
    bench = Bench(kind, BEFORE, *script)
    bench.link.run(0x14, b"\x01\x00\x01", 100)
    bench.chip.heard.clear()
    return bench


def asked(bench: Bench) -> bytes:
    """The firmware's version, through the link alone."""
    return bench.link.run(0x02, b"", 100)


# -- as it should be ---------------------------------------------------------------------------


def test_a_command_its_acknowledgement_and_its_answer(kind: str) -> None:
    bench = Bench(kind, [ACK, FIRMWARE_VERSION])
    assert asked(bench) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION]


def test_two_frames_at_once(kind: str) -> None:
    """L01: the acknowledgement and the answer are there together, or in one go on a line."""
    said = [ACK + FIRMWARE_VERSION] if kind == "hsu" else [ACK, FIRMWARE_VERSION]
    bench = Bench(kind, said, said)
    assert asked(bench) == VERSION
    assert asked(bench) == VERSION
    assert bench.chip.heard[1:] == [GET_FIRMWARE_VERSION, GET_FIRMWARE_VERSION]


@pytest.mark.parametrize("size", [0, 1, 9, 63, 64, 65, 80, 251, 252, 253, 254, 262])
def test_answers_of_every_length(kind: str, size: int) -> None:
    bench = Bench(kind, answer("4100", bytes(range(256)) * 2)[:1], [])
    data = bytes(index & 0xFF for index in range(size))
    said = framed(b"\xd5\x41\x00" + data)
    bench = Bench(kind, [ACK, said], [said])
    assert bench.link.run(0x40, b"\x01", 100) == b"\x00" + data
    again = bench.chip.commands[1:]
    assert again in ([], [NAK] if kind == "i2c" and size > 13 else [])


@pytest.mark.parametrize("size", [0, 252, 253, 254, 255, 262, 263])
def test_commands_of_every_length(kind: str, size: int) -> None:
    bench = Bench(kind, answer("4100"))
    bench.link.run(0x40, bytes(size), 100)
    assert bench.chip.commands == [command("40", bytes(size))]


def test_a_command_that_no_frame_carries_is_not_sent(kind: str) -> None:
    bench = Bench(kind)
    with pytest.raises(ValueError, match="1 to 265 bytes"):
        bench.link.run(0x40, bytes(264), 100)
    assert bench.chip.heard == []


# -- answers that are broken -------------------------------------------------------------------


@pytest.mark.parametrize("defect", DEFECTS)
def test_l01_broken_once(kind: str, defect: str) -> None:
    """The answer is asked for again; the command is not sent again."""
    bench = begun(kind, [ACK, bytes.fromhex(DEFECTS[defect])], [FIRMWARE_VERSION])
    assert asked(bench) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION, NAK]


@pytest.mark.parametrize("defect", DEFECTS)
def test_l01_broken_always(kind: str, defect: str) -> None:
    """Three times it is asked for, and then given up."""
    broken = bytes.fromhex(DEFECTS[defect])
    bench = begun(kind, [ACK, broken], [broken], [broken], [broken], [ACK, FIRMWARE_VERSION])
    with pytest.raises(FrameDefect):
        asked(bench)
    assert bench.chip.commands == [GET_FIRMWARE_VERSION, NAK, NAK, NAK]
    assert asked(bench) == VERSION, "and the next command has a chip that listens"
    assert bench.chip.heard[-2:] == [ACK, GET_FIRMWARE_VERSION]


def test_l01_a_long_answer_that_is_broken(kind: str) -> None:
    """What is left of it on the line is not taken for the next frame."""
    broken = bytearray(LONG)
    broken[100] ^= 1
    bench = Bench(kind, [ACK, bytes(broken)], [LONG], [LONG])
    assert bench.link.run(0x40, b"\x01", 100)[1:] == bytes(range(250))
    assert set(bench.chip.commands[1:]) == {NAK}


def test_l01_a_wrong_length_leaves_data_on_the_line(kind: str) -> None:
    """The rest of the answer holds what looks like a whole answer itself."""
    inner = FIRMWARE_VERSION.replace(VERSION, b"\x32\x01\x06\x06").replace(b"\xe8", b"\xe9")
    broken = bytes.fromhex("0000ff05fbd5033201060000") + inner
    bench = begun(kind, [ACK, broken], [FIRMWARE_VERSION])
    assert asked(bench) == VERSION


def test_l04_the_nak_is_lost(kind: str) -> None:
    bench = begun(kind, [ACK, b"\x11" * 8], [], [FIRMWARE_VERSION])
    assert asked(bench) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION, NAK, NAK]


def test_l04_the_nak_is_lost_of_a_command_that_may_take_long(kind: str) -> None:
    """It is not waited for as long as the command may take, but asked for again."""
    bench = begun(kind, [ACK, b"\x11" * 8], [], [FIRMWARE_VERSION])
    assert bench.link.run(0x02, b"", 10_000) == VERSION
    assert bench.clock.now_ms < 500


def test_l04_the_answer_does_not_come_again(kind: str) -> None:
    bench = begun(kind, [ACK, b"\x11" * 8])
    with pytest.raises(FrameDefect, match="command 02"):
        asked(bench)
    assert bench.chip.commands == [GET_FIRMWARE_VERSION, NAK, NAK, NAK]
    assert bench.clock.now_ms < 1000


def test_l01_error_frame(kind: str) -> None:
    """The chip does not know the command: it is not asked again, and has done nothing."""
    bench = Bench(kind, [ACK, bytes.fromhex("0000ff01ff7f8100")], [ACK, FIRMWARE_VERSION])
    with pytest.raises(CommandRefused, match="command 02"):
        asked(bench)
    assert asked(bench) == VERSION
    assert bench.chip.commands == [GET_FIRMWARE_VERSION] * 2


def test_l01_the_answer_is_a_nak(kind: str) -> None:
    """Which the manual gives to the host alone."""
    bench = Bench(kind, [ACK, NAK, FIRMWARE_VERSION])
    assert asked(bench) == VERSION


def test_l01_nothing_but_acknowledgements(kind: str) -> None:
    bench = Bench(kind, [ACK] * 100)
    with pytest.raises(TooLate):
        asked(bench)


# -- noise ------------------------------------------------------------------------------------

NOISE = b"\x11" * 8
OLD, NEW = answer("4100", b"old")[1], answer("4100", b"new")[1]


def exchanged(bench: Bench) -> bytes:
    """What a card answers, through the link alone."""
    return bench.link.run(0x40, b"\x01", 300)


def test_l04_after_noise_the_answer_before_is_not_taken_for_this_one(kind: str) -> None:
    """A chip that is still at work, and gives its last answer to a NAK: an earlier APDU's."""
    bench = begun(kind, [ACK, OLD], [ACK, NOISE], [OLD])
    assert exchanged(bench) == b"\x00old"
    with pytest.raises(FrameDefect, match="told from noise"):
        exchanged(bench)


def test_l04_after_noise_a_new_answer_is_taken(kind: str) -> None:
    bench = begun(kind, [ACK, OLD], [ACK, NOISE], [NEW])
    assert exchanged(bench) == b"\x00old"
    assert exchanged(bench) == b"\x00new"


def test_l04_after_noise_an_answer_that_was_never_heard_is_not_taken(kind: str) -> None:
    """The chip's last answer may be one that was given up: then any might be it."""
    broken = OLD[:-2] + b"\x00\x00"
    bench = begun(kind, [ACK, broken], [broken], [broken], [broken], [ACK, NOISE], [OLD])
    with pytest.raises(FrameDefect):
        exchanged(bench)
    with pytest.raises(FrameDefect, match="told from noise"):
        exchanged(bench)


def test_l04_the_same_answer_twice_is_taken_if_it_was_one(kind: str) -> None:
    """Its header was whole: it was this command's answer, and NAK brings no other."""
    broken = OLD[:-2] + b"\x00\x00"
    bench = begun(kind, [ACK, OLD], [ACK, broken], [OLD])
    assert exchanged(bench) == b"\x00old"
    assert exchanged(bench) == b"\x00old"


def test_l04_the_same_answer_twice_is_taken_if_it_was_cut() -> None:
    bench = begun("hsu", [ACK, OLD], [ACK, OLD[:-4]], [OLD])
    assert exchanged(bench) == b"\x00old"
    assert exchanged(bench) == b"\x00old"


# -- acknowledgements --------------------------------------------------------------------------


def test_l01_acknowledgement_missing(kind: str) -> None:
    """Nobody knows whether the command was taken: it is not sent again."""
    bench = Bench(kind)
    with pytest.raises(NotTaken):
        asked(bench)
    assert bench.chip.commands == [GET_FIRMWARE_VERSION]
    assert bench.clock.now_ms < 500


def test_l01_answer_without_an_acknowledgement(kind: str) -> None:
    """It may be an earlier command's: it is not taken."""
    bench = Bench(kind, [FIRMWARE_VERSION], [ACK, FIRMWARE_VERSION])
    with pytest.raises((NotTaken, TooLate)):
        asked(bench)
    assert asked(bench) == VERSION


def test_l01_nak_for_an_acknowledgement(kind: str) -> None:
    bench = Bench(kind, [NAK])
    with pytest.raises(NotTaken):
        asked(bench)
    assert bench.chip.commands == [GET_FIRMWARE_VERSION]


@pytest.mark.parametrize("broken", ["0000ff01ff00", "0000fe00ff00", "0000ff00fe00"])
def test_l01_acknowledgement_broken(kind: str, broken: str) -> None:
    """Something came where it should have: the answer tells that the command was taken."""
    bench = begun(kind, [bytes.fromhex(broken), FIRMWARE_VERSION], [FIRMWARE_VERSION])
    assert asked(bench) == VERSION
    assert bench.chip.commands[0] == GET_FIRMWARE_VERSION
    assert GET_FIRMWARE_VERSION not in bench.chip.commands[1:]


def test_l04_a_late_answer_is_not_the_next_command_s(kind: str) -> None:
    """The same command twice: what was given up comes late, in front of the acknowledgement."""
    late = answer("4100", b"old")[1]
    bench = Bench(kind, [ACK], [late, *answer("4100", b"new")])
    with pytest.raises(TooLate):
        bench.link.run(0x40, b"\x01", 300)
    assert bench.link.run(0x40, b"\x01", 300) == b"\x00new"


def test_l04_what_the_chip_still_says_is_thrown_away(kind: str) -> None:
    bench = Bench(kind, [ACK], [ACK, FIRMWARE_VERSION])
    with pytest.raises(TooLate):
        bench.link.run(0x40, b"\x01", 300)
    assert bench.chip.heard[-1] == ACK, "it was told to stop"
    bench.chip.says.append(answer("4100", b"old")[1])
    assert asked(bench) == VERSION


# -- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_ms", [1, 50, 100, 350, 2000])
def test_a_chip_that_never_answers_is_waited_for_as_long_as_was_said(
    kind: str, max_ms: int
) -> None:
    bench = Bench(kind, [ACK])
    bench.link.wake()
    began_ms = bench.clock.now_ms
    with pytest.raises(TooLate):
        bench.link.run(0x40, b"\x01", max_ms)
    assert max_ms <= bench.clock.now_ms - began_ms <= max_ms + 60


def test_who_else_waits_is_told(kind: str) -> None:
    bench = Bench(kind, [ACK])
    told: list[int] = []

    def tell() -> None:
        told.append(bench.clock.now_ms)
        if len(told) == 7:
            bench.chip.says.append(answer("4100", b"done")[1])

    bench.link.on_wait = tell
    assert bench.link.run(0x40, b"\x01", 5000) == b"\x00done"
    assert len(told) == 7
    assert all(80 <= later - sooner <= 120 for sooner, later in itertools.pairwise(told))


def test_l06_a_chip_that_was_unplugged_is_silent(kind: str) -> None:
    bench = Bench(kind, [ACK, FIRMWARE_VERSION], [ACK, FIRMWARE_VERSION])
    asked(bench)
    bench.chip.is_deaf = True
    for _ in range(3):
        with pytest.raises(NotTaken):
            asked(bench)
    bench.chip.is_deaf = False
    assert asked(bench) == VERSION
