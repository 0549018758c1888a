# SPDX-License-Identifier: Apache-2.0
"""The PN532's double behind a pseudo-terminal, for another program: libnfc, or our firmware.

`python -m tests.doubles.pn532_port` holds one in this terminal, with a card that echoes.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
import tty

from host_bridge.closing import Closing
from tests.doubles.pn532 import Pn532Double
from tests.doubles.pn532_buses import Uart
from tests.doubles.pn532_isodep_card import IsoDepCard

_IDLE_S = 0.005
_EAGER_ROUNDS = 50  # a running command is asked so often before the thread begins to pause
_CHUNK = 4096


class Pn532Port(Closing):
    """A chip's high speed UART at `path`, served by a thread until `close`.

    in_real_time: what the model reckons is really waited for; else answers come at once. The
    modelled time of the chip goes on either way. The terminal's own speed is not looked at.
    """

    def __init__(self, chip: Pn532Double, in_real_time: bool = False) -> None:
        self.chip = chip
        self.in_real_time = in_real_time
        self.failure: BaseException | None = None  # what ended the thread before its time
        self._uart = Uart(chip)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="PN532", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Unplugs it: the other program's port hangs up."""
        if self._stop_write < 0:
            return
        os.close(self._stop_write)
        self._stop_write = -1
        self._thread.join()
        for descriptor in (self._master, self._slave, self._stop_read):
            os.close(descriptor)

    def _run(self) -> None:
        rounds = 0
        try:
            while True:
                pause_s = None
                if self.chip.next_us is not None:
                    rounds += 1
                    pause_s = 0.0 if rounds < _EAGER_ROUNDS else _IDLE_S
                ready, _, _ = select.select([self._master, self._stop_read], [], [], pause_s)
                if self._stop_read in ready:
                    return
                if self._master in ready:
                    rounds = 0
                    self._hear()
                self._answer()
        except OSError as error:
            self.failure = error

    def _hear(self) -> None:
        self._uart.init(baudrate=self.chip.baud_rate)
        self._timed(lambda: self._uart.write(os.read(self._master, _CHUNK)))

    def _answer(self) -> None:
        data = b""

        def drain() -> None:
            nonlocal data
            data = self._uart.drain()

        self._timed(drain)
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                select.select([self._stop_read], [self._master], [], _IDLE_S)
                if self._stop_write < 0:
                    return

    def _timed(self, action: object) -> None:
        assert callable(action)
        before_us = self.chip.time.now_us
        action()
        if self.in_real_time:
            time.sleep((self.chip.time.now_us - before_us) / 1_000_000)


class _Echo:
    """Answers every command with itself and 9000."""

    def transmit(self, command: bytes) -> bytes:
        return command + b"\x90\x00"

    def reset(self) -> None:
        pass


def main() -> None:
    """Until Ctrl-C."""
    chip = Pn532Double()
    chip.field.put(IsoDepCard(_Echo()))
    with Pn532Port(chip) as port:
        print(f"LIBNFC_DEFAULT_DEVICE=pn532_uart:{port.path}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
