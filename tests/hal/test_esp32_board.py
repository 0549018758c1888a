# SPDX-License-Identifier: Apache-2.0
"""The board with the chip: its folder, and what it hands to the card, well wired and badly."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from boards.VIRTUAL import partitions as virtual
from boards.VIRTUAL.runtime import runtime_path
from firmware.hal import littlefs
from firmware.hal.atecc608 import ADDRESS
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.atecc608_errors import AteccError, ChipSilent
from firmware.hal.atecc608_plan import NotConfigured
from host_bridge.crypto.keys import SigningKey
from tests.doubles.esp32_modules import Esp32Module, MachineModule, NorFlash, read_table
from tests.doubles.i2c_bus import I2cBus
from tests.hal.bench import DIGEST, ChipBench

FLASH_SIZE = 4 * 1024 * 1024
HEAP = "256k"
WIRED = (0, 22, 21)
PINS = {"bus": 0, "scl": 22, "sda": 21}
_SIGNER = SigningKey.generate()
GOOD_KEY, GOOD_SIGNATURE = _SIGNER.public_key, _SIGNER.sign(DIGEST)


@pytest.fixture
def folder(root: Path) -> Path:
    """The board's folder."""
    return root / "boards" / "ESP32_ATECC608"


# -- the folder --------------------------------------------------------------------------------


def test_partitions_fit_the_flash_and_do_not_overlap(folder: Path) -> None:
    table = read_table(str(folder / "partitions.csv"))
    end = 0x9000  # boot loader and partition table lie before it
    for name, kind, _, offset, size in table:
        assert offset == end, name
        assert size > 0 and size % 0x1000 == 0, name
        assert kind or offset % 0x10000 == 0, "an app begins at 64 KiB"
        end = offset + size
    assert end <= FLASH_SIZE


@pytest.mark.parametrize("name", ["vfs", "state", "counter", "journal", "copies"])
def test_its_memory_is_the_virtual_boards(folder: Path, name: str) -> None:
    """What was tried with the one fits the other, and a littlefs made for the one mounts there."""
    sizes = {row[0]: row[4] for row in read_table(str(folder / "partitions.csv"))}
    assert sizes[name] == virtual.read_partitions()[name].size


def test_the_main_program_is_wired_as_the_pins_say(folder: Path) -> None:
    lines = (folder / "pins.csv").read_text().splitlines()
    pins = dict(line.split(",") for line in lines if not line.startswith("#"))
    described = tomllib.loads((folder / "board.toml").read_text())
    scl, sda = (int(pins[signal].removeprefix("GPIO")) for signal in ("SE_SCL", "SE_SDA"))
    bus = described["secure_element"]["bus"]
    expected = f'PINS = {{"bus": {bus}, "scl": {scl}, "sda": {sda}}}'
    assert expected in (folder / "main.py").read_text()
    assert (bus, scl, sda) == WIRED
    assert described["name"] == folder.name
    assert described["tier"] == AteccElement.TIER


# -- the board under CPython, with the chip's double -------------------------------------------


