# SPDX-License-Identifier: Apache-2.0
"""The reader's loop: echo, notice, answer, in this order; no byte that nobody waits for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boards.VIRTUAL.board import BoardError
from boards.VIRTUAL.reader import VirtualReader
from firmware.apps.reader import Reader
from firmware.reader import gempc, signals
from firmware.reader.ccid import FIRMWARE
from firmware.reader.line import Line
from firmware.reader.signals import Signals
from tests.doubles.handed_antenna import PlainAntenna, PlainClock
from tests.doubles.twin_host import (
    ESCAPE,
    POWER_ON,
    SLOT_STATUS,
    TRANSFER,
    Refused,
    TwinHost,
    frame,
    message,
)

OK = b"\x90\x00"
SELECT = b"\x00\xa4\x04\x00\x07\xf0QALTA\x01"
STATUS = message(SLOT_STATUS, sequence=1)
NOTICES_ON = message(ESCAPE, b"\x01\x01\x01")
ABSENT_ANSWER = bytes.fromhex("81000000000001020000")
Event = bytes | int | Callable[[], None]


class ScriptedLine(Line):
    """A line that plays a script: bytes come, milliseconds pass, or something happens."""

    def __init__(self, clock: PlainClock) -> None:
        self.clock = clock
        self.script: list[Event] = []
        self.written: list[bytes] = []
        self.waits: list[int] = []

    def read(self, wait_ms: int) -> memoryview | None:
        self.waits.append(wait_ms)
        while self.script and callable(self.script[0]):
            self.script.pop(0)()  # type: ignore[operator]
        if not self.script:
            return None
        event = self.script[0]
        if isinstance(event, bytes):
            self.script.pop(0)
            return memoryview(event)
        assert isinstance(event, int)
        passed_ms = min(wait_ms, event)
        self.clock.now_ms += passed_ms
        self.script[0] = event - passed_ms
        if not self.script[0]:
            self.script.pop(0)
        return memoryview(b"")

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Stage:
    """A reader whose line plays scripts."""

    def __init__(self) -> None:
        self.clock = PlainClock()
        self.line = ScriptedLine(self.clock)
        self.antenna = PlainAntenna()
        self.shown = Signals(None, None, self.clock)
        self.reader = Reader(self.line, self.antenna, self.shown, self.clock)

    def play(self, *events: Event) -> list[bytes]:
        """What the reader wrote meanwhile; each write one item."""
        self.line.script = list(events)
        self.line.written = []
        self.reader.serve()
        return self.line.written

    def with_card(self, card: Callable[[bytes], bytes]) -> Stage:
        """A card that has power."""
        self.antenna.cards = [card]
        self.play(500, frame(message(POWER_ON)))
        return self


def answers(written: list[bytes]) -> list[bytes]:
    """The CCID messages among what was written, echoes too."""
    return [data[2:-1] for data in written if data[:2] == b"\x03\x06"]


def test_the_echo_comes_first() -> None:
    stage = Stage()
    assert stage.play(frame(STATUS)) == [frame(STATUS), frame(ABSENT_ANSWER)]


def test_the_echo_is_out_before_the_card_works() -> None:
    """On a UART it travels meanwhile."""
    stage = Stage()
    seen: list[list[bytes]] = []

    def card(command: bytes) -> bytes:
        seen.append(list(stage.line.written))
        return OK

    stage.with_card(card)
    asked = frame(message(TRANSFER, SELECT))
    stage.play(asked)
    assert seen == [[asked]]


def test_notices_stand_between_echo_and_answer() -> None:
    stage = Stage()
    stage.play(500, frame(NOTICES_ON))
    stage.antenna.cards = [lambda command: OK]
    came = stage.play(500, frame(STATUS), 1, frame(STATUS))
    assert [data[:2] for data in came] == [b"\x03\x06", gempc.CARD_CAME, b"\x03\x06", b"\x03\x06"]
    stage.antenna.cards.clear()
    left = stage.play(500, frame(STATUS))
    assert left[1] == gempc.CARD_LEFT + frame(ABSENT_ANSWER)


def test_no_notice_before_it_was_asked_for() -> None:
    """Nor at any time of its own: it would wait on the line for whoever opens the port."""
    stage = Stage()
    stage.antenna.cards = [lambda command: OK]
    assert stage.play(1000) == []
    assert len(stage.play(frame(STATUS))) == 2
    assert all(data[:1] != b"\x50" for data in stage.play(frame(STATUS)))


def test_a_silence_after_half_a_command_is_answered_with_nak() -> None:
    """L06. So libccid fails at once, and not after 23 s."""
    stage = Stage()
    half = frame(message(TRANSFER, SELECT))[:-3]
    assert stage.play(half, 1000) == [gempc.NAK], "once"
    assert stage.play(frame(STATUS)) == [frame(STATUS), frame(ABSENT_ANSWER)]


def test_a_wrong_checksum_is_answered_with_nak() -> None:
    stage = Stage()
    assert stage.play(frame(STATUS)[:-1] + b"\x00", 1000) == [gempc.NAK]


@pytest.mark.parametrize("garbage", [b"\x00", b"AT\r\n", b"\x03\x06", b"\xff" * 500, b"\x03" * 9])
def test_garbage_is_answered_with_nothing(garbage: bytes) -> None:
    """L06."""
    stage = Stage()
    assert stage.play(garbage, 1000) == []
    assert stage.play(garbage + frame(STATUS))[-1] == frame(ABSENT_ANSWER)


def test_slow_bytes_are_no_silence() -> None:
    """L10."""
    stage = Stage()
    slowly: list[Event] = []
    for byte in frame(STATUS):
        slowly += [bytes([byte]), 30]
    assert stage.play(*slowly) == [frame(STATUS), frame(ABSENT_ANSWER)]


def test_the_card_is_looked_after_in_silence_alone() -> None:
    """libccid opens a reader with commands of which two are answered within 100 ms, or never."""
    stage = Stage()
    stage.play(100)
    looks = stage.antenna.looks
    assert looks
    events: list[Event] = []
    for _ in range(20):
        events += [frame(STATUS), 40]
    stage.play(*events)
    assert stage.antenna.looks == looks
    stage.play(500)
    assert stage.antenna.looks > looks


def test_a_computer_that_never_rests_sees_the_card_come() -> None:
    stage = Stage()
    stage.play(100)
    stage.antenna.cards = [lambda command: OK]
    events: list[Event] = []
    for _ in range(60):
        events += [frame(STATUS), 20]
    assert answers(stage.play(*events))[-1][7] == 1


def test_no_wait_is_long() -> None:
    """The lamp is seen to, and a card looked for, while the line is silent."""
    stage = Stage()
    stage.play(3000)
    assert max(stage.line.waits) <= 50
    assert stage.antenna.looks >= 10


def test_an_answer_nobody_waits_for_is_not_sent() -> None:
    """It would be taken for the next command's: libccid looks at no sequence number."""
    stage = Stage()
    newer = message(SLOT_STATUS, sequence=9)

    def slow_card(command: bytes) -> bytes:
        stage.line.script.append(frame(newer))
        return OK

    stage.with_card(slow_card)
    asked = message(TRANSFER, SELECT, sequence=8)
    sequences = [text[6] for text in answers(stage.play(frame(asked)))]
    assert sequences == [8, 9, 9], "an echo; then the newer command's echo and answer"
    assert stage.antenna.sent == [SELECT]


