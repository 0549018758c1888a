# SPDX-License-Identifier: Apache-2.0
"""A PN532 on I2C: address 24, at most 400 kHz. NXP UM0701-02, on the I2C link.

Each reading begins with a byte that says whether a frame is there, and a frame has to be read in
one go; so a frame that turns out longer than was thought is asked for again, with NAK. The chip
holds the clock line low while it needs time: the bus must be patient, some 50 ms.
"""

from firmware.reader.bus import Bus, says_ready
from firmware.reader.pn532_errors import FrameDefect, Noise, NotTaken
from firmware.reader.pn532_frame import MAX_FRAME, NAK_FRAME, read_frame

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    from firmware.reader.bus import Clock, Pin

    class I2c(Protocol):
        """What is used of `machine.I2C`; both raise OSError where nobody acknowledges."""

        def writeto(self, address: int, data: bytes) -> object: ...
        def readfrom_into(self, address: int, buffer: bytearray) -> object: ...


ADDRESS = 0x24
_AROUND = 7  # bytes of a normal frame around its body
_WAKE_MS = 2  # T_osc_start is 2 ms at most
_AGAIN_MS = 15  # until a frame is there again that NAK asked for
_STALE = 4  # frames that a chip may still have to say; it has room for one


class I2cBus(Bus):
    """One chip on a bus. irq: its P70, low while it has something to say; else it is asked."""

    def __init__(self, i2c: "I2c", clock: "Clock", irq: "Pin | None" = None) -> None:
        Bus.__init__(self, clock)
        self._i2c = i2c
        self._irq = irq

    def wake(self) -> None:
        """Its own address is what wakes the chip."""
        try:
            self._i2c.writeto(ADDRESS, b"\x00")
        except OSError:  # asleep it may not acknowledge
            pass
        self._clock.sleep_ms(_WAKE_MS)

    def send(self, frame: bytes) -> None:
        """Sends a frame, once. Raises NotTaken."""
        try:
            self._i2c.writeto(ADDRESS, frame)
        except OSError:  # ports differ in the number they give it
            raise NotTaken("no reader chip acknowledges on the I2C bus") from None

    def receive(self, wait_ms: int, size: int) -> "bytes | None":
        """The next frame, or None if none is there in time. Raises FrameDefect, NotTaken."""
        if not self._wait(wait_ms):
            return None
        reading = self._reading(size + _AROUND)
        try:
            return read_frame(reading.take)
        except _Short:
            if not size:
                raise  # nothing is asked for again before a command was acknowledged
            self.send(NAK_FRAME)
            if not self._wait(_AGAIN_MS):
                raise FrameDefect("a frame that was asked for again does not come") from None
        return read_frame(self._reading(reading.wanted).take)

    def clear(self) -> None:
        """Throws away whatever the chip still has to say."""
        for _ in range(_STALE):
            if not self._is_ready():
                return
            self._read(1 + MAX_FRAME)

    def _reading(self, size: int) -> "_Reading":
        data = self._read(1 + size)
        if data is None or not says_ready(data[0]):
            raise Noise("a frame was there, and is there no more")
        return _Reading(bytes(data[1:]))

    def _is_ready(self) -> bool:
        if self._irq is not None:
            return not self._irq.value()
        status = self._read(1)
        return status is not None and says_ready(status[0])

    def _read(self, size: int) -> "bytearray | None":
        buffer = bytearray(size)
        try:
            self._i2c.readfrom_into(ADDRESS, buffer)
        except OSError:
            return None
        return buffer


class _Short(FrameDefect):
    """A frame has more bytes than were read."""


class _Reading:
    """What one reading brought; `wanted` is how many bytes a frame was found to have."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._taken = 0
        self.wanted = 0

    def take(self, size: int) -> bytes:
        """The next bytes. Raises _Short where they were not read."""
        begin = self._taken
        self._taken += size
        if self._taken > len(self._data):
            if size == 1:  # a start code is looked for, and there is none
                raise Noise("no frame begins in what comes from the reader chip")
            self.wanted = self._taken
            raise _Short("a frame ends too early")
        return self._data[begin : self._taken]
