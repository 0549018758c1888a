# SPDX-License-Identifier: Apache-2.0
"""Serial ports as Linux tells of them: what a path is, which USB device is behind it, who has it.

Nothing is opened here: opening the port of an ESP32 may reset it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DRIVERS = Path("/proc/tty/drivers")
PROCESSES = Path("/proc")
SYSFS = Path("/sys")

_SERIAL_KINDS = ("serial", "pty:slave")  # a pseudo-terminal is a virtual board's port
_COLUMNS = 5  # of /proc/tty/drivers: driver, prefix, major, minors, kind
_MAX_PARENTS = 12  # folders between a port and its USB device in /sys; three are usual


class PortError(Exception):
    """This path is no serial port that can be used; the message is one sentence for people."""


@dataclass(frozen=True)
class UsbIdentity:
    """The USB device of a port: ids in hex, its serial number if it has one, its socket."""

    vendor: str
    product: str
    serial: str
    socket: str  # such as 1-1.4: the way through the hubs


@dataclass(frozen=True)
class Holder:
    """A process that has a port open."""

    pid: int
    name: str


def serial_port(path: str, *, drivers: Path = DRIVERS) -> Path:
    """The device file behind `path`, links followed. Raises PortError if it is no serial port."""
    given = Path(path)
    if not given.is_absolute():
        raise PortError(f"'{path}' is no serial port: give its path, such as /dev/ttyUSB0.")
    try:
        device = given.resolve(strict=True)
        found = device.stat()
    except OSError:
        raise PortError(f"There is no serial port {path}.") from None
    if not stat.S_ISCHR(found.st_mode):
        raise PortError(f"{path} is not a serial port.")
    kind = kind_of(os.major(found.st_rdev), os.minor(found.st_rdev), _text(drivers))
    if kind not in _SERIAL_KINDS:
        raise PortError(f"{path} is not a serial port.")
    return device


def kind_of(major: int, minor: int, drivers: str) -> str:
    """What /proc/tty/drivers says of a device number: serial, console, …; empty if nothing."""
    for line in drivers.splitlines():
        words = line.split()
        if len(words) != _COLUMNS or words[2] != str(major):
            continue
        first, _, last = words[3].partition("-")
        if int(first) <= minor <= int(last or first):
            return words[4]
    return ""


def usb_identity(device: Path, *, sysfs: Path = SYSFS) -> UsbIdentity | None:
    """The USB device that `device` is a port of; None if it is of none."""
    try:
        folder = (sysfs / "class" / "tty" / device.name).resolve(strict=True)
    except OSError:
        return None
    for parent in (folder, *list(folder.parents)[:_MAX_PARENTS]):
        if (parent / "idVendor").is_file():
            vendor, product, serial = (
                _text(parent / name).strip() for name in ("idVendor", "idProduct", "serial")
            )
            return UsbIdentity(vendor, product, serial, parent.name)
    return None


def holders(device: Path, *, processes: Path = PROCESSES) -> list[Holder]:
    """Who has `device` open, besides this process; of others' processes only root sees it all."""
    return [
        Holder(pid, _text(processes / str(pid) / "comm").strip())
        for pid in _pids(processes)
        if pid != os.getpid() and _has_open(processes / str(pid) / "fd", device)
    ]


def _pids(processes: Path) -> Iterator[int]:
    for entry in sorted(processes.iterdir()):
        if entry.name.isdigit():
            yield int(entry.name)


def _has_open(descriptors: Path, device: Path) -> bool:
    with suppress(OSError):  # another user's process, or it ended meanwhile
        for name in os.listdir(descriptors):
            with suppress(OSError):
                if os.readlink(descriptors / name) == str(device):
                    return True
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
