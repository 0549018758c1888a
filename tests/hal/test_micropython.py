# SPDX-License-Identifier: Apache-2.0
"""Driver and element under MicroPython: the same bytes on the bus, the same answers."""

import json
import subprocess
from pathlib import Path

import pytest

from boards.VIRTUAL.runtime import runtime_path
from firmware.hal.atecc608 import COUNTER_END
from tests.doubles.i2c_bus import Recorder
from tests.hal.bench import ChipBench
from tests.hal.chip_session import live

HEAP = "128k"
INCREMENT = (0x24, 0x01)


def recorded() -> tuple[list[str], list[list[object]]]:
    """A life on the double, with a lost bit each way, a jump and the counter's end."""
    bench = ChipBench()
    double = bench.double
    double.garbled_answers = 1
    double.garbled_commands = 1
    double.slow = True
    double.steps = [1, 1, COUNTER_END]
    double.before[INCREMENT] = lambda: setattr(double, "garbled_answers", 2)
    recorder = Recorder(bench.bus)
    lines = live(recorder, recorder)
    assert lines[-2:] == [str(COUNTER_END), "exhausted"]
    assert lines[:3] == ["00006002", "False", "True"]
    return lines, recorder.events


@pytest.mark.parametrize("bits", [64, 32])
def test_micropython_asks_the_chip_as_cpython_does(
    bits: int, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    lines, events = recorded()
    transcript = tmp_path / "bus.json"
    transcript.write_text("".join(json.dumps(event) + "\n" for event in events))
    program = tmp_path / "play.py"
    program.write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\n"
        f"from tests.hal.chip_session import play\nplay({str(transcript)!r})\n"
    )
    run = subprocess.run(
        [runtime_path(bits), "-X", f"heapsize={HEAP}", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [*lines, "over"]
