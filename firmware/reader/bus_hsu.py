# SPDX-License-Identifier: Apache-2.0
"""A PN532 on its serial line, HSU: 8 bits, no parity, 115,200 baud at first.

NXP UM0701-02, on the HSU link, 6.3.2.3 (waking from power down) and 7.2.8 (the rate). The line
has no sign that a frame is there, or where one begins, but the start code and silence.
"""

from firmware.reader.bus import POLL_MS, Bus
from firmware.reader.pn532_errors import Noise, NotTaken
from firmware.reader.pn532_frame import ACK_FRAME, START, read_frame

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    from firmware.reader.bus import Clock

    class Uart(Protocol):
        """What is used of `machine.UART`, built with a timeout of 0."""

        def read(self, size: int) -> "bytes | None": ...
        def write(self, data: bytes) -> "int | None": ...
        def init(self, *, baudrate: int) -> object: ...


FIRST_BAUD = 115_200
_BITS_A_BYTE = 10
# The fifth rising edge wakes the chip; the rest is preamble and lasts while its clock starts.
_WAKE = b"\x55\x55" + bytes(14)
_WAKE_MS = 2  # T_osc_start is 2 ms at most
_GAP_MS = 20  # a frame's bytes come without a pause; this is for the UART's own buffering
_NOISE = 6  # bytes without a start code that may be noise: as many as that may have been a frame
_BURST = 512  # bytes looked at in one go
_CLEARING = 2048  # rounds until a line that is never silent is given up
_ROOM = 64  # bytes fetched at once of what is thrown away


class HsuBus(Bus):
    """One chip on a UART."""

    def __init__(self, uart: "Uart", clock: "Clock", baud: int = FIRST_BAUD) -> None:
        Bus.__init__(self, clock)
        self._uart = uart
        self._baud = baud
        self._last = b""  # the last two bytes read, while a start code is looked for
        self._skipped = 0  # bytes before it, and how long the line has been silent since
        self._silent_ms = 0

    def wake(self) -> None:
        """Five rising edges wake the chip."""
        self._uart.write(_WAKE)
        self._clock.sleep_ms(_WAKE_MS + self._lasts_ms(len(_WAKE)))

    def send(self, frame: bytes) -> None:
        """Sends a frame, once. Raises NotTaken."""
        if self._uart.write(frame) != len(frame):
            raise NotTaken("the serial line to the reader chip takes nothing")

    def receive(self, wait_ms: int, size: int) -> "bytes | None":
        """The next frame, or None if none begins in time. Raises FrameDefect."""
        if not self._wait(wait_ms):
            return None
        self._skipped = 0
        return read_frame(self._read)

    def clear(self) -> None:
        """Throws away what comes, until the line is silent."""
        self._last, self._skipped = b"", 0
        silent_ms = 0
        for _ in range(_CLEARING):
            if self._uart.read(_ROOM):
                silent_ms = 0
            elif silent_ms >= _GAP_MS:
                return
            else:
                self._clock.sleep_ms(POLL_MS)
                silent_ms += POLL_MS

    def change_baud(self, baud: int) -> None:
        """Acknowledges the answer that let the chip change its rate, and changes this side's."""
        self.send(ACK_FRAME)
        self._clock.sleep_ms(self._lasts_ms(len(ACK_FRAME)) + 1)  # the chip: 200 µs after it
        self._uart.init(baudrate=baud)
        self._baud = baud

    def _lasts_ms(self, size: int) -> int:
        return 1 + size * _BITS_A_BYTE * 1000 // self._baud

    def _is_ready(self) -> bool:
        """Whether a start code has come. What is before it is noise, if it is short enough."""
        for _ in range(_BURST):
            byte = self._uart.read(1)
            if not byte:
                break
            self._last = (self._last + byte)[-2:]
            self._skipped += 1
            self._silent_ms = 0
            if self._last == START:
                return True
        else:
            return False
        self._silent_ms += POLL_MS
        if self._skipped >= _NOISE and self._silent_ms > _GAP_MS:
            self._skipped = 0
            raise Noise("no frame begins in what comes from the reader chip")
        return False

    def _read(self, size: int) -> bytes:
        data, self._last = self._last[:size], self._last[size:]
        silent_ms = 0
        while len(data) < size:  # ends: each round brings a byte, or the silence grows
            more = self._uart.read(size - len(data))
            if more:
                data += more
                silent_ms = 0
            elif silent_ms >= _GAP_MS:
                raise Noise("a frame ends too early")
            else:
                self._clock.sleep_ms(POLL_MS)
                silent_ms += POLL_MS
        return data
