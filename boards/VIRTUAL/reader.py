# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a virtual reader: MicroPython between a computer's port and a PN532's."""

import os
import signal
import tty
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from boards.VIRTUAL.board import BoardError, open_bus
from boards.VIRTUAL.process import end_process, has_ended
from boards.VIRTUAL.runtime import runtime_path

HEAP_KIB = {64: 256, 32: 128}
_BOOT = Path(__file__).resolve().with_name("reader_boot.py")
_BUS = 3  # the number of the open file with which the PN532's port reaches MicroPython
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class VirtualReader:
    """One virtual reader.

    pn532: the serial port, a pseudo-terminal too, behind which a PN532 or its double listens.
    bits: 64 or 32, which MicroPython. log: file that takes the reader's stderr; nowhere if None.
    boot: another program than the reader's own, for tests.
    """

    def __init__(
        self, pn532: str, *, bits: int = 64, log: Path | None = None, boot: Path = _BOOT
    ) -> None:
        self._pn532 = pn532
        self._boot = boot
        self._command = [str(runtime_path(bits)), "-X", f"heapsize={HEAP_KIB[bits]}k"]
        self._log = log
        self._pid: int | None = None
        self._port = ""
        # Held for the same reason as a board's (VirtualBoard).
        self._slave: int | None = None

    @property
    def alive(self) -> bool:
        """Whether the reader's process runs."""
        if self._pid is not None and has_ended(self._pid):
            self._pid = None
        return self._pid is not None

    @property
    def pid(self) -> int:
        """The reader's process; BoardError if it is not running."""
        if self._pid is None:
            raise BoardError("The reader is unplugged.")
        return self._pid

    @property
    def port(self) -> str:
        """The path of the serial port, new at every start; BoardError if it is not running."""
        if self._slave is None:
            raise BoardError("The reader is unplugged.")
        return self._port

    def start(self) -> None:
        """Plugs the reader in. Raises BoardError if it is, or if there is no port to the PN532."""
        if self._slave is not None:
            raise BoardError("The reader is plugged in already.")
        with ExitStack() as opened:  # the reader's process has its own copies
            bus = _hold(opened, open_bus(self._pn532))
            log = _hold(opened, os.open(self._log or os.devnull, _LOG_FLAGS, 0o600))
            master, self._slave = os.openpty()
            _hold(opened, master)
            tty.setraw(self._slave)
            os.set_blocking(master, False)
            self._port = os.ttyname(self._slave)
            self._pid = self._spawn(master, self._slave, bus, log)

    def _spawn(self, master: int, slave: int, bus: int, log: int) -> int:
        """As VirtualBoard does. _BUS is free here, or `bus` itself: that was opened first."""
        return os.posix_spawn(
            self._command[0],
            [*self._command, str(self._boot), str(_BUS)],
            {"PATH": os.environ.get("PATH", os.defpath)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, master, 0),
                (os.POSIX_SPAWN_DUP2, master, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, slave, slave),
                (os.POSIX_SPAWN_DUP2, bus, _BUS),
            ],
            setsid=True,
        )

    def unplug(self) -> None:
        """Takes the reader away: SIGKILL, and its port is gone. Twice is fine."""
        if self.alive:
            end_process(self.pid, signal.SIGKILL)
        self._pid = None
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unplug()


def _hold(opened: ExitStack, descriptor: int) -> int:
    """Leaves a descriptor to be closed with the others."""
    opened.callback(os.close, descriptor)
    return descriptor
