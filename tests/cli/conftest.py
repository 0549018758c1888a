# SPDX-License-Identifier: Apache-2.0
"""`qalta` as people run it: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120


class Shell:
    """A folder to work in, and boards that are switched off at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | {
            "PYTHONPATH": str(_ROOT),
            "QALTA_HOME": str(folder / "home"),
            "QALTA_TILL": str(folder / "till"),
            "COLUMNS": "160",
        }

    def __call__(
        self, *words: object, pin: str = "", typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs `qalta` with these words, whatever it answers."""
        return subprocess.run(
            [sys.executable, "-m", "host_bridge.cli", *map(str, words)],
            cwd=self.folder,
            env=self._environment | ({"QALTA_PIN": pin} if pin else {}),
            input=typed,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    def good(self, *words: object, pin: str = "", typed: str = "") -> str:
        """Runs what must go well; returns what it printed."""
        done = self(*words, pin=pin, typed=typed)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def bad(self, *words: object, pin: str = "", typed: str = "") -> str:
        """Runs what must be refused; returns the one sentence that says why."""
        done = self(*words, pin=pin, typed=typed)
        told = (done.stdout + done.stderr).strip()
        assert done.returncode != 0, told
        assert "Traceback" not in told
        assert "failed inside" not in told
        assert told, "a refusal says why"
        return told


@pytest.fixture
def qalta(tmp_path: Path, micropython: Path) -> Iterator[Shell]:
    """The command line, with boards of its own."""
    shell = Shell(tmp_path)
    yield shell
    for folder in sorted((tmp_path / "home").glob("boards/*")):
        shell("board", "stop", folder.name)
