# SPDX-License-Identifier: Apache-2.0
"""`qalta readers`, and what the commands say of readers: with the real pcscd, and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host_bridge.cli import readers as command
from host_bridge.cli.main import app
from host_bridge.cli.readers import Ways, as_data
from host_bridge.transport.base import TransportError
from host_bridge.transport.pcsc_context import NoPermission, ReaderInfo
from host_bridge.transport.ports import Candidate
from tests.cli.conftest import Shell
from tests.doubles.in_process import InProcessCard
from tests.pcsc.service import PcscService, point_clients_here, vpcd_reader
from tests.pcsc.vpcd import ATR_CONTACTLESS, VpcdCard, VpcdSlot, free_port_pair

SELECT = "00A4040007F051414C544101"
READER = ReaderInfo(1, "Qalta Reader 00 00", True, False, False, ATR_CONTACTLESS, 1)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[VpcdSlot]:
    """A real pcscd with two empty slots; the first of them."""
    port = free_port_pair()
    with PcscService(tmp_path / "pcscd", [vpcd_reader(port)]):
        yield VpcdSlot("Virtual PCD 00 00", port)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command line; its PC/SC clients ask the pcscd of the tests, which may not run."""
    point_clients_here()
    return Shell(tmp_path)


def good(*words: str) -> str:
    """What must go well in this process; returns what it printed."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def bad(*words: str) -> str:
    """What must be refused in this process; returns the sentence that `main` would print."""
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, TransportError), (result.output, result.exception)
    return str(result.exception)


def test_nothing_is_there(shell: Shell) -> None:
    told = shell.good("readers")
    assert "The PC/SC service does not run" in told
    assert "plug one in" in told and "'qalta doctor'" in told
    data = json.loads(shell.good("readers", "--json"))
    assert (data["readers"], data["boards"]) == ([], [])
    assert "does not run" in data["pcsc_error"]
    assert "The PC/SC service does not run" in shell.bad("card", "info", "--card", "pcsc")


def test_readers_and_cards_through_pcscd(slot: VpcdSlot, shell: Shell, tmp_path: Path) -> None:
    with VpcdCard(lambda: InProcessCard(tmp_path / "card"), slot):
        told = shell.good("readers")
        assert slot.name in told and ATR_CONTACTLESS.hex(" ").upper() in told
        assert "blank" in shell.good("card", "info", "--card", "pcsc:1")
        several = shell.bad("card", "info", "--card", "pcsc")
        assert "There are 2 readers, say which by its number: 1 Virtual PCD 00 00, 2" in several


def test_what_is_said_of_two_readers(slot: VpcdSlot, tmp_path: Path) -> None:
    empty = json.loads(good("readers", "--json"))
    assert [reader["state"] for reader in empty["readers"]] == ["none", "none"]
    assert empty["pcsc_error"] is None
    with VpcdCard(lambda: InProcessCard(tmp_path / "card"), slot):
        first, second = json.loads(good("readers", "--json"))["readers"]
        assert (first["card"], first["name"], first["state"]) == ("pcsc:1", slot.name, "card")
        assert first["atr"] == ATR_CONTACTLESS.hex()
        assert (second["state"], second["atr"]) == ("none", "")
        sent = good("apdu", SELECT, "--card", "pcsc:1", "--expect", "9000,61xx")
        assert ">> 00 A4 04 00" in sent
        wrong = bad("card", "info", "--card", "pcsc:acme")
        assert "No reader is called 'acme'; there are: 1 Virtual PCD" in wrong
        healthy = good("doctor", "--card", "pcsc:1")
        assert "a blank card answers at pcsc:1" in healthy
        assert f"in {slot.name}, ATR 3B 80" in healthy
    assert "There is no card in the reader" in bad("card", "info", "--card", "pcsc:1")
    assert "There is no card in the reader" in bad("apdu", SELECT, "--card", "pcsc:2")


def test_virtual_boards_that_run(qalta: Shell, shell: Shell) -> None:
    qalta.good("board", "start", "alice")
    data = json.loads(shell.good("readers", "--json"))
    assert [board["card"] for board in data["boards"]] == ["board:alice"]
    assert "board:alice" in shell.good("readers")


def test_no_permission_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise NoPermission("The PC/SC service does not serve this user.")

    monkeypatch.setattr(command, "PcscContext", refused)
    monkeypatch.setattr(command, "candidates", lambda: [])
    monkeypatch.setattr(command, "list_named", lambda: [])
    assert "does not serve this user" in good("readers")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "card"),
        ({"is_mute": True}, "mute"),
        ({"has_card": False, "atr": b""}, "none"),
    ],
)
def test_states(changes: dict[str, object], state: str) -> None:
    reader = replace(READER, **changes)  # type: ignore[arg-type]
    data = as_data(Ways((reader,)))
    assert [row["state"] for row in data["readers"]] == [state]  # type: ignore[attr-defined]


def test_serial_ports_that_were_asked_and_not(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Candidate("/dev/ttyUSB7", "WCH CH340")
    monkeypatch.setattr(command, "candidates", lambda: [port])
    monkeypatch.setattr(command, "cards_at", lambda ports: ["/dev/ttyUSB7"])
    monkeypatch.setattr(command, "list_named", lambda: [])
    monkeypatch.setenv("COLUMNS", "120")
    point_clients_here()
    for words, says, answers in (([], "not asked", None), (["--ask"], "a card answers", True)):
        told = good("readers", *words)
        assert "serial:/dev/ttyUSB7" in told and "WCH CH340" in told and says in told
        data = json.loads(good("readers", *words, "--json"))
        assert data["serial"][0]["answers"] is answers


def test_what_is_typed_stays_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Candidate("/dev/ttyUSB7", "WCH CH340")
    monkeypatch.setattr(command, "candidates", lambda: [port])
    monkeypatch.setattr(command, "list_named", lambda: [])
    monkeypatch.setenv("COLUMNS", "45")
    point_clients_here()
    told = good("readers")
    assert "serial:/dev/ttyUSB7" in told
    assert "…" not in told
