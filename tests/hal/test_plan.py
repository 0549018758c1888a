# SPDX-License-Identifier: Apache-2.0
"""The configuration of a purse's chip: written once, whole, and as the page says."""

import re
from pathlib import Path

import pytest

from firmware.hal.atecc608 import CONFIG_ZONE
from firmware.hal.atecc608_errors import AteccError, ExecutionRefused
from firmware.hal.atecc608_packet import crc16
from firmware.hal.atecc608_plan import (
    KEY_SLOTS,
    SPARE_SLOT,
    AnotherPlan,
    configure,
    is_configured,
    plan,
)
from tests.doubles.power import MOMENTS, WITHIN, PowerCut
from tests.hal.bench import DIGEST, ChipBench

_ROW = re.compile(r"^\| (\d+)(?:–(\d+))? \| `([0-9A-F ×…]+)` \|", re.MULTILINE)


def documented(root: Path) -> bytes:
    """The byte table of the page, put together; what it leaves out is zero."""
    text = (root / "docs" / "atecc608.md").read_text(encoding="utf-8")
    table = text.partition("## The configuration zone, byte by byte")[2].partition("\n## ")[0]
    zone = bytearray(128)
    for first, last, written in _ROW.findall(table):
        pattern, _, times = written.partition("×")
        value = bytes.fromhex(pattern) * int(times or 1)
        assert len(value) == int(last or first) - int(first) + 1, f"row {first}"
        zone[int(first) : int(last or first) + 1] = value
    return bytes(zone)


def test_the_page_says_what_is_written(root: Path) -> None:
    assert documented(root) == plan()


def test_the_page_names_every_writable_byte(root: Path) -> None:
    text = (root / "docs" / "atecc608.md").read_text(encoding="utf-8")
    named = {
        place
        for first, last, _ in _ROW.findall(text)
        for place in range(int(first), int(last or first) + 1)
    }
    assert named == set(range(16, 128)) - {84, 85, 86, 87}


def test_configure(fresh: ChipBench) -> None:
    assert not is_configured(fresh.chip)
    configure(fresh.chip)
    assert is_configured(fresh.chip)
    zone = fresh.chip.config()
    assert zone[16:52] == plan()[16:52]
    assert zone[86:88] == bytes(2), "both zones are locked"
    with pytest.raises(ExecutionRefused):
        fresh.chip.write(CONFIG_ZONE, 5, bytes(4))


def test_what_the_plan_allows(bench: ChipBench) -> None:
    for slot in KEY_SLOTS:
        bench.chip.generate(slot)
        bench.chip.sign(slot, DIGEST)
    with pytest.raises(ExecutionRefused):
        bench.chip.generate(SPARE_SLOT)


def test_configure_again_does_nothing(bench: ChipBench) -> None:
    bench.chip.generate(0)
    bench.chip.lock_slot(0)
    bench.chip.count_up(0)
    before = bench.chip.config()
    bench.double.executed.clear()
    configure(bench.chip)
    assert bench.chip.config() == before
    assert not {0x12, 0x17}.intersection(bench.double.executed), "neither written nor locked"


def test_a_chip_with_another_plan_is_refused(fresh: ChipBench) -> None:
    fresh.chip.lock_config(crc16(fresh.chip.config()))
    with pytest.raises(AnotherPlan, match="locked with another configuration, for ever"):
        configure(fresh.chip)
    assert fresh.double.eeprom.config[86] == 0x55, "its slots stay open"
    assert not is_configured(fresh.chip)


@pytest.mark.parametrize("place", [16, 19, 20, 37, 51, 68, 69, 70, 72, 83, 90, 92, 96, 113, 127])
def test_one_other_bit_is_another_plan(bench: ChipBench, place: int) -> None:
    bench.double.eeprom.config[place] ^= 0x04
    assert not is_configured(bench.chip)
    with pytest.raises(AnotherPlan):
        configure(bench.chip)


def test_another_chip_is_refused(fresh: ChipBench) -> None:
    fresh.double.eeprom.config[6] = 0x50
    with pytest.raises(AnotherPlan, match="no ATECC608"):
        configure(fresh.chip)
    assert 0x12 not in fresh.double.executed


def test_a_chip_that_does_not_keep_what_is_written(fresh: ChipBench) -> None:
    class Stubborn(bytearray):
        def __setitem__(self, place, value):  # type: ignore[no-untyped-def]
            if place != slice(20, 24):
                super().__setitem__(place, value)

    fresh.double.eeprom.config = Stubborn(fresh.double.eeprom.config)
    with pytest.raises(AnotherPlan, match="does not keep"):
        configure(fresh.chip)
    assert fresh.double.eeprom.config[87] == 0x55, "nothing was locked"


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != WITHIN])
def test_a_cut_anywhere_while_configuring(moment: str) -> None:
    """Cut at every transaction, at the next try it goes on."""
    whole = ChipBench()
    configure(whole.chip)
    cuts = range(1, whole.bus.transactions + 1)
    assert len(cuts) > 100
    for cut in cuts:
        bench = ChipBench()
        bench.bus.cut(cut, moment)
        with pytest.raises(PowerCut):
            configure(bench.chip)
        bench.bus.cut(0, moment)
        bench.double.cut_power()
        bench.boot()
        configure(bench.chip)
        assert is_configured(bench.chip)


def test_configure_says_when_there_is_no_chip(fresh: ChipBench) -> None:
    fresh.double.line_low = lambda duration_us: None  # type: ignore[method-assign]
    with pytest.raises(AteccError, match="no secure element answers"):
        configure(fresh.chip)
