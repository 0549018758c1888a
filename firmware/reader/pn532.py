# SPDX-License-Identifier: Apache-2.0
"""NXP PN532: the chip itself. UM0701-02, section 7.2.

Every method may raise ReaderError (`pn532_errors` has its kinds). What it does as a reader stands
in `pn532_initiator`, what it does as a card in `pn532_target`, and its sleep and its line's rate
in `pn532_power`: each board has the names of what it uses in its heap.
"""

from firmware.reader.pn532_errors import FrameDefect, NotTaken, TooLate
from firmware.reader.pn532_link import ChipLink
from firmware.reader.ports import ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.bus import Bus, Clock

_GET_FIRMWARE_VERSION = 0x02
_SET_PARAMETERS = 0x12
_SAM_CONFIGURATION = 0x14

_IC = 0x32  # the first byte of the firmware's version
_NORMAL_MODE = b"\x01\x00\x01"  # no SAM, no timeout, and P70 tells that an answer is there

AUTOMATIC_ATR_RES = 0x04  # flags of SetParameters; these two are set when the chip starts
AUTOMATIC_RATS = 0x10
PICC = 0x20

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


def _sized(answer: bytes, size: int) -> bytes:
    if len(answer) < size:
        raise ReaderError("the reader chip's answer is too short")
    return answer