class Workshop:
    """A board on the bench. chip: what hangs on its bus; None: nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.bench = ChipBench()
        self.frequencies: list[int] = []
        self.broken_hz = 0  # the bus cannot be opened at this frequency
        self.mounts: list[tuple[str, dict[str, int]]] = []
        self.mount: Callable[..., Any] = lambda partition: partition
        self.flash = NorFlash(FLASH_SIZE)
        table = read_table(str(folder / "partitions.csv"))
        vfs = ModuleType("vfs")
        vfs.VfsLfs2 = self._vfs_lfs2  # type: ignore[attr-defined]
        modules = {
            "vfs": vfs,
            "esp32": Esp32Module(self.flash, table),
            "machine": MachineModule(WIRED, self._bus),
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
        for name in ("sleep_ms", "ticks_ms", "ticks_diff"):
            monkeypatch.setattr(time, name, getattr(self.bench.clock, name), raising=False)
        monkeypatch.delitem(sys.modules, "firmware.hal.esp32_board", raising=False)
        self.module = importlib.import_module("firmware.hal.esp32_board")

    def _bus(self, frequency_hz: int) -> I2cBus:
        if frequency_hz == self.broken_hz:
            raise OSError(5)
        self.frequencies.append(frequency_hz)
        bus = I2cBus(self.bench.clock, frequency_hz)
        bus.attach(ADDRESS, self.bench.double)
        return bus

    def _vfs_lfs2(self, partition: Any, **sizes: int) -> Any:
        self.mounts.append((partition.info()[4], sizes))
        return self.mount(partition)

    def board(self, pins: dict[str, int] | None = None) -> Any:
        """Switches it on."""
        return self.module.Esp32Board(PINS if pins is None else pins)

    def element(self) -> AteccElement:
        """The element of a board that is switched on."""
        return AteccElement(self.board().chip)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Workshop:
    """A board with a chip that is as it came."""
    return Workshop(monkeypatch, folder)


def test_the_board_opens_its_chip(workshop: Workshop) -> None:
    workshop.bench.configured()
    wakes = workshop.bench.double.wakes
    board = workshop.board()
    element = AteccElement(board.chip)
    key = element.generate(14)
    assert board.chip.verify(key, DIGEST, element.sign(14, DIGEST))
    assert element.advance() == 1
    assert workshop.frequencies[0] == 400_000, "as long as nothing has to be woken"
    woken = workshop.bench.double.wakes - wakes
    assert woken and workshop.frequencies[1:] == woken * [100_000, 400_000]


def test_a_bus_that_cannot_be_slow_wakes_nobody(workshop: Workshop) -> None:
    workshop.bench.configured()
    element = workshop.element()
    workshop.broken_hz = 100_000
    with pytest.raises(ChipSilent):
        element.counter()
    workshop.broken_hz = 0
    assert element.counter() == 0


def test_a_bus_that_cannot_be_fast_stays_slow(workshop: Workshop) -> None:
    workshop.bench.configured()
    element = workshop.element()
    workshop.broken_hz = 400_000
    assert element.advance() == 1
    workshop.broken_hz = 0
    workshop.bench.double.cut_power()
    assert element.advance() == 2


def test_a_board_without_a_chip(workshop: Workshop) -> None:
    assert workshop.board({}).chip is None
    assert workshop.frequencies == []


def test_switching_on_asks_nothing_of_the_chip(workshop: Workshop) -> None:
    workshop.element()
    assert workshop.bench.double.wakes == 0


def every_call(element: AteccElement) -> list[Callable[[], object]]:
    """Everything that a purse may ask."""
    return [
        lambda: element.generate(1),
        lambda: element.public_key(0),
        lambda: element.has_key(1),
        lambda: element.sign(1, DIGEST),
        element.counter,
        element.advance,
        lambda: element.verify(GOOD_KEY, DIGEST, GOOD_SIGNATURE),
        lambda: element.random(8),
    ]


def test_a_silent_chip_is_said_by_every_call(workshop: Workshop) -> None:
    workshop.bench.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    for call in every_call(workshop.element()):
        with pytest.raises(ChipSilent):
            call()


def test_a_chip_at_other_pins_is_silent(workshop: Workshop) -> None:
    board = workshop.board({"bus": 0, "scl": 21, "sda": 22})
    with pytest.raises(ChipSilent) as raised:
        AteccElement(board.chip).counter()
    assert isinstance(raised.value, OSError), "a card answers 6581 to it"


def test_a_chip_that_is_not_configured_is_said_by_every_call(workshop: Workshop) -> None:
    """Not even a random number: before it is locked, its random numbers are no secret."""
    for call in every_call(workshop.element()):
        with pytest.raises(NotConfigured, match="not configured for a purse"):
            call()
    assert set(workshop.bench.double.executed) == {0x02}, "it was read and left alone"


def test_rest_needs_no_chip(workshop: Workshop) -> None:
    workshop.bench.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    assert not workshop.element().rest()


def test_a_chip_that_comes_back_is_used(workshop: Workshop) -> None:
    """A loose wire, or a chip that its watchdog has to free first: the next call finds it."""
    workshop.bench.configured()
    low = workshop.bench.double.line_low
    workshop.bench.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    element = workshop.element()
    with pytest.raises(AteccError):
        element.counter()
    workshop.bench.double.line_low = low  # type: ignore[method-assign]
    assert element.counter() == 0


def test_another_chip_has_other_keys_and_another_number(workshop: Workshop) -> None:
    """What tells the purse: neither its identity nor its counter is that of the card's records."""
    workshop.bench.configured()
    first = workshop.element()
    identity = first.generate(0)
    number = workshop.board().chip.serial()
    workshop.bench.double.eeprom = ChipBench().configured().double.eeprom
    workshop.bench.double.cut_power()
    second = workshop.element()
    assert second.public_key(0) is None
    assert second.generate(0) != identity
    assert workshop.board().chip.serial() != number


