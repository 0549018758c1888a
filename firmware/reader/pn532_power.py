# SPDX-License-Identifier: Apache-2.0
"""A PN532 asleep, and the rate of its serial line. NXP UM0701-02, sections 7.2.8 and 7.2.11."""

from firmware.reader.pn532_errors import check
from firmware.reader.ports import ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.bus_hsu import HsuBus
    from firmware.reader.pn532_link import ChipLink

_SET_SERIAL_BAUD_RATE = 0x10
_POWER_DOWN = 0x16

WAKE_BY_I2C = 0x80  # sources of PowerDown
WAKE_BY_SPI = 0x20
WAKE_BY_HSU = 0x10
WAKE_BY_FIELD = 0x08

BAUD_RATES = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_288_000)

_MS = 100


def power_down(link: "ChipLink", sources: int) -> None:
    """Lets the chip sleep until one of WAKE_BY_… comes; then `Pn532.begin`. Raises ReaderError."""
    answer = link.run(_POWER_DOWN, bytes([sources]), _MS)
    if not answer:
        raise ReaderError("the reader chip's answer has no status")
    check(answer[0])


def change_baud(link: "ChipLink", bus: "HsuBus", baud: int) -> None:
    """Changes the rate of the serial line at both ends.

    Raises ValueError for another rate, or ReaderError.
    """
    link.run(_SET_SERIAL_BAUD_RATE, bytes([BAUD_RATES.index(baud)]), _MS)
    bus.change_baud(baud)
