# SPDX-License-Identifier: Apache-2.0
"""A PN532 that is a card: what reaches the application, and what the reader is answered."""

from __future__ import annotations

import pytest

from firmware.reader.pn532_errors import NotTaken
from firmware.reader.ports import ReaderError
from firmware.reader.target import CardTarget
from tests.reader.pn532_bench import BUSES, START, Bench, answer, command
from tests.reader.pn532_script import ACK

UID = b"\xa1\xa2\xa3"
SETUP = [*START, answer("13")]
ACTIVATED = answer("8d 08 e080")
SELECT = "00a4040007f0514c"
SENT = answer("8f 00")


class Echo:
    """Answers a command with its own bytes and 9000, or with what it is told to."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.says: bytes | None = None

    def process(self, raw: bytes) -> bytes:
        """An answer."""
        self.events.append(raw.hex() if len(raw) < 20 else f"{len(raw)} bytes")
        return self.says if self.says is not None else raw + b"\x90\x00"

    def reset(self) -> None:
        """A new reader, or none."""
        self.events.append("reset")


def activated(kind: str, *script: list[bytes]) -> tuple[Bench, CardTarget, Echo]:
    """A card that a reader has activated; then the script."""
    bench = Bench(kind, *SETUP, ACTIVATED, *script)
    application = Echo()
    target = CardTarget(bench.pn532, application, UID, b"\x80\x31")
    assert target.wait(1000)
    bench.chip.heard.clear()
    return bench, target, application


@pytest.mark.parametrize("kind", BUSES)
def test_a_reader_activates_asks_and_goes(kind: str) -> None:
    bench, target, application = activated(
        kind, answer("87 00" + SELECT), SENT, answer("87 00 80320000"), SENT, answer("87 29")
    )
    assert target.answer(1000)
    assert target.answer(1000)
    assert not target.answer(1000)
    assert application.events == ["reset", SELECT, "80320000", "reset"]
    assert bench.chip.commands == [
        command("86"),
        command("8e" + SELECT + "9000"),
        command("86"),
        command("8e 80320000 9000"),
        command("86"),
    ]


def test_what_the_chip_is_told_to_be() -> None:
    bench = Bench("spi", *SETUP, ACTIVATED)
    CardTarget(bench.pn532, Echo(), UID, b"\x80\x31").wait(1000)
    assert bench.chip.commands[2:] == [
        command("12 34"),
        command("8c 05 0400 a1a2a3 20" + "00" * 28 + "00 02 8031"),
    ]


@pytest.mark.parametrize("kind", BUSES)
def test_no_reader_comes(kind: str) -> None:
    bench = Bench(kind, *SETUP, [ACK])
    application = Echo()
    target = CardTarget(bench.pn532, application, UID)
    assert not target.wait(500)
    asked = len(bench.chip.heard)
    assert application.events == []
    bench.chip.says.append(ACTIVATED[1])  # between two waits
    assert target.wait(500)
    assert len(bench.chip.heard) == asked, "the chip was left waiting, and lost nothing"
    assert application.events == ["reset"]


def test_a_chip_that_died_while_no_reader_came_is_set_up_anew() -> None:
    bench = Bench("spi", *SETUP, [ACK], *SETUP, ACTIVATED)
    target = CardTarget(bench.pn532, Echo(), UID)
    waits = 1
    while not target.wait(500):
        waits += 1
        assert waits < 100
    assert waits == 21


def test_a_chip_that_takes_commands_and_answers_none_is_no_silence() -> None:
    """It would pass for a card that no reader comes to."""
    bench = Bench("spi", *[[ACK]] * 3)
    with pytest.raises(ReaderError):
        CardTarget(bench.pn532, Echo(), UID).wait(500)


def test_a_reader_of_another_kind_is_not_served() -> None:
    bench = Bench("spi", *SETUP, answer("8d 00 60"))
    application = Echo()
    assert not CardTarget(bench.pn532, application, UID).wait(500)
    assert application.events == []


def test_a_chip_that_is_silent_is_set_up_anew() -> None:
    bench = Bench("spi")
    target = CardTarget(bench.pn532, Echo(), UID)
    with pytest.raises(NotTaken):
        target.wait(500)
    bench.chip.script = [*SETUP, ACTIVATED]
    assert target.wait(500)


@pytest.mark.parametrize("status", [0x01, 0x02, 0x0A, 0x0B, 0x13, 0x25, 0x27, 0x29])
def test_the_reader_leaves_while_it_is_waited_for(status: int) -> None:
    _, target, application = activated("spi", answer(f"87 {status:02x}"))
    assert not target.answer(1000)
    assert application.events == ["reset", "reset"]


@pytest.mark.parametrize("status", [0x01, 0x25, 0x27, 0x29])
def test_the_reader_leaves_before_it_is_answered(status: int) -> None:
    """The command was carried out, and its answer is lost; that is the application's to know."""
    _, target, application = activated("spi", answer("87 00 80320000"), answer(f"8f {status:02x}"))
    assert not target.answer(1000)
    assert application.events == ["reset", "80320000", "reset"]