def test_partitions_by_name(workshop: Workshop) -> None:
    board = workshop.board()
    state, counter = board.partition("state"), board.partition("counter")
    assert (state.ioctl(4, 0), counter.ioctl(4, 0)) == (4, 3)
    state.writeblocks(1, b"money", 7)
    found = bytearray(5)
    state.readblocks(1, found, 7)
    assert found == b"money"
    assert workshop.flash.content[0x2D0000 + 0x1007 :][:5] == b"money"
    with pytest.raises(OSError, match="no partition jurnal"):
        board.partition("jurnal")


def test_an_app_is_no_memory_of_the_card(workshop: Workshop) -> None:
    with pytest.raises(OSError, match="no partition factory"):
        workshop.board().partition("factory")


def test_each_littlefs_is_mounted_as_the_virtual_boards_is(workshop: Workshop) -> None:
    board = workshop.board()
    assert (board.files.info()[4], board.copies.info()[4]) == ("vfs", "copies")
    assert workshop.mounts == [
        (name, {"readsize": littlefs.READ_SIZES[name], "progsize": littlefs.PROG_SIZE})
        for name in ("vfs", "copies")
    ]


@pytest.mark.parametrize("lost", ["vfs", "copies"])
def test_a_littlefs_that_does_not_mount_leaves_the_other(workshop: Workshop, lost: str) -> None:
    """The copies of what the one held are in the other."""

    def mount(partition: Any) -> Any:
        if partition.info()[4] == lost:
            raise OSError(19)
        return partition

    workshop.mount = mount
    board = workshop.board()
    assert (board.files is None, board.copies is None) == (lost == "vfs", lost == "copies")


# -- the board under MicroPython, with its real littlefs ---------------------------------------

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import vfs
from tests.doubles import esp32_modules as doubles

BLOCKS = 8
SIZE = BLOCKS * 4096
rows = [("vfs", 1, 0x83, 0, SIZE), ("copies", 1, 0x83, SIZE, SIZE)]
rows.append(("state", 1, 6, 2 * SIZE, 8192))
flash = doubles.NorFlash(2 * SIZE + 8192)
doubles.install(doubles.Esp32Module(flash, rows), doubles.MachineModule((0, 22, 21), None))

from firmware.hal.esp32_board import Esp32Board
from firmware.hal.littlefs import READ_SIZES, PROG_SIZE
from firmware.hal.atecc608_element import AteccElement

def boot(pins):
    changes = flash.changes
    board = Esp32Board(pins)
    assert flash.changes == changes, "booting has written"
    return board

assert boot({{}}).files is None, "blank"
flash.content[0:9000] = bytes(range(250)) * 36
assert boot({{}}).files is None, "damaged"
for name in ("copies", "vfs"):
    partition = boot({{}}).partition(name)
    vfs.VfsLfs2.mkfs(partition, readsize=READ_SIZES[name], progsize=PROG_SIZE)
    board = boot({{}})
    files, folder = (board.files, "purse") if name == "vfs" else (board.copies, "purse-copy")
    assert name == "vfs" or board.files is None, "one of them is enough"
    files.mkdir(folder)
    with files.open(folder + "/root", "wb") as file:
        file.write(name.encode())
board = boot({{}})
for files, folder in ((board.files, "purse"), (board.copies, "purse-copy")):
    print([entry[0] for entry in files.ilistdir("/")], files.open(folder + "/root", "rb").read())
assert board.source is sys.stdin.buffer and board.sink is sys.stdout.buffer
state = board.partition("state")
state.ioctl(6, 1)
state.writeblocks(1, b"abc", 5)
found = bytearray(3)
state.readblocks(1, found, 5)
print(found, state.ioctl(4, 0), state.ioctl(5, 0))
board = boot({{"bus": 1, "scl": 5, "sda": 4}})
try:
    AteccElement(board.chip).counter()
except OSError as error:
    print(type(error).__name__, error)
rows.clear()
board = boot({{}})
print(board.files, board.copies)
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_board_under_micropython(
    bits: int, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A flash that is blank or damaged is not formatted; a chip that is not there is said."""
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    program = tmp_path / "board.py"
    program.write_text(PROGRAM.format(root=str(root)))
    run = subprocess.run(
        [runtime_path(bits), "-X", f"heapsize={HEAP}", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "['purse'] b'vfs'",
        "['purse-copy'] b'copies'",
        "bytearray(b'abc') 2 4096",
        "ChipSilent no secure element answers at address 60",
        "None None",
    ]
