# SPDX-License-Identifier: Apache-2.0
"""`qalta apdu`: what is a command, what was expected, and that no PIN is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from host_bridge.cli import apdu
from host_bridge.cli.apdu import ApduError, Step, fits, parse_command, parse_script, shown, words
from tests.cli.conftest import Shell
from tests.doubles.in_process import InProcessCard

SELECT = "00A4040007F051414C544101"
PIN_HEX = "32353830"
VERIFY = f"0020008104{PIN_HEX}"
ASK_TRIES = "00200081"
UNKNOWN = "80FE0000"


class Bench:
    """A blank card of this process behind the command."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.card = InProcessCard(folder)
        monkeypatch.setattr(apdu, "open_transport", lambda spec: self.card)
        self._app = typer.Typer()
        self._app.command()(apdu.apdu)

    def type(self, *typed: str, stdin: str = "") -> Result:
        """One command line."""
        return CliRunner().invoke(self._app, ["--card", "x", *typed], input=stdin)

    def good(self, *typed: str, stdin: str = "") -> str:
        """What must go well; returns what it printed."""
        result = self.type(*typed, stdin=stdin)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def bad(self, *typed: str, stdin: str = "") -> str:
        """What must be refused; returns the sentence that the main program prints."""
        result = self.type(*typed, stdin=stdin)
        assert isinstance(result.exception, apdu.CardError), result.output
        assert result.exit_code == 1
        return str(result.exception)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "card", monkeypatch)


def test_request_response_and_what_it_means(bench: Bench) -> None:
    told = bench.good(SELECT, UNKNOWN)
    assert ">> 00 A4 04 00 07 F0 51 41 4C 54 41 01  SELECT" in told
    assert "<< 6F " in told and "9000  done" in told
    assert ">> 80 FE 00 00\n<< 6D00  the card does not know this command" in told


def test_expectations(bench: Bench) -> None:
    bench.good(SELECT, UNKNOWN, "--expect", "9000", "--expect", "6Dxx")
    bench.good(SELECT, UNKNOWN, "--expect", "9000,6d00")
    bench.good(SELECT, "reset", UNKNOWN, "--expect", "9000", "--expect", "6985, 6D00")
    told = bench.bad(SELECT, UNKNOWN, SELECT, "--expect", "9000,61XX")
    assert "Command 2 was answered 6D00 (the card does not know this command)" in told
    assert "not 9000 or 61XX." in told
    assert "2 expectations do not fit 3 commands" in bench.bad(
        SELECT, SELECT, SELECT, "--expect=9000", "--expect=9000"
    )


def test_the_first_surprise_ends_the_script(bench: Bench) -> None:
    result = bench.type(UNKNOWN, SELECT, "--expect", "9000")
    assert result.exit_code == 1
    assert result.output.count(">>") == 1


def test_a_script_from_a_file_and_from_a_pipe(bench: Bench, tmp_path: Path) -> None:
    text = "# a purse?\n\n00 A4 04 00 07 F0:51:41:4C:54:41:01 = 9000 61xx\nreset\n"
    text += f"{UNKNOWN} = 6985 6D00 # no\n"
    (tmp_path / "script").write_text(text)
    for told in (
        bench.good("--script", str(tmp_path / "script")),
        bench.good("--script", "-", stdin=text),
        bench.good(stdin=text),
        bench.good("--expect", "6FFF", stdin=text),  # the script's own words come first
    ):
        assert told.count(">>") == 2
        assert "-- reset: in-process" in told
    wrong = text.replace("= 9000 61xx", "= 6A82")
    assert "Command 1 was answered 9000 (done), not 6A82." in bench.bad(stdin=wrong)


