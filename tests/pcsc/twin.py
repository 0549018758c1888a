# SPDX-License-Identifier: Apache-2.0
"""Our reader's firmware at a port that can be unplugged, for pcscd's own serial driver.

The firmware runs in this process, and its antenna is a double: what is wanted here is a reader
that goes and comes back, as a USB plug makes it do. The port is a link to a pseudo-terminal.
"""

from __future__ import annotations

import os
import threading
import time
import tty
from pathlib import Path
from typing import Self

from firmware.apps.reader import Reader
from firmware.reader.line import Line
from firmware.reader.ports import Contactless
from firmware.reader.signals import Signals
from host_bridge.closing import Closing

_END_S = 10.0


class Clock:
    """MicroPython's ticks, of this machine's clock."""

    def ticks_ms(self) -> int:
        return int(time.monotonic() * 1000)

    def ticks_diff(self, end_ms: int, start_ms: int) -> int:
        return end_ms - start_ms

    def ticks_add(self, start_ms: int, duration_ms: int) -> int:
        return start_ms + duration_ms


class EchoAntenna(Contactless):
    """An antenna on which a card lies that answers with the data of each command."""

    def look(self) -> bool:
        return True

    def is_there(self) -> bool:
        return True

    def transmit(self, command: bytes) -> bytes:
        return command[5:] + b"\x90\x00"

    def release(self) -> None:
        """The field goes off."""


class TwinReader(Closing):
    """A reader that is plugged in and out.

    port: the link that names its pseudo-terminal; antenna: the double's, or another.
    """

    def __init__(self, port: Path, antenna: Contactless | None = None) -> None:
        self.port = port
        self._antenna = antenna or EchoAntenna()
        self._thread: threading.Thread | None = None
        self._near_end = -1
        self._is_plugged = threading.Event()

    def plug(self) -> None:
        """A new pseudo-terminal under the same name."""
        far_end, self._near_end = os.openpty()
        tty.setraw(self._near_end)
        os.set_blocking(far_end, False)
        self.port.symlink_to(os.ttyname(self._near_end))
        self._is_plugged.set()
        self._thread = threading.Thread(target=self._run, args=(far_end,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """The port goes away, and whoever has it open finds the line dead."""
        if self._thread is None:
            return
        self._is_plugged.clear()
        self._thread.join(_END_S)
        assert not self._thread.is_alive(), "the reader does not end"
        self._thread = None
        self.port.unlink()
        os.close(self._near_end)

    def _run(self, far_end: int) -> None:
        clock = Clock()
        with open(far_end, "r+b", buffering=0) as line:
            pluggable = PluggableLine(line, line)
            pluggable.is_plugged = self._is_plugged
            Reader(pluggable, self._antenna, Signals(None, None, clock), clock).serve()

    def __enter__(self) -> Self:
        self.plug()
        return self

    def close(self) -> None:
        """The end of a `with`."""
        self.unplug()


class PluggableLine(Line):
    """A line that ends when the plug is pulled."""

    is_plugged: threading.Event

    def read(self, wait_ms: int) -> memoryview | None:
        return super().read(wait_ms) if self.is_plugged.is_set() else None