def test_noise_while_the_card_works_costs_no_answer() -> None:
    stage = Stage()

    def noisy_card(command: bytes) -> bytes:
        stage.line.script += [b"\x03\x06\x65", 500]
        return OK

    stage.with_card(noisy_card)
    asked = message(TRANSFER, SELECT, sequence=8)
    assert [text[6] for text in answers(stage.play(frame(asked)))] == [8, 8]


def test_time_is_asked_for_while_the_card_works() -> None:
    stage = Stage()

    def slow_card(command: bytes) -> bytes:
        for _ in range(100):
            stage.clock.now_ms += 45
            stage.line.script.insert(0, lambda: None)
            stage.reader.ask_for_time()
        return OK

    stage.with_card(slow_card)
    written = stage.play(frame(message(TRANSFER, SELECT)), 10)
    assert written[1:-1] == 4 * [gempc.MORE_TIME]
    assert written[-1][2] == 0x80


def test_time_is_not_asked_for_when_nobody_waits() -> None:
    """The antenna may take long for a look, too."""
    stage = Stage()

    def slow_look() -> bool:
        for _ in range(50):
            stage.clock.now_ms += 100
            stage.reader.ask_for_time()
        return False

    stage.antenna.look = slow_look  # type: ignore[method-assign]
    assert stage.play(1000) == []


