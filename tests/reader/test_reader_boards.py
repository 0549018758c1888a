# SPDX-License-Identifier: Apache-2.0
"""The boards that are readers: their tables agree, and their program serves on doubles."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from boards.VIRTUAL.runtime import runtime_path
from firmware.reader.ccid import FIRMWARE
from tests.doubles.esp32_modules import read_table
from tests.doubles.twin_host import ESCAPE, SLOT_STATUS, frame, message

BOARDS = ["ESP32_PN532", "ESP32S3_PN532"]
# The names in `PINS` of main.py, and what pins.csv calls them.
SIGNALS = {
    "tx": "LINE_TX",
    "rx": "LINE_RX",
    "sck": "NFC_SCK",
    "mosi": "NFC_MOSI",
    "miso": "NFC_MISO",
    "select": "NFC_SELECT",
    "reset": "NFC_RESET",
    "lamp": "LAMP",
    "beeper": "BEEPER",
}
# Pins that are the flash's, or can only be read (ESP32 and ESP32-S3 data sheets).
USELESS = {
    "ESP32_PN532": {*range(6, 12), *range(34, 40), 20, 24, *range(28, 32)},
    "ESP32S3_PN532": {*range(22, 33), 19, 20},
}

PROGRAM = """
import sys
sys.path.insert(0, {root!r})

class Pin:
    IN, OUT, PULL_UP = 0, 1, 2
    def __init__(self, number, mode=0, pull=None, value=None):
        self.number, self.level = number, value
    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level

class SPI:
    LSB = 1
    def __init__(self, number, **settings):
        made.append(("SPI", number, settings["firstbit"], settings["polarity"]))
    def write(self, data):
        pass
    def readinto(self, buffer):
        for index in range(len(buffer)):
            buffer[index] = 0xFF

def UART(number, baud, **settings):
    made.append(("UART", number, baud, settings["stop"], settings["tx"], settings["rx"]))
    return Stream(sys.stdin.buffer, sys.stdout.buffer)

class Stream:
    def __init__(self, source, sink):
        self.readinto, self.write = source.readinto, sink.write

class Restarted(Exception):
    pass

def reset():
    raise Restarted

class machine:
    pass

made = []
for name, thing in (("Pin", Pin), ("SPI", SPI), ("UART", UART), ("reset", reset)):
    setattr(machine, name, thing)
sys.modules["machine"] = machine

from firmware.reader import line
class PolledBySize(line.Line):
    # A pipe stands for the UART: polled by its file, and read as if it never waited.
    def __init__(self, source, sink, whole_reads):
        super().__init__(sys.stdin.buffer, sys.stdout.buffer, True)
        made.append(("whole reads", whole_reads))
line.Line = PolledBySize

import boards.{board}.main as board
try:
    board.main()
except Restarted:
    print(made, file=sys.stderr)
