# SPDX-License-Identifier: Apache-2.0
"""NXP PN532: the commands for the chip itself, one method each. UM0701-02, sections 7.2, 7.3.1.

Every method may raise ReaderError (`pn532_errors` has its kinds). What it does as a reader stands
in `pn532_initiator`, what it does as a card in `pn532_target`.
"""

from firmware.reader.pn532_errors import FrameDefect, NotTaken, TooLate, check
from firmware.reader.pn532_link import ChipLink
from firmware.reader.ports import ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.bus import Bus, Clock
    from firmware.reader.bus_hsu import HsuBus

_GET_FIRMWARE_VERSION = 0x02
_SET_SERIAL_BAUD_RATE = 0x10
_SET_PARAMETERS = 0x12
_SAM_CONFIGURATION = 0x14
_POWER_DOWN = 0x16
_RF_CONFIGURATION = 0x32

_IC = 0x32  # the first byte of the firmware's version
_NORMAL_MODE = b"\x01\x00\x01"  # no SAM, no timeout, and P70 tells that an answer is there
_FIELD = 0x01  # items of RFConfiguration
_TIMINGS = 0x02
_RETRIES = 0x05

AUTOMATIC_ATR_RES = 0x04  # flags of SetParameters; these two are set when the chip starts
AUTOMATIC_RATS = 0x10
PICC = 0x20

WAKE_BY_I2C = 0x80  # sources of PowerDown
WAKE_BY_SPI = 0x20
WAKE_BY_HSU = 0x10
WAKE_BY_FIELD = 0x08

BAUD_RATES = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_288_000)

_MS = 100  # for a command that only changes something in the chip
_STARTS = 3  # a frame that wakes a chip can be lost


class Pn532:
    """One chip. clock: MicroPython's module `time`, or the like."""

    def __init__(self, bus: "Bus", clock: "Clock") -> None:
        self.link = ChipLink(bus, clock)

    def begin(self) -> None:
        """Wakes the chip and puts it into normal mode, whatever it did before."""
        for _ in range(_STARTS - 1):
            try:
                self._begin()
                return
            except (NotTaken, TooLate, FrameDefect):
                pass
        self._begin()

    def _begin(self) -> None:
        self.link.wake()
        self.link.run(_SAM_CONFIGURATION, _NORMAL_MODE, _MS)  # what ends its low-power mode
        version = self.firmware()
        if version[0] != _IC:
            raise ReaderError("the reader chip is no PN532, but says %s" % version.hex())

    def firmware(self) -> bytes:
        """Chip, version, revision and what it supports, a byte each: 32 01 06 07."""
        return _sized(self.link.run(_GET_FIRMWARE_VERSION, b"", _MS), 4)

    def set_parameters(self, flags: int) -> None:
        """AUTOMATIC_ATR_RES, AUTOMATIC_RATS, PICC; all others are off."""
        self.link.run(_SET_PARAMETERS, bytes([flags]), _MS)

    def field(self, is_on: bool) -> None:
        """Switches the field on or off; a card loses its power by that."""
        self.link.run(_RF_CONFIGURATION, bytes([_FIELD, is_on]), _MS)

    def retries(self, activations: int, atr: int = 2, psl: int = 1) -> None:
        """How often the chip tries again to activate a card; FF is for ever."""
        self.link.run(_RF_CONFIGURATION, bytes([_RETRIES, atr, psl, activations]), _MS)

    def timings(self, atr_code: int, answer_code: int) -> None:
        """Timeouts for ATR_RES and for answers outside ISO-DEP: n is 100 µs · 2^(n-1), 0 none."""
        self.link.run(_RF_CONFIGURATION, bytes([_TIMINGS, 0, atr_code, answer_code]), _MS)

    def power_down(self, sources: int) -> None:
        """Lets the chip sleep until one of WAKE_BY_… comes; then `begin`."""
        check(_sized(self.link.run(_POWER_DOWN, bytes([sources]), _MS), 1)[0])

    def change_baud(self, bus: "HsuBus", baud: int) -> None:
        """Changes the rate of the serial line at both ends. Raises ValueError for another rate."""
        code = bytes([BAUD_RATES.index(baud)])
        self.link.run(_SET_SERIAL_BAUD_RATE, code, _MS)
        bus.change_baud(baud)


def _sized(answer: bytes, size: int) -> bytes:
    if len(answer) < size:
        raise ReaderError("the reader chip's answer is too short")
    return answer