def test_who_asks_in_a_long_look_is_asked_to_wait() -> None:
    stage = Stage()

    def slow_look() -> bool:
        stage.antenna.look = lambda: False  # type: ignore[method-assign]
        stage.line.script.insert(0, frame(STATUS))
        for _ in range(25):
            stage.clock.now_ms += 100
            stage.line.script.insert(1, 1)
            stage.reader.ask_for_time()
        return False

    stage.antenna.look = slow_look  # type: ignore[method-assign]
    written = stage.play(100)
    assert set(written[:-2]) == {gempc.MORE_TIME}
    assert written[-2:] == [frame(STATUS), frame(ABSENT_ANSWER)]


def test_a_chip_that_fails_leaves_the_line_served() -> None:
    stage = Stage()
    stage.antenna.fails = True
    stage.antenna.cards = [lambda command: OK]
    assert answers(stage.play(2000, frame(STATUS)))[-1] == ABSENT_ANSWER
    assert stage.shown.state == signals.ERROR
    stage.antenna.fails = False
    assert answers(stage.play(1000, frame(STATUS)))[-1][7] == 1, "it came back by itself"


def test_a_full_memory_does_not_end_the_reader() -> None:
    """A board that is reset says so on the line, and libccid takes it for answers."""
    stage = Stage().with_card(lambda command: OK)
    looks = stage.antenna.looks

    def no_room() -> bool:
        del stage.antenna.is_there  # type: ignore[method-assign]
        raise MemoryError

    stage.antenna.is_there = no_room  # type: ignore[method-assign]
    assert answers(stage.play(500, frame(STATUS)))[-1] == ABSENT_ANSWER, "its session is over"
    assert answers(stage.play(1000, frame(STATUS)))[-1][7] == 1
    assert stage.antenna.looks > looks


def test_a_line_that_was_silent_for_weeks_is_silent() -> None:
    """MicroPython's ticks_diff turns negative after six days; cards are still looked for."""
    stage = Stage()
    stage.play(500)
    looks = stage.antenna.looks
    real = stage.clock.ticks_diff
    heard_ms = stage.reader._heard_ms

    def wrapped(end_ms: int, start_ms: int) -> int:
        return -1000 if start_ms == heard_ms else real(end_ms, start_ms)

    stage.clock.ticks_diff = wrapped  # type: ignore[method-assign]
    stage.play(500)
    assert stage.antenna.looks >= looks + 4


# -- the line itself ---------------------------------------------------------------------------


def test_a_write_goes_on_until_all_is_taken() -> None:
    """An open file that waits for nothing takes as much as there is room for."""
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    data = os.urandom(1 << 18)
    taken = bytearray()

    def drain() -> None:
        while len(taken) < len(data):
            taken.extend(os.read(source, 4096))

    thread = threading.Thread(target=drain)
    with open(source, "rb", buffering=0) as near, open(sink, "wb", buffering=0) as far:
        thread.start()
        Line(near, far).write(data)
        thread.join(20)
    assert bytes(taken) == data


def test_a_line_whose_other_side_is_gone_has_ended() -> None:
    """A pseudo-terminal says so by an error, a pipe by no bytes."""
    master, slave = os.openpty()
    with open(master, "r+b", buffering=0) as near:
        line = Line(near, near)
        nothing = line.read(0)
        assert nothing is not None and not nothing
        os.close(slave)
        assert line.read(20) is None
    source, sink = os.pipe()
    with open(source, "rb", buffering=0) as near, open(os.devnull, "wb", buffering=0) as far:
        line = Line(near, far)
        os.close(sink)
        assert line.read(20) is None


# -- the program under MicroPython, on a pseudo-terminal ----------------------------------------

BOOT = """
import sys, time
sys.path.insert(0, {root!r})
from firmware.apps.reader import Reader
from firmware.reader.line import Line
from firmware.reader.signals import Signals
from tests.doubles.handed_antenna import PlainAntenna

def card(command):
    if command[1] == 0x01:
        for _ in range(23):
            time.sleep_ms(50)
            reader.ask_for_time()
    if command[1] == 0x02:
        antenna.fails = True
    if command[1] == 0x03:
        raise MemoryError
    return command + b"\\x90\\x00"

antenna = PlainAntenna()
antenna.cards = [card]
line = Line(sys.stdin.buffer, sys.stdout.buffer, {whole_reads})
reader = Reader(line, antenna, Signals(None, None, time), time)
reader.serve()
"""


@pytest.fixture(params=[64, 32])
def bits(request: pytest.FixtureRequest) -> int:
    """Each kind of interpreter in turn."""
    request.getfixturevalue("micropython" if request.param == 64 else "micropython32")
    return int(request.param)