"""


def pins(root: Path, board: str) -> dict[str, int]:
    """Signal → number, from pins.csv."""
    text = (root / "boards" / board / "pins.csv").read_text()
    return {name: int(number) for name, number in re.findall(r"^(\w+),GPIO(\d+)$", text, re.M)}


@pytest.mark.parametrize("board", BOARDS)
def test_pins_are_those_of_the_table(root: Path, board: str) -> None:
    source = (root / "boards" / board / "main.py").read_text()
    found = re.search(r"PINS = (\{.*?\n\})", source, re.S)
    assert found
    used: dict[str, int] = eval(found[1])
    del used["spi"]
    assert {SIGNALS[name]: number for name, number in used.items()} == pins(root, board)
    assert len(set(used.values())) == len(used), "a pin has one signal"
    assert not USELESS[board].intersection(used.values())


@pytest.mark.parametrize("board", BOARDS)
def test_the_page_wires_the_same_pins(root: Path, board: str) -> None:
    page = (root / "boards" / board / "board.md").read_text()
    wired = {int(number) for number in re.findall(r"\| GPIO(\d+) \|", page)}
    line = {"LINE_TX", "LINE_RX"}
    assert wired == {number for name, number in pins(root, board).items() if name not in line}


@pytest.mark.parametrize("board", BOARDS)
def test_partitions_fit_the_flash(root: Path, board: str) -> None:
    rows = read_table(str(root / "boards" / board / "partitions.csv"))
    facts = tomllib.loads((root / "boards" / board / "board.toml").read_text())
    assert facts["name"] == board
    end = 0x9000  # behind boot loader and table
    for _, _, _, offset, size in rows:
        assert offset >= end
        end = offset + size
    assert end <= facts["flash"]["blocks"] * facts["flash"]["block_size"]


@pytest.mark.parametrize("board", BOARDS)
def test_the_manifest_names_all_that_is_imported(root: Path, board: str, tmp_path: Path) -> None:
    """The frozen firmware alone, with no source tree behind it, is imported by MicroPython."""
    frozen: dict[str, Path] = {}

    def package(name: str, files: Any = None, base_path: str = ".") -> None:
        base = (root / "boards" / board / base_path).resolve()
        for path in [base / name / file for file in files or ()] or (base / name).glob("*.py"):
            frozen[str(path.relative_to(base))] = path

    def module(name: str) -> None:
        frozen[name] = root / "boards" / board / name

    names = {"package": package, "module": module}
    runpy.run_path(str(root / "boards" / board / "manifest.py"), init_globals=names)
    for name, path in frozen.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(path)
    program = (
        f"import sys; sys.path[:] = [{str(tmp_path)!r}]\n"
        "class machine: pass\n"
        "sys.modules['machine'] = machine\n"
        "import main, _boot\n"
        "print(main.PINS['spi'])\n"
    )
    run = subprocess.run(
        [runtime_path(64), "-X", "heapsize=1m", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.strip().isdigit()


@pytest.mark.parametrize("board", BOARDS)
def test_the_line_cannot_interrupt_the_boot(root: Path, board: str) -> None:
    """A byte 03 begins each frame; one that comes while the modules load must end nothing."""
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "class machine: pass\n"
        "class micropython:\n"
        "    @staticmethod\n"
        "    def kbd_intr(char):\n"
        "        print(char, [name for name in sys.modules if name.startswith('firmware')])\n"
        "sys.modules['machine'], sys.modules['micropython'] = machine, micropython\n"
        f"import boards.{board}.main\n"
    )
    run = subprocess.run(
        [runtime_path(64), "-X", "heapsize=1m", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.stdout, run.stderr) == ("-1 []\n", "")


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("board", BOARDS)
def test_the_program_serves_on_the_board(
    root: Path, board: str, bits: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With a PN532 that is not wired: the computer is answered all the same."""
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    program = tmp_path / "board.py"
    program.write_text(PROGRAM.format(root=str(root), board=board))
    asked = [message(ESCAPE, b"\x02"), message(SLOT_STATUS, sequence=1)]
    with subprocess.Popen(
        [str(runtime_path(bits)), "-X", "heapsize=1m", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdin is not None and run.stdout is not None and run.stderr is not None
        for text in asked:
            os.write(run.stdin.fileno(), frame(text))
            assert run.stdout.read(len(frame(text))) == frame(text), "the echo"
            answer = run.stdout.read(13 + (len(FIRMWARE) if text[0] == ESCAPE else 0))
            assert answer[2] == (0x83 if text[0] == ESCAPE else 0x81)
        run.stdin.close()
        told = run.stderr.read().decode()
    expected = [("SPI", 2 if board == "ESP32_PN532" else 1, 1, 0)]
    if board == "ESP32_PN532":
        expected.insert(0, ("UART", 1, 115200, 2, 1, 3))  # type: ignore[arg-type]
    assert told.strip() == str([*expected, ("whole reads", board != "ESP32_PN532")])
