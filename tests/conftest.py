# SPDX-License-Identifier: Apache-2.0
"""What every test can ask for: the checkout's root and the two MicroPython interpreters."""

import os
import platform
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A failing example prints the line that plays it again; a slow card is not a failing card.
hypothesis.settings.register_profile("qalta", deadline=None, print_blob=True)
hypothesis.settings.load_profile("qalta")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases the tests ran that walk thousands of them in one go."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "cases":
                terminalreporter.write_line(f"{value} cases: {report.nodeid.rpartition('/')[2]}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The launcher of the 64-bit interpreter; a test that asks for it fails without one."""
    launcher = ROOT / ".runtime" / "bin" / "micropython"
    if not launcher.exists():
        pytest.fail("There is no MicroPython in .runtime. Run: make setup", pytrace=False)
    return launcher


@pytest.fixture(scope="session")
def micropython32() -> Path:
    """The launcher of the 32-bit interpreter.

    Some machines cannot run one, and there its tests are skipped; in continuous integration on
    x86-64, where it always runs, its absence is a failure.
    """
    launcher = ROOT / ".runtime" / "bin" / "micropython32"
    if not launcher.exists():
        reason = "There is no 32-bit MicroPython in .runtime; `make setup` says why."
        if os.environ.get("CI") and platform.machine() == "x86_64":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return launcher
