# SPDX-License-Identifier: Apache-2.0
"""`qalta apdu`: raw commands to a card, one after another, and what it says to each."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from firmware.wire import apdu as wire
from firmware.wire import status
from firmware.wire.layout import WireError
from host_bridge.cli.asking import CardOption
from host_bridge.session.exchange import CardError
from host_bridge.transport.base import Transport
from host_bridge.transport.open import open_transport

SHORTEST = 4  # CLA INS P1 P2
LONGEST = 65_544  # an extended command with all the data that it can have
MAX_SCRIPT_BYTES = 1 << 20
_PUT_KEY = 0xD8  # GlobalPlatform
_SECRETS = frozenset(
    {
        wire.INS_VERIFY,
        wire.INS_CHANGE_REFERENCE_DATA,
        wire.INS_RESET_RETRY_COUNTER,
        wire.INS_STORE_DATA,
        _PUT_KEY,
    }
)
_RESET = "reset"
_STDIN = "-"
_SEPARATORS = re.compile(r"[\s:]+")
_PATTERN = re.compile(r"[0-9A-Fa-fXx]{4}")


class ApduError(CardError):
    """The command line or the script is no list of commands; one sentence for people."""


class Unexpected(CardError):
    """The card answered with another status word than was expected."""


@dataclass(frozen=True)
class Step:
    """One command and the status words that are right for it; none: any. No bytes: a new tap."""

    command: bytes
    expected: tuple[str, ...] = ()


def apdu(
    card: CardOption,
    commands: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HEX]...", help="A command each; or 'reset', for a new tap."),
    ] = None,
    script: Annotated[
        str, typer.Option(help="A file of commands, a line each; - is a pipe.")
    ] = "",
    expect: Annotated[
        list[str] | None,
        typer.Option(help="Status words that are right, such as 9000,61xx; once, or for each."),
    ] = None,
) -> None:
    """Send raw commands to a card. Exit code 1 where the card answers otherwise than expected.

    A line of a script is a command in hex, or 'reset'; behind '=' the words that are expected,
    and behind '#' what is passed over. What holds a PIN or a key is better in a script than in
    the arguments, which other people of the machine can read; neither is ever printed.
    """
    steps = _steps(commands or (), script, [words(text) for text in expect or ()])
    with open_transport(card) as transport:
        for number, step in enumerate(steps, 1):
            _play(transport, number, step)


def parse_command(text: str) -> bytes:
    """A command APDU in hex, spaces and colons allowed. Raises ApduError."""
    digits = _SEPARATORS.sub("", text)
    begin = text if len(digits) <= 2 * SHORTEST else f"{digits[: 2 * SHORTEST]}…"
    for character in digits:
        if character not in "0123456789abcdefABCDEF":
            raise ApduError(f"'{begin}' is no command: '{character}' is no hex digit.")
    if len(digits) % 2:
        raise ApduError(f"'{begin}' is no command: it has an odd number of hex digits.")
    command = bytes.fromhex(digits)
    if len(command) < SHORTEST:
        raise ApduError(f"'{begin}' is too short: a command has at least {SHORTEST} bytes.")
    if len(command) > LONGEST:
        raise ApduError(f"'{begin}' is too long: a command has at most {LONGEST} bytes.")
    return command


def words(text: str) -> tuple[str, ...]:
    """Status words and patterns such as 9000,61xx, in capitals. Raises ApduError."""
    found = tuple(part for part in re.split(r"[\s,]+", text.strip()) if part)
    for part in found:
        if not _PATTERN.fullmatch(part):
            raise ApduError(f"'{part}' is no status word such as 9000, 61xx or 63Cx.")
    if not found:
        raise ApduError("An expectation names at least one status word.")
    return tuple(part.upper() for part in found)


def fits(word: int, expected: Iterable[str]) -> bool:
    """Whether a status word is one of these; X stands for any digit."""
    digits = f"{word:04X}"
    return any(
        all(wanted in ("X", digit) for wanted, digit in zip(pattern, digits, strict=True))
        for pattern in expected
    )


def shown(command: bytes) -> str:
    """A command as it may be printed: of what holds a PIN or a key, the header only."""
    if command[1] not in _SECRETS or len(command) <= SHORTEST + 1:
        return command.hex(" ").upper()
    withheld = len(command) - SHORTEST
    return f"{command[:SHORTEST].hex(' ').upper()} [{withheld} bytes withheld]"


def parse_script(text: str) -> list[Step]:
    """The steps of a script. Raises ApduError, which names the line."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        told, has_words, right = line.partition("#")[0].partition("=")
        if not told.strip() and not has_words:
            continue
        try:
            steps.append(_step(told, words(right) if has_words else ()))
        except ApduError as error:
            raise ApduError(f"Line {number}: {error}") from None
    return steps


def _step(text: str, expected: tuple[str, ...]) -> Step:
    if text.strip().lower() != _RESET:
        return Step(parse_command(text), expected)
    if expected:
        raise ApduError("A reset has no status word.")
    return Step(b"")


def _steps(typed: Iterable[str], script: str, expected: list[tuple[str, ...]]) -> list[Step]:
    steps = [_step(text, ()) for text in typed]
    if script or not steps:
        if steps:
            raise ApduError("Give either commands or a script.")
        if not script and sys.stdin.isatty():
            raise ApduError("There is no command: give some in hex, or a --script.")
        steps = parse_script(_read(script or _STDIN))
    if not steps:
        raise ApduError("There is no command.")
    return list(_with_words(steps, expected)) if expected else steps


def _with_words(steps: list[Step], expected: list[tuple[str, ...]]) -> Iterator[Step]:
    """One expectation holds for all commands; several are for one command each."""
    count = sum(bool(step.command) for step in steps)
    if len(expected) not in (1, count):
        raise ApduError(
            f"{len(expected)} expectations do not fit {count} commands: give one, or one for each."
        )
    each = iter(expected * count if len(expected) == 1 else expected)
    for step in steps:
        yield Step(step.command, step.expected or next(each)) if step.command else step


def _read(script: str) -> str:
    try:
        if script == _STDIN:
            raw = sys.stdin.buffer.read(MAX_SCRIPT_BYTES + 1)
        else:
            with Path(script).open("rb") as file:
                raw = file.read(MAX_SCRIPT_BYTES + 1)
        if len(raw) > MAX_SCRIPT_BYTES:
            raise ApduError(f"The script is larger than {MAX_SCRIPT_BYTES} bytes.")
        return raw.decode()
    except UnicodeDecodeError:
        raise ApduError(f"{script} is no text.") from None
    except OSError as error:
        raise ApduError(f"{script} cannot be read: {error.strerror}.") from None


def _play(transport: Transport, number: int, step: Step) -> None:
    """Sends one command and prints both sides. Raises Unexpected."""
    if not step.command:
        typer.echo(f"-- reset: {transport.reset()}")
        return
    name = wire.COMMAND_NAMES.get(step.command[1], "")
    typer.echo(f">> {shown(step.command)}{'  ' if name else ''}{name}")
    try:
        answer, word = wire.split_answer(transport.transmit(step.command))
    except WireError as error:
        raise ApduError(f"The card answered nonsense: {error}.") from None
    data = f"{answer.hex(' ').upper()} " if answer else ""
    typer.echo(f"<< {data}{word:04X}  {status.sentence(word)}")
    if step.expected and not fits(word, step.expected):
        raise Unexpected(
            f"Command {number} was answered {word:04X} ({status.sentence(word)}), "
            f"not {' or '.join(step.expected)}."
        )
