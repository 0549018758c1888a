# SPDX-License-Identifier: Apache-2.0
"""The real PC/SC daemon, pcscd, as a child of the tests: its own readers, its own socket.

pcscd takes its socket as systemd would hand it over (sd_listen_fds(3)), so that it disturbs no
pcscd which the machine runs, needs no root, and several may run at once. The clients, pyscard
here and programs that the tests start, find it by PCSCLITE_CSOCK_NAME (pcsc-lite's NEWS, 1.6.2).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from host_bridge.closing import Closing

SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
VPCD_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
TWIN_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libccidtwin.so")

_PACKAGES = {
    "pcscd": "pcscd",
    "opensc-tool": "opensc",
    "pcsc_scan": "pcsc-tools",
    VPCD_DRIVER: "vsmartcard-vpcd",
    TWIN_DRIVER: "libccid",
}
_SBIN = "/usr/sbin:/usr/local/sbin"
_READY = "daemon ready"
_NO_POLKIT = "--disable-polkit"  # of pcsc-lite 2: the tests ask their own daemon only
_FIRST_LISTEN_FD = 3  # SD_LISTEN_FDS_START
_START_S = 20.0  # a driver may wait for a reader that does not answer
_STOP_S = 10.0
_POLL_S = 0.02
_LOG_TAIL = 6000  # characters of the log that a failure shows


class ServiceError(AssertionError):
    """pcscd cannot be used; the text says what to install, or what its log says."""


@dataclass(frozen=True)
class ReaderEntry:
    """One reader of reader.conf(5): `device` is what its driver takes as DEVICENAME."""

    name: str
    device: str
    driver: Path
    channel: int = 0

    @property
    def text(self) -> str:
        """The entry's lines."""
        return (
            f'FRIENDLYNAME "{self.name}"\nDEVICENAME {self.device}\n'
            f"LIBPATH {self.driver}\nCHANNELID {self.channel:#x}\n\n"
        )


def vpcd_reader(port: int, name: str = "Virtual PCD") -> ReaderEntry:
    """vsmartcard's virtual reader: slot 0 listens on TCP `port`, slot 1 on the next one."""
    return ReaderEntry(name, f"/dev/null:{port:#06x}", VPCD_DRIVER, port)


def twin_reader(device: str | Path, name: str = "Qalta Reader") -> ReaderEntry:
    """A reader on a serial port, or pseudo-terminal, behind libccid's driver for GemPC Twin."""
    return ReaderEntry(name, f"{device}:GemPCTwin", TWIN_DRIVER)


def need(what: str | Path) -> str:
    """The path of a program or driver. Raises ServiceError with the Debian package's name."""
    found = shutil.which(str(what), path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    if found is None and not Path(what).is_file():
        package = _PACKAGES[what]
        raise ServiceError(f"There is no {what}: install Debian's package {package} (make setup).")
    return found or str(what)


def socket_path() -> Path:
    """Where this process's pcscd listens. libpcsclite reads the name once, so it never changes."""
    return Path(tempfile.gettempdir()) / f"qalta-pcscd-{os.getpid()}" / "comm"


def point_clients_here() -> None:
    """Makes PC/SC clients of this process, and of its children, ask at `socket_path()`.

    To be called before the first use of pyscard, also by tests that want no pcscd at all.
    """
    os.environ[SOCKET_VARIABLE] = str(socket_path())


def _options(program: str) -> list[str]:
    """What this version of pcscd needs to serve whoever can reach its socket, and nobody else."""
    told = subprocess.run(
        [program, "--help"], capture_output=True, text=True, timeout=_STOP_S, check=False
    )
    return [_NO_POLKIT] if _NO_POLKIT in told.stdout + told.stderr else []


class PcscService(Closing):
    """One pcscd with these readers, from `start` (or `with`) to `stop`.

    folder: takes its configuration and its log. debug: a log with every step, and with
    `apdus` every APDU too. It is one at a time in a process, since the clients know one socket.
    """

    def __init__(
        self,
        folder: Path,
        readers: Sequence[ReaderEntry],
        *,
        debug: bool = False,
        apdus: bool = False,
    ) -> None:
        self.log = folder / "pcscd.log"
        self.configuration = folder / "reader.conf"
        self._level = ["--debug" if debug else "--info", *(["--apdu"] if apdus else [])]
        self._pid = 0
        self._pidfd = -1
        self.configure(readers)

    @property
    def pid(self) -> int:
        """The daemon's process; 0 while none runs."""
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether the daemon runs."""
        return self._pid != 0 and not self._has_ended(0)

    @property
    def told(self) -> str:
        """What the daemon has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def configure(self, readers: Sequence[ReaderEntry]) -> None:
        """Writes reader.conf; a daemon reads it when it starts."""
        for reader in readers:
            need(reader.driver)
        self.configuration.parent.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text("".join(reader.text for reader in readers))

    def start(self) -> None:
        """Starts the daemon and waits until it serves. Raises ServiceError with its log."""
        assert not self._pid, "this pcscd runs already"
        point_clients_here()
        address = socket_path()
        address.parent.mkdir(mode=0o700, exist_ok=True)
        address.unlink(missing_ok=True)
        program = need("pcscd")
        command = [program, "--foreground", *self._level, *_options(program), "--config"]
        with socket.socket(socket.AF_UNIX) as listener, self.log.open("wb") as log:
            listener.bind(str(address))
            listener.listen()
            self._pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command, str(self.configuration)],
                os.environ | {"LISTEN_FDS": "1"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                    (os.POSIX_SPAWN_DUP2, listener.fileno(), _FIRST_LISTEN_FD),
                ],
                setsid=True,  # Ctrl-C ends the tests, and they end the daemon
            )
        self._pidfd = os.pidfd_open(self._pid)
        deadline = time.monotonic() + _START_S
        while _READY not in self.told:
            if self._has_ended(_POLL_S) or time.monotonic() > deadline:
                told = self.told
                self.stop()
                raise ServiceError(f"pcscd does not serve; it says:\n{told[-_LOG_TAIL:]}")

    def restart(self) -> None:
        """What our udev rule does when a reader comes back.

        `pcscd --hotplug` would not do: built with libudev, as Debian's is, pcscd looks into
        reader.conf once, when it starts.
        """
        self.stop()
        self.start()

    def stop(self) -> None:
        """Ends the daemon, kindly and then not; stopping twice is fine."""
        if not self._pid:
            return
        for request in (signal.SIGTERM, signal.SIGKILL):
            if not self._has_ended(0):
                signal.pidfd_send_signal(self._pidfd, request)
            if self._has_ended(_STOP_S):
                break
        os.waitpid(self._pid, 0)
        os.close(self._pidfd)
        self._pid, self._pidfd = 0, -1
        shutil.rmtree(socket_path().parent, ignore_errors=True)

    def show_log(self) -> None:
        """Prints the log's end: pytest shows it where the test failed."""
        print(f"--- pcscd's log ---\n{self.told[-_LOG_TAIL:]}")

    def _has_ended(self, wait_s: float) -> bool:
        return bool(select.select([self._pidfd], [], [], wait_s)[0])

    def __enter__(self) -> Self:
        self.start()
        return self

    def close(self) -> None:
        """Stops it, and prints what it said."""
        self.stop()
        self.show_log()
