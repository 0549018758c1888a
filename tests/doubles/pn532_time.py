# SPDX-License-Identifier: Apache-2.0
"""Time as a PN532, its host's bus and the air would take it: reckoned, and waited for by nobody.

ISO/IEC 14443-2: at 106 kbit/s a bit lasts 128 periods of 13.56 MHz, and a byte has a parity bit.
"""

from __future__ import annotations

from tests.doubles.i2c_bus import SimulatedClock

CARRIER_MHZ = 13.56
_BIT_US = 128 / CARRIER_MHZ
_FRAME_DELAY_US = 1172 / CARRIER_MHZ  # between two frames, ISO/IEC 14443-3


class ModelledTime(SimulatedClock):
    """The clock of the simulation, and what its time went to.

    bus_us: frames on the host's link, with what wakes the chip. air_us: RF frames, the pauses
    between them, waiting for cards. chip_us: what the chip itself is given. poll_us: the host's
    asking whether the chip is ready; it runs beside the others and is in no sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bus_us = 0
        self.air_us = 0
        self.chip_us = 0
        self.poll_us = 0
        self.work_us = 0  # when what the chip does at the moment will be done

    @property
    def elapsed_ms(self) -> float:
        """What everything took so far: bus, air and chip, one after the other."""
        return (self.bus_us + self.air_us + self.chip_us) / 1000

    @property
    def bus_ms(self) -> float:
        """Of that, the host's link."""
        return self.bus_us / 1000

    @property
    def air_ms(self) -> float:
        """Of that, the air."""
        return self.air_us / 1000

    def on_bus(self, duration_us: float) -> None:
        """Bytes of a frame pass; the clock goes on."""
        self.bus_us += round(duration_us)
        self.now_us += round(duration_us)

    def polled(self, duration_us: float) -> None:
        """The host asks whether something is ready; the clock goes on."""
        self.poll_us += round(duration_us)
        self.now_us += round(duration_us)

    def in_air(self, duration_us: float) -> None:
        """The chip is busy with the air; the host's clock does not move."""
        self.air_us += round(duration_us)
        self._work(duration_us)

    def in_chip(self, duration_us: float) -> None:
        """The chip is busy with itself."""
        self.chip_us += round(duration_us)
        self._work(duration_us)

    def idle(self, duration_us: int) -> None:
        """The chip waits for something from outside, which is nobody's time."""
        self.work_us = max(self.work_us, self.now_us) + duration_us

    def catch_up(self) -> None:
        """The host waits for as long as the chip works."""
        self.now_us = max(self.now_us, self.work_us)

    def _work(self, duration_us: float) -> None:
        self.work_us = max(self.work_us, self.now_us) + round(duration_us)


def air_us(size: int, speed: int = 1) -> float:
    """One RF frame of so many bytes, CRC included, and the pause after it.

    speed: 1, 2, 4 or 8 times 106 kbit/s.
    """
    return (9 * size + 2) * _BIT_US / speed + _FRAME_DELAY_US
