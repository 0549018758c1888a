# SPDX-License-Identifier: Apache-2.0
"""Checks of the machine: its clock, its disk, the folders that qalta writes to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from host_bridge.doctor.finding import Finding, bad, good, lacking

OLDEST_CLOCK = 1_788_220_800  # 1 September 2026: this program is younger
NEWEST_CLOCK = 4_102_444_800  # 1 January 2100
LOW_DISK = 256 * 1024 * 1024  # bytes; a virtual board takes 4 MiB and a till's books grow
NO_DISK = 16 * 1024 * 1024
_MEGABYTE = 1024 * 1024
_SET_CLOCK = "sudo timedatectl set-ntp true"


def check_clock(now: float) -> Finding:
    """The clock, in Unix seconds: certificates are valid from one day to another."""
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not OLDEST_CLOCK <= now <= NEWEST_CLOCK:
        sentence = f"The clock says {when}, which cannot be: no certificate is valid then."
        return bad("clock", sentence, _SET_CLOCK)
    return good("clock", when)


def check_disk(free: int, folder: Path) -> Finding:
    """The room left where qalta keeps boards and books, in bytes."""
    room = f"{free // _MEGABYTE} MiB"
    command = f"df -h {folder}"
    if free < NO_DISK:
        return bad("disk", f"The disk of {folder} is full: {room} are left.", command)
    if free < LOW_DISK:
        sentence = f"The disk of {folder} is nearly full: {room} are left."
        return lacking("disk", sentence, command, needed=False)
    return good("disk", f"{room} free at {folder}")


def check_folder(what: str, folder: Path, writable: bool, owner: str) -> Finding:
    """A folder that must be writable, or creatable. `owner` has it, or its nearest parent."""
    if not writable:
        sentence = f"The folder of {what}, {folder}, cannot be written: it belongs to {owner}."
        return bad("folder", sentence, f'sudo chown -R "$USER" {folder}')
    return good("folder", f"{what}: {folder}")
