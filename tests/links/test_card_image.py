# SPDX-License-Identifier: Apache-2.0
"""The real card's image: what is in it, and that both interpreters boot it and keep its files."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from boards.VIRTUAL import board as board_module
from boards.VIRTUAL.board import VirtualBoard
from boards.VIRTUAL.partitions import read_partitions
from boards.VIRTUAL.runtime import runtime_path
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import (
    BLOCK_SIZE,
    FLASH_SIZE,
    build_image,
    compile_firmware,
    list_files,
    read_file,
    refresh_firmware,
)

FOLDER = Path(board_module.__file__).parent
ROOT = FOLDER.parents[1]
PURSE = bytes.fromhex("00a4040007f051414c544101")
# The rooms that a card needs, whatever the manifest says.
ROOMS = ("wire", "crypto", "purse", "card", "storage", "hal", "apps")
HEAP_TO_SPARE = 40 * 1024

LIST_ROM = """
import os, sys
sys.path.insert(0, sys.argv[1])
import boot
boot.VirtualHardware(sys.argv[2])
def walk(folder):
    for name, kind, *_ in os.ilistdir(folder):
        if kind == 0x4000:
            walk(folder + "/" + name)
        else:
            print(folder + "/" + name, os.stat(folder + "/" + name)[6])
walk("/rom")
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_card_boots_before_and_after_a_refresh(tmp_path: Path, bits: int) -> None:
    image, log = tmp_path / "card.img", tmp_path / "log"
    build_image(image)
    assert list_files(image) == []
    for _ in range(2):
        with VirtualTransport(VirtualBoard(image, bits=bits, log=log)) as card:
            assert card.hello == "qalta-card 1"
            assert card.transmit(PURSE)[-2:] == b"\x90\x00"
            stats = card.stats()
            assert stats.total - stats.used_now > HEAP_TO_SPARE
        kept = {name: read_file(image, name) for name in list_files(image)}
        refresh_firmware(image)
        assert {name: read_file(image, name) for name in list_files(image)} == kept
    assert log.read_text() == ""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_rom_holds_all_that_the_card_needs(tmp_path: Path, bits: int) -> None:
    """MicroPython's own ROMFS is the reader of what mpremote's writer wrote."""
    build_image(tmp_path / "card.img")
    script = tmp_path / "list_rom.py"
    script.write_text(LIST_ROM)
    done = subprocess.run(
        [runtime_path(bits), script, FOLDER, tmp_path / "card.img"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {path: int(size) for path, size in map(str.split, done.stdout.splitlines())}
    firmware = compile_firmware()
    assert found == {f"/rom/{name}": len(code) for name, code in firmware.items()}
    sources = [path for room in ROOMS for path in (ROOT / "firmware" / room).rglob("*.py")]
    for source in sources:
        assert f"/rom/{source.relative_to(ROOT).with_suffix('.mpy')}" in found


def test_two_builds_one_image(tmp_path: Path) -> None:
    """P07."""
    build_image(tmp_path / "a.img")
    build_image(tmp_path / "b.img")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()


def test_the_board_is_what_its_description_says() -> None:
    described = tomllib.loads((FOLDER / "board.toml").read_text())
    heaps = {int(bits): kib for bits, kib in described["heap_kib"].items()}
    assert heaps == board_module.HEAP_KIB
    assert described["flash"]["block_size"] == BLOCK_SIZE
    assert described["flash"]["blocks"] * BLOCK_SIZE == FLASH_SIZE
    *_, last = read_partitions().values()
    assert last.end == FLASH_SIZE


@pytest.mark.parametrize(
    "rows",
    [
        "rom,data,romfs,0x0,0x1001",
        "rom,data,romfs,0x0,0x0",
        "rom,data,romfs,0x1000,0x1000",
        "rom,data,romfs,0x0,0x2000\nvfs,data,littlefs,0x1000,0x1000",
        "rom,data,romfs,0x0,0x1000\nvfs,data,littlefs,0x2000,0x1000",
        "rom,data,romfs,0x0,64K",
    ],
)
def test_tables_that_do_not_divide_the_flash(tmp_path: Path, rows: str) -> None:
    table = tmp_path / "partitions.csv"
    table.write_text(f"# Name, Type, SubType, Offset, Size\n{rows}\n")
    with pytest.raises(ValueError):
        read_partitions(str(table))


@pytest.mark.parametrize("bits", [64, 32])
def test_a_file_too_short_for_the_rom_is_not_mapped(tmp_path: Path, bits: int) -> None:
    """Reading memory behind a file's end would kill the board without a word."""
    (tmp_path / "short.img").write_bytes(bytes(BLOCK_SIZE))
    script = tmp_path / "map.py"
    script.write_text(
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport rom\n"
        "print(len(rom.map_rom(sys.argv[2], 0, 4096)))\nrom.map_rom(sys.argv[2], 4096, 4096)\n"
    )
    done = subprocess.run(
        [runtime_path(bits), script, FOLDER, tmp_path / "short.img"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "4096\n"
    assert "ValueError: the flash image does not hold the ROM partition" in done.stderr