def test_scripts_that_are_none(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * (apdu.MAX_SCRIPT_BYTES + 1))
    assert "cannot be read: No such file" in bench.bad("--script", str(tmp_path / "none"))
    assert "is no text" in bench.bad("--script", str(tmp_path / "noise"))
    assert "larger than" in bench.bad("--script", str(tmp_path / "large"))
    assert "either commands or a script" in bench.bad(SELECT, "--script", "-", stdin=SELECT)
    assert "There is no command" in bench.bad(stdin="# nothing\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is too short: a command has at least 4 bytes"),
        ("00A404", "'00A404' is too short"),
        ("00A40400F", "'00A40400…' is no command: it has an odd number"),
        ("00A4040G", "'00A4040G' is no command: 'G' is no hex digit"),
        ("0x00A40400", "'x' is no hex digit"),
        ("00A4040\u0660", "'\u0660' is no hex digit"),
        ("00" * (apdu.LONGEST + 1), "'00000000…' is too long"),
    ],
)
def test_no_command(text: str, says: str) -> None:
    with pytest.raises(ApduError) as caught:
        parse_command(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", ",", "900", "90000", "90 00", "900G", "9000,"])
def test_no_status_word(text: str) -> None:
    if text == "9000,":
        assert words(text) == ("9000",)
        return
    with pytest.raises(ApduError):
        words(text)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("zz", "Line 2: 'zz' is no command"),
        (f"{SELECT} = ", "Line 2: An expectation names"),
        (f"{SELECT} = 90", "Line 2: '90' is no status word"),
        ("= 9000", "Line 2: '' is too short"),
        ("reset = 9000", "Line 2: A reset has no status word"),
    ],
)
def test_a_wrong_line_is_named(line: str, says: str) -> None:
    with pytest.raises(ApduError) as caught:
        parse_script(f"# first\n{line}\n{SELECT}")
    assert says in str(caught.value)


def test_steps() -> None:
    assert parse_script("reset\n00A40400=9000,61xx") == [
        Step(b""),
        Step(bytes.fromhex("00A40400"), ("9000", "61XX")),
    ]


def test_patterns() -> None:
    assert fits(0x61FF, ["61XX"]) and fits(0x63C2, ["9000", "63CX"])
    assert not fits(0x6200, ["61XX"]) and not fits(0x63D2, ["63CX"]) and not fits(0x9000, [])


def test_no_pin_is_shown(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(VERIFY)
    for result in (
        bench.type(VERIFY),
        bench.type("--script", str(tmp_path / "script")),
        bench.type(stdin=f"{VERIFY} = 9000"),
        bench.type(stdin=f"{VERIFY}0"),
        bench.type(f"{VERIFY}g"),
    ):
        told = f"{result.output} {result.exception}".replace(" ", "")
        assert PIN_HEX not in told
    assert ">> 00 20 00 81 [5 bytes withheld]  VERIFY" in bench.good(VERIFY)
    assert ">> 00 20 00 81  VERIFY" in bench.good(ASK_TRIES)


@pytest.mark.parametrize(
    "header", ["00200081", "10200081", "00240081", "002C0081", "84E20500", "80D80000"]
)
def test_every_command_that_bears_a_secret(header: str) -> None:
    told = shown(bytes.fromhex(f"{header}04{PIN_HEX}"))
    assert told.endswith("[5 bytes withheld]")
    extended = shown(bytes.fromhex(f"{header}000004{PIN_HEX}"))
    assert extended.endswith("[7 bytes withheld]")


def test_on_a_board(qalta: Shell) -> None:
    qalta.good("board", "start", "alice")
    card = ("--card", "board:alice")
    assert "9000  done" in qalta.good("apdu", SELECT, *card, "--expect", "9000")
    told = qalta.bad("apdu", UNKNOWN, *card, "--expect", "9000")
    assert "6D00" in told
    assert "'00A4' is too short" in qalta.bad("apdu", "00A4", *card)
    assert "9000  done" in qalta.good("apdu", *card, typed=f"{SELECT} = 9000\n")
    traced = qalta("--traffic", "card", "info", *card)
    assert SELECT.lower() in traced.stderr
