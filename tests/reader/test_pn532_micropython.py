# SPDX-License-Identifier: Apache-2.0
"""The PN532's driver under MicroPython: the same bytes on the bus, the same answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from boards.VIRTUAL.runtime import runtime_path
from tests.reader.pn532_session import live

HEAP = "160k"


@pytest.mark.parametrize("bits", [64, 32])
def test_micropython_drives_the_chip_as_cpython_does(
    bits: int, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    program = tmp_path / "live.py"
    program.write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.reader.pn532_session import main\nmain()\n"
    )
    run = subprocess.run(
        [runtime_path(bits), "-X", f"heapsize={HEAP}", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    lines = live()
    assert run.stdout.splitlines() == lines
    assert "True" in lines
    assert "9000" in lines
    assert "False True" in lines
