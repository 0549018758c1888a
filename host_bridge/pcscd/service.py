# SPDX-License-Identifier: Apache-2.0
"""pcscd itself: whether it is installed, whether it answers, and how it is started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PROGRAM = "pcscd"
SOCKET = "/run/pcscd/pcscd.comm"
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"  # as pcsc-lite's own clients take it
START = "sudo systemctl enable --now pcscd.socket"
START_WITHOUT_SYSTEMD = "sudo service pcscd start"
RESTART = "sudo systemctl restart pcscd.service"
RESTART_WITHOUT_SYSTEMD = "sudo service pcscd restart"

_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
_SBIN = "/usr/sbin:/usr/local/sbin"  # not on everybody's PATH
_CONNECT_S = 3.0
_COMMAND_S = 30.0

Run = Callable[[Sequence[str]], bool]


class Answer(Enum):
    """What pcscd's socket says to somebody who knocks."""

    LISTENS = "listens"
    ABSENT = "absent"
    REFUSED = "refused"  # the socket is there, and nobody behind it
    DENIED = "denied"


@dataclass(frozen=True)
class Service:
    """What is known of pcscd without asking it for readers."""

    program: Path | None
    socket: str
    answer: Answer
    has_systemd: bool

    @property
    def start_command(self) -> str:
        """What a person types to start it."""
        return START if self.has_systemd else START_WITHOUT_SYSTEMD

    @property
    def restart_command(self) -> str:
        """What a person types to start it again."""
        return RESTART if self.has_systemd else RESTART_WITHOUT_SYSTEMD


def find_service(environment: Mapping[str, str] = os.environ) -> Service:
    """Looks at this machine's pcscd. Knocking starts it where systemd listens for it."""
    path = f"{environment.get('PATH', os.defpath)}:{_SBIN}"
    found = shutil.which(PROGRAM, path=path)
    address = environment.get(SOCKET_VARIABLE) or SOCKET
    program = Path(found) if found else None
    return Service(program, address, knock(address), _SYSTEMD.is_dir())


def knock(address: str) -> Answer:
    """Whether somebody listens at a socket's path."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_CONNECT_S)
            client.connect(address)
    except PermissionError:
        return Answer.DENIED
    except FileNotFoundError:
        return Answer.ABSENT
    except OSError:
        return Answer.REFUSED
    return Answer.LISTENS


def run_command(command: Sequence[str]) -> bool:
    """Runs a command of the system; whether it went well. Its output is not wanted."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def restart(service: Service, run: Run = run_command) -> str:
    """Lets pcscd read its entries anew; returns what to tell people.

    `pcscd --hotplug` would not do: with libudev, as distributions build it, it reads none
    (pcsc-lite, HPReCheckSerialReaders in hotplug_libudev.c).
    """
    if service.answer in (Answer.ABSENT, Answer.REFUSED):
        return "pcscd does not run; it will find the change when it starts."
    if service.has_systemd and run(("systemctl", "try-restart", "pcscd.service")):
        return "pcscd was started again."
    return f"pcscd still has its old entries; start it again: {service.restart_command}"