def test_the_chip_fails_in_the_middle() -> None:
    _, target, application = activated("spi", answer("87 0d"))
    with pytest.raises(ReaderError):
        target.answer(1000)
    assert application.events == ["reset", "reset"]


def test_a_reader_that_asks_nothing_for_a_while() -> None:
    bench, target, application = activated("spi", [ACK], answer("8f 00"))
    for _ in range(5):
        assert target.answer(500), "it is still there"
    assert application.events == ["reset"]
    bench.chip.says.append(answer("87 00 80320000")[1])  # between two of our waits
    assert target.answer(500)
    assert application.events == ["reset", "80320000"], "nothing is lost in between"
    assert bench.chip.commands[0] == command("86")
    assert ACK not in bench.chip.heard, "the chip was never told to stop listening"


@pytest.mark.parametrize("state", ["01", "81"])
def test_a_silent_reader_is_asked_for_now_and_then(state: str) -> None:
    """A chip that died would be as silent."""
    bench, target, application = activated("spi", [ACK], answer(f"8b {state} 00"), [ACK])
    for _ in range(30):
        assert target.answer(500)
    assert bench.chip.commands == [command("86"), command("8a"), command("86")]
    assert application.events == ["reset"]


def test_a_reader_that_went_without_a_word() -> None:
    _, target, application = activated("spi", [ACK], answer("8b 00 00"))
    turns = 1
    while target.answer(500):
        turns += 1
        assert turns < 100
    assert turns == 20
    assert application.events == ["reset", "reset"]


# -- chaining ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BUSES)
def test_l03_a_command_in_parts(kind: str) -> None:
    parts = [b"a" * 262, b"b" * 262, b"c"]
    script = []
    for part, status in zip(parts, ("40", "40", "00"), strict=True):
        said = answer(f"87 {status}", part)
        script.append(said)
        if kind == "i2c" and len(part) > 1:
            script.append(said[1:])
    bench, target, application = activated(kind, *script, SENT)
    application.says = b"\x90\x00"
    assert target.answer(1000)
    assert application.events == ["reset", "525 bytes"]
    assert bench.chip.commands[-1] == command("8e 9000")


@pytest.mark.parametrize("size", [1, 2, 258, 261, 262])
def test_l03_an_answer_that_one_command_carries(size: int) -> None:
    bench, target, application = activated("spi", answer("87 00 00b0000000"), SENT)
    application.says = bytes(size)
    assert target.answer(1000)
    assert bench.chip.commands[1:] == [command("8e", bytes(size))]


@pytest.mark.parametrize("size", [263, 524, 525, 1000])
def test_l03_an_answer_in_parts(size: int) -> None:
    parts = (size + 261) // 262
    bench, target, application = activated(
        "spi", answer("87 00 00b0000000"), *[answer("95 00")] * (parts - 1), SENT
    )
    application.says = bytes(index % 251 for index in range(size))
    assert target.answer(1000)
    sent = bench.chip.commands[1:]
    pieces = [application.says[start : start + 262] for start in range(0, size, 262)]
    metas = [command("94", piece) for piece in pieces[:-1]]
    assert sent == [*metas, command("8e", pieces[-1])]


def test_the_reader_leaves_between_two_parts_of_an_answer() -> None:
    bench, target, application = activated(
        "spi", answer("87 00 00b0000000"), answer("95 00"), answer("95 29")
    )
    application.says = bytes(1000)
    assert not target.answer(1000)
    assert len(bench.chip.commands) == 3


def test_the_reader_leaves_between_two_parts_of_a_command() -> None:
    """T05: half a command is none."""
    _, target, application = activated("spi", answer("87 40", b"a" * 262), answer("87 29"))
    assert not target.answer(1000)
    assert application.events == ["reset", "reset"]


def test_the_reader_is_silent_between_two_parts_of_a_command() -> None:
    _, target, application = activated("spi", answer("87 40", b"a" * 262), [ACK])
    assert not target.answer(1000)
    assert application.events == ["reset", "reset"]


def test_l09_a_command_above_what_the_board_has_room_for() -> None:
    """It is heard out, not kept, and answered."""
    bench = Bench(
        "spi", *SETUP, ACTIVATED, *[answer("87 40", b"a" * 262)] * 40, answer("87 00 61"), SENT
    )
    application = Echo()
    target = CardTarget(bench.pn532, application, UID, max_command=500)
    assert target.wait(1000)
    assert target.answer(1000)
    assert application.events == ["reset"]
    assert bench.chip.commands[-1] == command("8e 6700")


def test_l09_a_command_that_does_not_end() -> None:
    bench, target, application = activated("spi", *[answer("87 40 61")] * 5000)
    assert not target.answer(1000)
    assert application.events == ["reset", "reset"]
    assert len(bench.chip.commands) < 5000


def test_l10_parts_of_no_bytes_for_ever() -> None:
    bench, target, application = activated("spi", *[answer("87 40")] * 300)
    assert not target.answer(1000)
    assert application.events == ["reset", "reset"]
    assert len(bench.chip.commands) == 1
