# SPDX-License-Identifier: Apache-2.0
"""Waking an ATECC608, staying ahead of its watchdog, and single reads and writes on its bus.

The chip sleeps by itself, at the earliest 0.7 s after it woke (tWATCHDOG: 0.7, typically 1.3, at
most 1.7 s), whatever it is doing, and forgets what it was given. So what belongs together begins
only where it can end in time; else the chip goes idle first, which stops the watchdog and forgets
nothing.
"""

from firmware.hal.atecc608_errors import (
    AnswerGarbled,
    ChipSilent,
    JustAwake,
    RandomFailed,
    SelfTestFailed,
    StatusError,
)
from firmware.hal.atecc608_packet import answer_size, read_answer

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Protocol

    class Bus(Protocol):
        """What is used of `machine.I2C`; both raise OSError where nobody acknowledges."""

        def writeto(self, address: int, data: "bytes | memoryview") -> object: ...
        def readfrom_into(self, address: int, buffer: memoryview) -> object: ...

    class Clock(Protocol):
        """What is used of MicroPython's module `time`."""

        def sleep_ms(self, duration_ms: int) -> None: ...
        def ticks_ms(self) -> int: ...
        def ticks_diff(self, end_ms: int, start_ms: int) -> int: ...


GENERAL_CALL = 0  # eight low bits: at 100 kHz SDA is low for 80 µs, and tWLO asks for 60
_RESET = b"\x00"  # word addresses: the next read begins at the answer's first byte
_SLEEP = b"\x01"
_IDLE = b"\x02"

_WAKE_MS = 2  # tWHI is 1.5 ms
_AWAKE_MS = 600  # tWATCHDOG is 0.7 s at least; the rest is for what the host does in between
_POLL_MS = 1
_BUSY_MS = 120  # for a command that a host which is no more has given: none takes longer
_WAKES = 4  # pulses until it counts as silent
_PATIENCE = 2  # so many of them without waiting for such a command


class ChipPower:
    """One chip at `address` of a bus, and what is known of its being awake.

    The bus may be as fast as the chip (1 MHz), but must be slow where address 0 is written to.
    """

    def __init__(self, bus: "Bus", clock: "Clock", address: int) -> None:
        self._bus = bus
        self._clock = clock
        self._address = address
        self._wake_answer = memoryview(bytearray(answer_size(0)))
        self._woke_at_ms = 0
        self.is_awake = False  # as far as is known

    def stay_awake(self, needed_ms: int) -> None:
        """Makes sure that the chip is awake, and stays so for this long. Raises ChipSilent."""
        awake_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._woke_at_ms)
        if self.is_awake and awake_ms + needed_ms > _AWAKE_MS:
            self.idle()
        if not self.is_awake:
            self.wake()

    def wake(self) -> None:
        """Wakes the chip; its watchdog begins anew. Raises ChipSilent where there is none."""
        for pulse in range(_WAKES):
            if pulse == _PATIENCE:  # data sheet, "I2C Synchronization"
                self._clock.sleep_ms(_BUSY_MS)
            self._woke_at_ms = self._clock.ticks_ms()
            self._write(GENERAL_CALL, b"\x00")  # nobody acknowledges it
            self._clock.sleep_ms(_WAKE_MS)
            if self._says_awake():
                self.is_awake = True
                return
            self.idle()  # it may have been awake all the time, and answered something else
        raise ChipSilent("no secure element answers at address %02x" % self._address)

    def idle(self) -> None:
        """Stops the chip and its watchdog; it keeps what it was given."""
        self._write(self._address, _IDLE)  # where it sleeps already it does not acknowledge
        self.is_awake = False

    def sleep(self) -> None:
        """Lets the chip sleep, below 150 nA; it forgets what it was given."""
        self._write(self._address, _SLEEP)
        self.is_awake = False

    def send(self, packet: memoryview) -> bool:
        """Whether the chip took the packet; asleep or busy it does not."""
        return self._write(self._address, packet)

    def poll(self, answer: memoryview, max_ms: int) -> None:
        """Reads as soon as the chip acknowledges, which it does not while it is busy.

        Raises ChipSilent where it does not within `max_ms`.
        """
        for _ in range(max_ms // _POLL_MS + 2):
            if self._read(answer):
                return
            self._clock.sleep_ms(_POLL_MS)
        self.is_awake = False
        raise ChipSilent("the secure element does not answer")

    def read_again(self, answer: memoryview) -> None:
        """Reads the last answer from its first byte; the chip keeps it until the next command."""
        self._write(self._address, _RESET)
        self.poll(answer, 0)

    def _says_awake(self) -> bool:
        if not self._read(self._wake_answer):
            return False
        try:
            read_answer(self._wake_answer, 0)
        except JustAwake:
            return True
        except (SelfTestFailed, RandomFailed):
            raise
        except (StatusError, AnswerGarbled):
            pass  # what it had answered to a command of before: it was awake
        return False

    def _write(self, address: int, data: "bytes | memoryview") -> bool:
        try:
            self._bus.writeto(address, data)
        except OSError:  # nobody acknowledged; ports differ in the number they give it
            return False
        return True

    def _read(self, buffer: memoryview) -> bool:
        try:
            self._bus.readfrom_into(self._address, buffer)
        except OSError:
            return False
        return True
