# SPDX-License-Identifier: Apache-2.0
"""The tool that prepares a chip: nothing for ever without a typed yes, and each slot tried."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boards.ESP32_ATECC608.configure import prepare
from boards.VIRTUAL.runtime import runtime_path
from firmware.hal.atecc608 import Atecc608
from firmware.hal.atecc608_errors import AteccError, ChipSilent, ExecutionRefused
from firmware.hal.atecc608_packet import crc16
from firmware.hal.atecc608_plan import KEY_SLOTS, is_configured
from tests.doubles.i2c_bus import Recorder
from tests.hal.bench import ChipBench

WRITE, LOCK, GENKEY = 0x12, 0x17, 0x40


class Person:
    """Reads what is shown and types what was decided before: by default the chip's number."""

    def __init__(self, answer: str | None = None) -> None:
        self.shown: list[str] = []
        self.asked = 0
        self._answer = answer

    def ask(self, question: str) -> str:
        """Types."""
        self.asked += 1
        return question.split()[-1].rstrip(":") if self._answer is None else self._answer

    def prepare(self, chip: Atecc608) -> bool:
        """Starts the tool."""
        return prepare(chip, self.ask, self.shown.append)

    @property
    def text(self) -> str:
        """All that was shown."""
        return "\n".join(self.shown)


def test_a_fresh_chip_is_shown_asked_for_locked_and_tried(fresh: ChipBench) -> None:
    person = Person()
    assert person.prepare(fresh.chip)
    assert person.asked == 1
    assert is_configured(fresh.chip)
    assert sorted(fresh.double.eeprom.keys) == list(KEY_SLOTS[1:]), "the identity's is not made"
    assert fresh.chip.serial().hex() in person.shown[0]
    assert "bytes 20 to 23: 83208720, shall be 81208120" in person.text
    assert "for ever" in person.text
    assert "14 slots make keys and sign" in person.shown[-1]


@pytest.mark.parametrize("answer", ["", "y", "yes", "0123", "0123000000000000ee"])
def test_any_other_answer_changes_nothing(fresh: ChipBench, answer: str) -> None:
    before = bytes(fresh.double.eeprom.config)
    person = Person(answer)
    assert not person.prepare(fresh.chip)
    assert bytes(fresh.double.eeprom.config) == before
    assert not {WRITE, LOCK, GENKEY}.intersection(fresh.double.executed)
    assert "Nothing was written" in person.shown[-1]


def test_the_number_may_be_typed_in_capitals(fresh: ChipBench) -> None:
    person = Person(f" {fresh.chip.serial().hex().upper()} ")
    assert person.prepare(fresh.chip)


def test_a_chip_in_use_is_left_alone(bench: ChipBench) -> None:
    """Its slots may hold the keys of money: none is made anew."""
    bench.chip.generate(0)
    bench.chip.generate(9)
    bench.chip.count_up(0)
    keys = dict(bench.double.eeprom.keys)
    bench.double.executed.clear()
    person = Person()
    assert person.prepare(bench.chip)
    assert bench.double.eeprom.keys == keys
    assert not {WRITE, LOCK, GENKEY}.intersection(bench.double.executed)
    assert person.asked == 0
    assert "stands at 1" in person.shown[-1]


def test_a_chip_with_another_plan_is_refused(fresh: ChipBench) -> None:
    fresh.chip.lock_config(crc16(fresh.chip.config()))
    person = Person()
    assert not person.prepare(fresh.chip)
    assert "for ever: take a fresh one" in person.shown[-1]
    assert fresh.double.eeprom.config[86] == 0x55


def test_another_chip_is_refused(fresh: ChipBench) -> None:
    fresh.double.eeprom.config[6] = 0x50
    person = Person()
    assert not person.prepare(fresh.chip)
    assert "no ATECC608" in person.shown[-1]


def test_a_slot_that_holds_no_key_is_named(
    fresh: ChipBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were slots 9 to 15 for certificates only, this chip would not become a purse's."""
    make = fresh.chip.generate

    def generate(slot: int) -> bytes:
        if slot >= 9:
            raise ExecutionRefused("the secure element answered with status 0F")
        return make(slot)

    monkeypatch.setattr(fresh.chip, "generate", generate)
    person = Person()
    assert not person.prepare(fresh.chip)
    assert "[9, 10, 11, 12, 13, 14, 15]" in person.shown[-1]
    assert "Do not use" in person.shown[-1]


def test_a_slot_whose_signatures_do_not_fit_is_named(
    fresh: ChipBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh.chip, "verify", lambda *asked: False)
    person = Person()
    assert not person.prepare(fresh.chip)
    assert str(list(KEY_SLOTS[1:])) in person.shown[-1]


def test_power_lost_anywhere_and_started_again(fresh: ChipBench) -> None:
    """Whatever the chip was at, the tool goes on and ends with a chip that is fit."""
    whole = ChipBench()
    assert Person().prepare(whole.chip)
    cuts = range(1, whole.bus.transactions, 7)
    assert len(cuts) > 30
    for cut in cuts:
        bench = ChipBench()
        bench.accident(cut, bench.double.cut_power)
        try:
            Person().prepare(bench.chip)
        except AteccError:
            bench.boot()
        person = Person()
        assert person.prepare(bench.chip), (cut, person.text)
        assert is_configured(bench.chip)


def test_a_silent_chip_is_told_from_a_bad_one(fresh: ChipBench) -> None:
    fresh.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    with pytest.raises(ChipSilent):
        Person().prepare(fresh.chip)


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from boards.ESP32_ATECC608.configure import _PINS, _read_pins, prepare
from firmware.hal.atecc608 import Atecc608
from tests.hal.chip_session import Player

with open({events!r}) as file:
    player = Player(file)
    fit = prepare(Atecc608(player, player), lambda question: question.split()[-1][:-1], print)
    print(fit, player.is_over, sorted(_read_pins(_PINS).items()))
"""


def test_the_tool_under_micropython(
    fresh: ChipBench, root: Path, tmp_path: Path, micropython: object
) -> None:
    """The same bytes on the bus and the same lines, as it will run on a board."""
    recorder = Recorder(fresh.bus)
    person = Person()
    assert person.prepare(Atecc608(recorder, recorder))
    events = tmp_path / "bus.json"
    events.write_text("".join(json.dumps(event) + "\n" for event in recorder.events))
    program = tmp_path / "play.py"
    program.write_text(PROGRAM.format(root=str(root), events=str(events)))
    run = subprocess.run(
        [runtime_path(64), "-X", "heapsize=128k", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    pins = [("SE_SCL", 22), ("SE_SDA", 21)]
    assert run.stdout.splitlines() == [*person.shown, f"True True {pins}"]
