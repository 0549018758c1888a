# SPDX-License-Identifier: Apache-2.0
"""Boards by name: state on disk that may be stale, and a command line that says so plainly."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.VIRTUAL import named
from boards.VIRTUAL.board import BoardError
from boards.VIRTUAL.process import locked
from host_bridge.cli import board as cli
from host_bridge.transport.base import TransportError
from host_bridge.transport.open import open_transport
from provisioning.image import read_file

COUNT = b"\x80\x02\x00\x00"

MakeImage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own; whatever still runs in it is stopped at the end."""
    monkeypatch.setenv("QALTA_HOME", str(tmp_path))
    yield tmp_path
    for board in named.list_named():
        if board.pid:
            named.kill_named(board.name)


def test_a_board_keeps_running_and_keeps_its_files(make_image: MakeImage) -> None:
    board = named.start_named("alice", make_image)
    with open_transport("board:alice") as card:
        assert card.transmit(COUNT)[0] == 1
    with pytest.raises(BoardError, match="running already"):
        named.start_named("alice", make_image)
    assert named.list_named() == [board]
    named.kill_named("alice")
    assert [found.pid for found in named.list_named()] == [None]
    assert read_file(board.image, "count") == b"1"
    named.start_named("alice", make_image)
    with open_transport("board:alice") as card:
        assert card.transmit(COUNT)[0] == 2
    named.stop_named("alice")
    with pytest.raises(BoardError, match="not running"):
        named.stop_named("alice")


def test_a_board_started_by_another_program(make_image: MakeImage, home: Path) -> None:
    """The starter ends; the board lives on, and anybody can use and kill it."""
    board = named.find_named("far")
    board.folder.mkdir(parents=True)
    make_image(board.image)
    script = "from boards.VIRTUAL import named; named.start_named('far', print)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    with open_transport("board:far") as card:
        assert card.transmit(COUNT)[0] == 1
    named.kill_named("far")
    assert named.find_named("far").pid is None
    named.start_named("far", make_image)


def test_stale_and_reused_pids(make_image: MakeImage) -> None:
    board = named.start_named("old", make_image)
    assert board.pid
    os.kill(board.pid, 9)
    os.waitpid(board.pid, 0)
    assert named.find_named("old").pid is None
    for stale in (f"{os.getpid()}\n", "999999999\n", "-1\n", "not a number\n", ""):
        (board.folder / "pid").write_text(stale)
        assert named.find_named("old").pid is None
        with pytest.raises(BoardError, match="not running"):
            named.kill_named("old")
        with pytest.raises(TransportError, match="is not running"):
            open_transport("board:old")
    assert named.start_named("old", make_image).pid


def test_two_starts_at_once(make_image: MakeImage) -> None:
    folder = named.find_named("twin").folder
    folder.mkdir(parents=True)
    with locked(folder / "start.lock"), pytest.raises(BoardError, match="being started"):
        named.start_named("twin", make_image)


@pytest.mark.parametrize("name", ["", "../x", "a b", "a/b", ".", "x" * 33, "қ"])
def test_bad_names(name: str, make_image: MakeImage) -> None:
    with pytest.raises(BoardError, match="is not a board name"):
        named.start_named(name, make_image)


@pytest.mark.parametrize(
    "spec", ["", "board:", "serial:", "card", "tcp:1.2.3.4", "board:../x", "board:nobody"]
)
def test_bad_specs(spec: str) -> None:
    with pytest.raises(TransportError, match=r"names no card|not a board name|is not running"):
        open_transport(spec)


def test_serial_specs(make_image: MakeImage) -> None:
    port = named.start_named("alice", make_image).port
    for spec in (port, f"serial:{port}"):
        with open_transport(str(spec)) as card:
            assert card.transmit(COUNT)[-2:] == b"\x90\x00"


class TestCommandLine:
    """`qalta board …`: what it prints, and its exit codes."""

    @pytest.fixture(autouse=True)
    def echo_firmware(self, monkeypatch: pytest.MonkeyPatch, make_image: MakeImage) -> None:
        monkeypatch.setattr(cli, "build_image", make_image)

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout.strip()

    def fail(self, *arguments: str) -> str:
        result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
        assert result.exit_code == 1
        assert len(result.stderr.strip().splitlines()) == 1
        return result.stderr

    def test_life_of_a_board(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refreshed: list[Path] = []
        monkeypatch.setattr(cli, "refresh_firmware", refreshed.append)
        port = self.run("start", "alice", "--bits", "32", "--heap", "128")
        assert port.startswith("/dev/")
        assert "running already" in self.fail("start", "alice")
        assert "stop it first" in self.fail("refresh", "alice")
        assert "alice" in self.run("list")
        self.run("kill", "alice")
        self.run("refresh", "alice")
        assert refreshed == [named.find_named("alice").image]
        assert "not running" in self.fail("stop", "alice")
        assert "no board 'bob'" in self.fail("refresh", "bob")
        assert "64 or 32" in self.fail("start", "alice", "--bits", "8")

    def test_a_board_that_does_not_boot(self) -> None:
        image = named.find_named("dead").image
        image.parent.mkdir(parents=True)
        image.write_bytes(bytes(4096))
        assert "did not boot" in self.fail("start", "dead")
        assert named.find_named("dead").pid is None

    def test_no_runtime(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("QALTA_RUNTIME", str(tmp_path))
        assert self.fail("start", "x") == "MicroPython is not set up: run 'make setup'\n"