@pytest.fixture(params=[False, True], ids=["reads what is there", "reads single bytes"])
def host(
    bits: int, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[TwinHost]:
    """A computer on the line of a reader with a card."""
    boot = tmp_path / "boot.py"
    boot.write_text(BOOT.format(root=str(root), whole_reads=request.param))
    _, chip = os.openpty()
    log = tmp_path / "log"
    with VirtualReader(os.ttyname(chip), bits=bits, log=log, boot=boot) as reader:
        descriptor = os.open(reader.port, os.O_RDWR | os.O_NOCTTY)
        host = TwinHost(descriptor, timeout_s=20)
        wait_for_card(host)
        yield host
        os.close(descriptor)
    print(log.read_text())


def wait_for_state(host: TwinHost, *states: int) -> None:
    """Until the reader says that its slot is in one of these; fails after 200 askings."""
    for _ in range(200):
        if host.command(SLOT_STATUS)[7] in states:
            return
        assert host.is_quiet(0.1)
    raise AssertionError("the reader never says so")


def wait_for_card(host: TwinHost) -> None:
    """Until the reader has seen its card, and given it power."""
    wait_for_state(host, 0, 1)
    assert host.command(POWER_ON)[10:] == b"\x3b\x85\x40\x01plain"


def test_micropython_serves_a_computer(host: TwinHost) -> None:
    """L03, and everything that libccid asks when it opens a reader."""
    assert host.command(ESCAPE, b"\x02")[10:] == FIRMWARE
    assert host.command(ESCAPE, b"\x01\x01\x01")[7] & 0x40 == 0
    for size in (0, 1, 24, 250, 255):
        apdu = b"\x80\x32\x00\x00" + (bytes([size]) + bytes(size) if size else b"")
        answer = host.command(TRANSFER, apdu)[10:]
        assert answer == bytes([0x61, len(apdu) & 0xFF if len(apdu) < 256 else 0])
        fetched = host.command(TRANSFER, b"\x00\xc0\x00\x00\x00")[10:]
        assert fetched == (apdu + OK if len(apdu) <= 256 else apdu[:256] + b"\x61\x04")
    assert len(host.skipped) == 1, "one notice, that the card came"


def test_micropython_finds_its_way_back(host: TwinHost) -> None:
    """L06: garbage, then half a command, then a damaged one."""
    host.write(b"\x00\xff AT\r\n\x03\x03\x15\x16" + bytes(700))
    assert host.command(SLOT_STATUS)[7] == 0
    half = frame(message(TRANSFER, SELECT))[:-2]
    host.write(half)
    with pytest.raises(Refused):
        host.receive()
    host.write(half + frame(message(SLOT_STATUS, sequence=3)))
    assert host.receive()[6] == 3
    assert host.receive()[6] == 3
    assert host.is_quiet(0.2)


def test_micropython_asks_for_time(host: TwinHost) -> None:
    assert host.command(TRANSFER, b"\x00\x01\x00\x00")[-2:] == b"\x61\x04"
    assert gempc.MORE_TIME in host.skipped


def test_micropython_survives_what_should_not_happen(host: TwinHost) -> None:
    answer = host.command(TRANSFER, b"\x00\x03\x00\x00")
    assert answer[7:9] == b"\x42\xfb"
    wait_for_card(host)


def test_micropython_says_that_the_chip_is_gone(host: TwinHost) -> None:
    host.command(TRANSFER, b"\x00\x02\x00\x00")
    answer = host.command(TRANSFER, b"\x00\x00\x00\x00\x00")
    assert answer[7:9] in (b"\x42\xfe", b"\x40\x00")
    wait_for_state(host, 2)


def test_the_reader_ends_with_its_line(bits: int, root: Path, tmp_path: Path) -> None:
    """An unplugged board, or a terminal that was closed."""
    boot = tmp_path / "boot.py"
    boot.write_text(BOOT.format(root=str(root), whole_reads=False))
    _, chip = os.openpty()
    reader = VirtualReader(os.ttyname(chip), bits=bits, boot=boot)
    reader.start()
    assert reader.alive
    with pytest.raises(BoardError, match="plugged in already"):
        reader.start()
    reader.unplug()
    reader.unplug()
    assert not reader.alive
    with pytest.raises(BoardError, match="unplugged"):
        assert reader.port


def test_a_reader_without_a_port_to_its_chip(micropython: Path, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="out of reach"):
        VirtualReader(str(tmp_path / "none")).start()
