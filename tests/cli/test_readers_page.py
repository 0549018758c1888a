# SPDX-License-Identifier: Apache-2.0
"""`docs/readers.md` against what it tells of: the boards' pins, the lamp's codes, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.reader import signals
from host_bridge.doctor.examine import Needs, examine
from host_bridge.doctor.facts import EntryFacts, Facts, InterpreterFacts, PcscFacts
from host_bridge.doctor.finding import Level
from host_bridge.pcscd import entry
from host_bridge.pcscd.service import Answer
from tests.cli.test_doctor import ENTRY, HEALTHY, READER, SERVICE

PINS = {"ESP32_PN532": 2, "ESP32S3_PN532": 3}  # the board, and its column in the table
# Of this program and not of readers: `make setup`, or the sentence itself, says what to do.
ELSEWHERE = ("Python ", "qalta runs from its folder", "rich is missing", "MicroPython 1.")


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """The page."""
    return (root / "docs" / "readers.md").read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """Every row of every table, as its cells."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("board", PINS)
def test_the_wiring_is_that_of_the_boards(page: str, root: Path, board: str) -> None:
    told = {cells[1]: cells[PINS[board]] for cells in rows(page) if len(cells) == 4}
    lines = (root / "boards" / board / "pins.csv").read_text().splitlines()
    pins = dict(line.split(",") for line in lines if line and not line.startswith("#"))
    for signal, pin in pins.items():
        if signal.startswith("LINE_"):
            assert pin in page
        else:
            assert told[signal] == pin, signal


def test_the_picture_shows_the_same_wires(root: Path) -> None:
    picture = (root / "docs" / "readers-wiring.svg").read_text(encoding="utf-8")
    for board in PINS:
        lines = (root / "boards" / board / "pins.csv").read_text().splitlines()
        wanted = [line.split(",")[1] for line in lines if line.startswith("NFC_")]
        assert all(f">{pin}<" in picture for pin in wanted)


def test_the_codes_are_those_of_the_firmware(page: str) -> None:
    told = {cells[2].split(";")[0].split(":")[0]: cells for cells in rows(page) if len(cells) == 3}
    expected = {
        "ready": (signals.READY, "a short blink every two seconds", "–"),
        "a card lies there": (signals.CARD, "on", "one short beep"),
        "the card works": (signals.WORKING, "flickers", "–"),
        "more than one card": (signals.TWO_CARDS, "two blinks, then a pause", "two short beeps"),
        "the PN532 does not answer": (
            signals.ERROR,
            "blinks evenly, twice a second",
            "one long beep",
        ),
    }
    for means, (_, lamp, beeper) in expected.items():
        assert told[means][:2] == [lamp, beeper]
    assert [state for state, _, _ in expected.values()] == list(range(len(signals._LAMP)))
    assert sum(signals._LAMP[signals.READY]) == 2000
    assert len(signals._LAMP[signals.CARD]) == 1
    assert sum(signals._LAMP[signals.WORKING]) < 200
    assert len(signals._LAMP[signals.TWO_CARDS]) == 4
    assert signals._LAMP[signals.ERROR] == (250, 250)
    beeps = [(len(code) + 1) // 2 for code in signals._BEEPS]
    assert beeps == [0, 1, 0, 2, 1]
    assert signals._BEEPS[signals.ERROR][0] > 3 * signals._BEEPS[signals.CARD][0]


def test_the_entry_is_the_one_that_is_written(page: str) -> None:
    told = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    assert f'FRIENDLYNAME "{entry.READER_NAME}"' in told
    assert f"DEVICENAME   /dev/{entry.LINK}:GemPCTwin" in told
    assert f"CHANNELID    {entry.CHANNEL}" in told
    for path in (entry.entry_path(), entry.rule_path()):
        assert f"`{path}`" in page


def broken() -> Iterator[Facts]:
    """Machines with something wrong, until each check has said each of its sentences."""
    yield replace(HEALTHY, python=(3, 9, 0), versions={"pyscard": "2.3.1"})
    yield replace(HEALTHY, versions={}, interpreters=(InterpreterFacts(64, None),))
    yield replace(HEALTHY, interpreters=(InterpreterFacts(64, (1, 19)),))
    yield replace(HEALTHY, now=0.0, free=1)
    yield replace(HEALTHY, free=100_000_000)
    yield replace(HEALTHY, folders=(replace(HEALTHY.folders[0], writable=False),))
    for answer in (Answer.ABSENT, Answer.DENIED):
        yield replace(HEALTHY, service=replace(SERVICE, answer=answer))
    yield replace(HEALTHY, service=replace(SERVICE, answer=Answer.ABSENT, program=None))
    yield replace(HEALTHY, driver=None, entry=EntryFacts(ENTRY, "/dev/x", False))
    yield replace(HEALTHY, pcsc=PcscFacts(loads=False))
    yield replace(HEALTHY, pcsc=PcscFacts(refused="no"))
    yield replace(HEALTHY, pcsc=PcscFacts(failed="pcscd does not answer within 10 s."))
    yield replace(HEALTHY, pcsc=PcscFacts(), entry=EntryFacts(ENTRY, "/dev/x", True))
    yield replace(HEALTHY, pcsc=PcscFacts())
    yield replace(HEALTHY, pcsc=PcscFacts((replace(READER, is_mute=True),)))
    yield replace(HEALTHY, ports=())
    closed = (replace(HEALTHY.ports[0], may_open=False),)
    yield replace(HEALTHY, ports=closed)
    yield replace(HEALTHY, ports=closed, groups=frozenset())


def test_every_sentence_of_the_doctors_stands_in_the_table(page: str) -> None:
    told = {
        finding.sentence
        for facts in broken()
        for finding in examine(facts, Needs.of("serial:/dev/ttyUSB0"))
        if finding.level is not Level.OK and not finding.sentence.startswith(ELSEWHERE)
    }
    patterns = {
        cells[0]: ".+".join(map(re.escape, cells[0].split("…")))
        for cells in rows(page)
        if len(cells) == 2
    }
    missing = [
        sentence
        for sentence in told
        if not any(re.match(pattern, sentence) for pattern in patterns.values())
    ]
    assert not missing, "\n".join(missing)
    assert len(told) >= 17
