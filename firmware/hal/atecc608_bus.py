# SPDX-License-Identifier: Apache-2.0
"""The I2C bus of an ATECC608: slow for the pulse that wakes the chip, fast for all else.

Microchip's data sheets of the ATECC608's variants, "Device is Asleep": send the pulse as a byte of
zeros at 100 kHz; what follows may go faster. The chip takes up to 1 MHz.
"""

from firmware.hal.atecc608_power import GENERAL_CALL

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.hal.atecc608_power import Bus

WAKE_HZ = 100_000  # the pulse is made of bits this long
FAST_HZ = 400_000  # what an ESP32 and pull-ups of 4.7 kΩ on a board do without care


class TwoSpeedBus:
    """open_at: makes the bus anew at a frequency in Hz; `machine.I2C` has no other way.

    Where that raises OSError the bus stays as it is: slow, or the chip is not woken.
    """

    def __init__(self, open_at: "Callable[[int], Bus]") -> None:
        self._open_at = open_at
        self._bus = open_at(FAST_HZ)

    def writeto(self, address: int, data: "bytes | memoryview") -> None:
        """As `machine.I2C.writeto`; to address 0 slowly."""
        if address != GENERAL_CALL:
            self._bus.writeto(address, data)
            return
        self._bus = self._open_at(WAKE_HZ)
        try:
            self._bus.writeto(address, data)
        finally:
            self._bus = self._open_at(FAST_HZ)

    def readfrom_into(self, address: int, buffer: memoryview) -> None:
        """As `machine.I2C.readfrom_into`."""
        self._bus.readfrom_into(address, buffer)
