# SPDX-License-Identifier: Apache-2.0
"""The reader's entry for pcscd and its udev rule: what they say, written, found, taken away."""

from __future__ import annotations

import grp
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from host_bridge.files import replace_file
from host_bridge.pcscd.ports import Holder, UsbIdentity
from host_bridge.pcscd.service import PROGRAM

ETC = Path("/etc")
READER_NAME = "Qalta Reader"
LINK = "qalta-reader"  # the name that udev gives the reader's port
CHANNEL = "0x51"  # only drivers of old look at it; no other entry has this one

_ENTRY = Path("reader.conf.d") / "qalta"
_RULE = Path("udev") / "rules.d" / "70-qalta-reader.rules"  # before 77-mm: it is no modem
_ENTRIES = _ENTRY.parent
_DEVICE_LINE = re.compile(r"^[ \t]*DEVICENAME[ \t]+\"?(?P<name>[^\s\"]+)", re.MULTILINE)
_FRAMING = ":GemPCTwin"
_PLAIN = re.compile(r"[\w./:+@,-]+", re.ASCII)
_SHARED_SERIALS = ("0001",)  # what a CP2102 says unless its maker numbered it
_PCSCD_GROUP = "pcscd"  # since 2.4 pcscd is a user of its own
_SERIAL_GROUP = "dialout"
# Once the board has booted: libccid asks a reader once, and gives it up after two seconds.
_RESTART = (
    "/usr/bin/systemd-run --no-block --collect --on-active=3 "
    "/usr/bin/systemctl try-restart pcscd.service"
)


class InstallError(Exception):
    """The reader cannot be installed or removed; the message is one sentence for people."""


@dataclass(frozen=True)
class Wanted:
    """What to install: a serial port, its device file, and what is behind it and around it."""

    port: str
    device: Path
    usb: UsbIdentity | None
    driver: Path
    has_udev: bool
    group: str

    @property
    def has_rule(self) -> bool:
        """Only a USB port changes its name and has something for a rule to know it by."""
        return self.usb is not None and self.has_udev

    @property
    def device_name(self) -> str:
        """The port's name for pcscd, which lasts where a rule can make it last."""
        return f"/dev/{LINK}" if self.has_rule else self.port


def entry_path(etc: Path = ETC) -> Path:
    """Where the entry stands."""
    return etc / _ENTRY


def rule_path(etc: Path = ETC) -> Path:
    """Where the udev rule stands."""
    return etc / _RULE


def port_group() -> str:
    """The group whose members may use the reader's port: pcscd's own if it has one."""
    try:
        return grp.getgrnam(_PCSCD_GROUP).gr_name
    except KeyError:
        return _SERIAL_GROUP


def plan(wanted: Wanted, etc: Path = ETC) -> dict[Path, str]:
    """The files to be there, by path. Raises InstallError for a name that cannot stand in one."""
    names = (wanted.device_name, str(wanted.driver))
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise InstallError(f"pcscd cannot be told of a path such as '{name}'.")
    if ":" in wanted.device_name:  # libccid takes what follows the first one for the framing
        raise InstallError(
            f"pcscd cannot use a port with a colon in its name, '{wanted.device_name}': "
            "give the name that it has in /dev or in /dev/serial/by-id."
        )
    made = {}
    if wanted.has_rule and wanted.usb is not None:
        made[rule_path(etc)] = _template("reader.rules").substitute(
            match=_match(wanted.usb), link=LINK, group=wanted.group, restart=_RESTART
        )
    made[entry_path(etc)] = _template("reader.conf").substitute(
        name=READER_NAME, device=names[0], driver=names[1], channel=CHANNEL
    )
    return made


def is_in_place(planned: dict[Path, str], etc: Path = ETC) -> bool:
    """Whether the files stand there already, with nothing too much."""
    stale = rule_path(etc) not in planned and rule_path(etc).exists()
    return not stale and all(_text(path) == text for path, text in planned.items())


def write(planned: dict[Path, str], etc: Path = ETC) -> None:
    """Writes the files, each whole or not at all. Raises InstallError."""
    try:
        if rule_path(etc) not in planned:
            rule_path(etc).unlink(missing_ok=True)
        for path, text in planned.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
    except OSError as error:
        raise InstallError(f"{error.filename} cannot be written: {error.strerror}.") from None


def remove(etc: Path = ETC) -> list[Path]:
    """Takes the files away; returns those that were there. Raises InstallError."""
    gone = [path for path in (entry_path(etc), rule_path(etc)) if path.exists()]
    try:
        for path in gone:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InstallError(f"{error.filename} cannot be removed: {error.strerror}.") from None
    return gone


def entries(etc: Path = ETC) -> Iterator[tuple[Path, str]]:
    """Each serial reader that pcscd is told of: the file, and the port's name."""
    folder = etc / _ENTRIES
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        for match in _DEVICE_LINE.finditer(_text(path)):
            yield path, match["name"].removesuffix(_FRAMING)


def require_free(wanted: Wanted, users: list[Holder], etc: Path = ETC) -> None:
    """Raises InstallError if another entry names the port, or another program has it open.

    pcscd itself has it open where our own entry names it already.
    """
    ours = False
    for path, name in entries(etc):
        if Path(name).resolve() != wanted.device:
            continue
        if path != entry_path(etc):
            raise InstallError(f"{path} names {wanted.port} already: remove that entry first.")
        ours = True
    for user in users:
        if not (ours and user.name == PROGRAM):
            raise InstallError(f"{wanted.port} is in use by {user.name} (process {user.pid}).")


def _match(usb: UsbIdentity) -> str:
    """The rule's condition: the device's own number, or else the socket that it is in."""
    keys = f'ATTRS{{idVendor}}=="{usb.vendor}", ATTRS{{idProduct}}=="{usb.product}"'
    if usb.serial not in _SHARED_SERIALS and _PLAIN.fullmatch(usb.serial):
        return f'{keys}, ATTRS{{serial}}=="{usb.serial}"'
    return f'{keys}, KERNELS=="{usb.socket}"'


def _template(name: str) -> Template:
    return Template(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
