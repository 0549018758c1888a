# SPDX-License-Identifier: Apache-2.0
"""The virtual board: boots from its image, keeps its files over a power cut, is never shared."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from boards.VIRTUAL.board import BoardError, VirtualBoard
from boards.VIRTUAL.runtime import RuntimeMissing, runtime_path
from host_bridge.transport.base import LinkLost, TransportError
from host_bridge.transport.serial_link import SerialTransport
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import (
    BLOCK_SIZE,
    FLASH_SIZE,
    compile_module,
    list_files,
    read_file,
    write_image,
)

COUNT = b"\x80\x02\x00\x00"
HANG = b"\x80\x04\x00\x00"


def test_files_survive_a_power_cut(board: VirtualBoard) -> None:
    """I9: what was stored before the cut is there after it."""
    for expected in (1, 2, 3):
        with SerialTransport(board.port) as card:
            assert card.transmit(COUNT) == bytes((expected,)) + b"\x90\x00"
        board.kill()
        assert not board.alive
        board.start()


def test_host_reads_what_the_board_wrote(card: SerialTransport, board: VirtualBoard) -> None:
    card.transmit(COUNT)
    board.stop()
    assert read_file(board.image, "count") == b"1"
    assert list_files(board.image) == ["count"]  # the card writes into its own partition alone


def test_power_cut_in_a_command_is_noticed_quickly(
    card: SerialTransport, board: VirtualBoard
) -> None:
    started = time.monotonic()
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {board.pid}"])
    with pytest.raises(LinkLost, match="is gone"):
        card.transmit(HANG)
    assert time.monotonic() - started < 2.0  # well before the transport's own timeouts
    killer.wait()
    with pytest.raises(LinkLost):
        card.transmit(COUNT)


def test_port_outlives_its_clients(board: VirtualBoard) -> None:
    port = board.port
    for expected in (1, 2):
        with SerialTransport(port) as card:
            assert card.transmit(COUNT)[0] == expected
    assert board.port == port


def test_an_image_serves_one_board_at_a_time(board: VirtualBoard) -> None:
    with pytest.raises(BoardError, match="in use"):
        VirtualBoard(board.image).start()
    with pytest.raises(BoardError, match="in use"):
        board.start()
    board.kill()
    with VirtualBoard(board.image) as successor:
        assert successor.alive


def test_only_the_rom_is_importable(image: Path) -> None:
    """Neither the repository's own firmware nor a file of the card hides what the ROM lacks."""
    card = compile_module(b"def main(): raise ValueError", "firmware/apps/card.py")
    firmware = {"firmware/apps/card.mpy": card, "firmware/card.mpy": card}
    write_image(image, {"firmware/apps/other.mpy": b""}, firmware)
    log = image.with_name("log")
    with pytest.raises(TransportError):
        VirtualTransport(VirtualBoard(image, log=log))
    assert "ImportError" in log.read_text()


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8 * BLOCK_SIZE, b"\xff" * FLASH_SIZE, os.urandom(5000)]
)
def test_a_file_that_is_no_image_does_not_boot(tmp_path: Path, content: bytes) -> None:
    image, log = tmp_path / "flash.img", tmp_path / "log"
    image.write_bytes(content)
    with pytest.raises(TransportError):
        VirtualTransport(VirtualBoard(image, log=log))
    assert "cannot be used" in log.read_text()
    assert image.read_bytes() == content  # never reformatted


def test_missing_image_and_missing_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BoardError, match="no flash image"):
        VirtualBoard(tmp_path / "none.img").start()
    with pytest.raises(ValueError, match="64 or 32 bits"):
        runtime_path(16)
    monkeypatch.setenv("QALTA_RUNTIME", str(tmp_path))
    with pytest.raises(RuntimeMissing, match=r"^MicroPython is not set up: run 'make setup'$"):
        VirtualBoard(tmp_path / "none.img")


def test_virtual_transport_stops_only_what_it_started(image: Path) -> None:
    board = VirtualBoard(image)
    with VirtualTransport(board) as card:
        assert card.transmit(COUNT)[0] == 1
    assert not board.alive
    with board:
        with VirtualTransport(board) as card:
            assert card.transmit(COUNT)[0] == 2
        assert board.alive
