# SPDX-License-Identifier: Apache-2.0
"""Where the MicroPython interpreters are."""

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LAUNCHERS = {64: "micropython", 32: "micropython32"}


class RuntimeMissing(RuntimeError):
    """The MicroPython interpreter is not on this machine yet."""


def runtime_path(bits: int = 64) -> Path:
    """Return the launcher of the 64- or 32-bit MicroPython.

    It is looked for in `.runtime/bin` of the repository, or in the folder that the environment
    variable QALTA_RUNTIME names. Raises RuntimeMissing if it is not there, ValueError for
    another number of bits.
    """
    if bits not in _LAUNCHERS:
        raise ValueError("MicroPython comes with 64 or 32 bits.")
    folder = Path(os.environ.get("QALTA_RUNTIME") or _ROOT / ".runtime" / "bin")
    launcher = folder.absolute() / _LAUNCHERS[bits]
    if not os.access(launcher, os.X_OK):
        raise RuntimeMissing("MicroPython is not set up: run 'make setup'")
    return launcher
