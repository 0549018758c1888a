# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a virtual board: MicroPython on a flash-image file behind a pseudo-terminal."""

import os
import signal
import termios
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from boards.VIRTUAL.process import Locked, end_process, has_ended, lock_file
from boards.VIRTUAL.runtime import runtime_path

HEAP_KIB = {64: 256, 32: 128}
# The names in the driver of a PN532, which an ESP32 with a frozen firmware has in its flash.
PN532_KIB = 16
_BOOT = Path(__file__).resolve().with_name("boot.py")
_BUS_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC


class BoardError(RuntimeError):
    """A board cannot be started, found or ended; the text is one sentence for people."""


def open_bus(pn532: str) -> int:
    """An open file to the PN532 behind this port. Raises BoardError if it is out of reach."""
    try:
        bus = os.open(pn532, _BUS_FLAGS)
    except OSError as error:
        raise BoardError(f"The PN532 at {pn532} is out of reach: {error}.") from None
    try:
        tty.setraw(bus)
    except termios.error:
        os.close(bus)
        raise BoardError(f"{pn532} is no serial port.") from None
    return bus


def image_lock(image: Path) -> Path:
    """Return the file whose lock belongs to whoever uses the image: a running board, or a tool."""
    return image.with_name(image.name + ".lock")


class VirtualBoard:
    """One virtual board.

    image: flash image, made by provisioning.image. bits: 64 or 32, which MicroPython.
    heap_kib: size of its heap, by default 256 (64 bits) or 128 (32 bits), 16 more with a PN532.
    log: file that takes the board's stderr; nowhere if None. pn532: the serial port, a
    pseudo-terminal too, behind which a PN532 or its double listens; the card is then a contactless
    one, and silent at its own port.
    """

    def __init__(
        self,
        image: Path,
        *,
        bits: int = 64,
        heap_kib: int | None = None,
        log: Path | None = None,
        pn532: str | None = None,
    ) -> None:
        self.image = image.absolute()
        self._runtime = runtime_path(bits)
        self._heap_kib = heap_kib or HEAP_KIB[bits] + (0 if pn532 is None else PN532_KIB)
        self._log = log
        self._pn532 = pn532
        self._pid: int | None = None
        self._reaped = False  # it ended by itself, and its pid may belong to another program
        self._port = ""
        # Held while the board is on: the kernel gives the number of a freed pseudo-terminal to
        # the next one, and a client of a board that died would find itself talking to another.
        self._slave: int | None = None

    @property
    def alive(self) -> bool:
        """Whether the board's process runs."""
        if self._pid is not None and not self._reaped:
            self._reaped = has_ended(self._pid)
        return self._pid is not None and not self._reaped

    @property
    def port(self) -> str:
        """The path of the serial port, new at every start; BoardError if it is switched off."""
        if self._pid is None:
            raise BoardError("The board is switched off.")
        return self._port

    @property
    def pid(self) -> int:
        """The board's process; BoardError if it is switched off."""
        if self._pid is None:
            raise BoardError("The board is switched off.")
        return self._pid

    def start(self) -> None:
        """Switch the board on.

        Raises BoardError if the image is missing or in use, or the PN532 is out of reach.
        """
        if not self.image.is_file():
            raise BoardError(f"There is no flash image {self.image}.")
        try:
            lock = lock_file(image_lock(self.image))
        except Locked:
            raise BoardError(f"The flash image {self.image} is in use.") from None
        log = os.open(
            self._log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.detach()
        opened = [lock, log]
        try:
            bus = [] if self._pn532 is None else [open_bus(self._pn532)]
            opened += bus
            master, self._slave = os.openpty()
            opened.append(master)
            tty.setraw(self._slave)
            self._port = os.ttyname(self._slave)
            self._pid = self._spawn(master, log, [self._slave, lock, *bus], bus)
            self._reaped = False
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _spawn(self, master: int, log: int, kept: list[int], bus: list[int]) -> int:
        """Start MicroPython with the master as its stdin and stdout.

        It inherits the slave, which keeps the port open from one client to the next, the lock of
        its image and the line to its PN532. A descriptor duplicated onto itself survives the exec
        (POSIX).
        """
        heap = f"heapsize={self._heap_kib}k"
        command = [str(self._runtime), "-X", heap, str(_BOOT), str(self.image), *map(str, bus)]
        return os.posix_spawn(
            command[0],
            command,
            {"PATH": os.environ.get("PATH", os.defpath)},  # a card has no business with the rest
            file_actions=[
                (os.POSIX_SPAWN_DUP2, master, 0),
                (os.POSIX_SPAWN_DUP2, master, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in kept),
            ],
            setsid=True,  # Ctrl-C in the client's terminal is not for the board
        )

    def kill(self) -> None:
        """Cut the power: SIGKILL, wherever the board is."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Switch the board off; nothing happens if it is off already."""
        self._end(signal.SIGTERM)

    def _end(self, request: signal.Signals) -> None:
        if self.alive:
            end_process(self.pid, request)
        self.detach()

    def detach(self) -> None:
        """Leave the board to itself: what runs goes on, and this object is as before `start`."""
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
        self.stop()
