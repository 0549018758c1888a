# SPDX-License-Identifier: Apache-2.0
"""libccid's driver for serial readers: where this system keeps the one that pcscd can load."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

NAME = "libccidtwin.so"  # "GemPC Twin" is the serial framing that it speaks
_DRIVERS = "pcsc/drivers/serial"
_ELF_MAGIC = b"\x7fELF"
_ELF_CLASS = slice(4, 6)  # 32 or 64 bits, byte order
_ELF_MACHINE = slice(18, 20)


def driver_folders(root: Path = Path("/")) -> Iterator[Path]:
    """Where the distributions put pcscd's serial drivers, the likeliest first."""
    multiarch = str(sysconfig.get_config_var("MULTIARCH") or "")
    for library in ("usr/lib", f"usr/lib/{multiarch}", "usr/lib64", "usr/local/lib"):
        yield root / library / _DRIVERS


def find_driver(root: Path = Path("/"), program: Path | None = None) -> Path | None:
    """The serial driver that fits `program`, which is pcscd; None if there is none.

    A library of another processor, which a system may have as well, does not fit.
    """
    machine = _machine(program) if program is not None else b""
    for folder in driver_folders(root):
        for path in sorted(folder.glob(f"{NAME}*")):
            if path.is_file() and machine in (b"", _machine(path)):
                return path
    return None


def _machine(path: Path) -> bytes:
    """What an ELF file was made for; empty where it is no ELF file."""
    try:
        with path.open("rb") as file:
            head = file.read(_ELF_MACHINE.stop)
    except OSError:
        return b""
    return head[_ELF_CLASS] + head[_ELF_MACHINE] if head.startswith(_ELF_MAGIC) else b""
