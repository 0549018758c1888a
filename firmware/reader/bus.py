# SPDX-License-Identifier: Apache-2.0
"""What the driver of a PN532 asks of the bus to it: whole frames, there and back."""

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    class Clock(Protocol):
        """What is used of MicroPython's module `time`."""

        def sleep_ms(self, duration_ms: int) -> None: ...
        def ticks_ms(self) -> int: ...
        def ticks_diff(self, end_ms: int, start_ms: int) -> int: ...

    class Pin(Protocol):
        """What is used of `machine.Pin`."""

        def value(self, level: "int | None" = None) -> "int | None": ...


POLL_MS = 1
_READY = 1
_NOBODY = 0xFF  # what is read of a line that no chip drives


def says_ready(status: int) -> bool:
    """Whether the status byte of SPI or I2C says that a frame is there."""
    return bool(status & _READY) and status != _NOBODY


class Bus:
    """Frames to and from one PN532. The three buses differ in what they do for it."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock

    def wake(self) -> None:
        """Makes a chip that sleeps, or was just switched on, listen."""
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        """Sends a frame, once. Raises NotTaken where the bus itself says that it did not pass."""
        raise NotImplementedError

    def receive(self, wait_ms: int, size: int) -> "bytes | None":
        """The next frame as `pn532_frame.read_frame` gives it, or None if none begins in time.

        size: how long its body is likely to be. Raises FrameDefect.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """Throws away whatever the chip still has to say, until it says nothing."""
        raise NotImplementedError

    def _wait(self, wait_ms: int) -> bool:
        """Whether the chip has something to say within this time."""
        began_ms = self._clock.ticks_ms()
        for _ in range(wait_ms // POLL_MS + 1):
            if self._is_ready():
                return True
            self._clock.sleep_ms(POLL_MS)
            if self._clock.ticks_diff(self._clock.ticks_ms(), began_ms) >= wait_ms:
                break
        return self._is_ready()

    def _is_ready(self) -> bool:
        raise NotImplementedError
