# SPDX-License-Identifier: Apache-2.0
"""The reader's main program, frozen into this board's firmware. Runs on MicroPython (S3)."""

import micropython

_NO_INTERRUPT = -1

# On the line a byte 0x03 begins each frame. MicroPython lets it interrupt this program from the
# first line on, imports included, and would then show its prompt there: so this comes first.
micropython.kbd_intr(_NO_INTERRUPT)

from firmware.apps import reader  # noqa: E402
from firmware.hal.esp32_reader import Esp32Reader, restart  # noqa: E402
from firmware.reader.bus_spi import SpiBus  # noqa: E402

PINS = {  # as pins.csv has them; 1 is the number of the SPI bus
    "spi": 1,
    "sck": 12,
    "mosi": 11,
    "miso": 13,
    "select": 10,
    "reset": 14,
    "lamp": 4,
    "beeper": 5,
}


def main() -> None:
    """Serves the computer on the USB port for as long as there is power."""
    try:
        board = Esp32Reader(PINS)
        bus = SpiBus(board.spi, board.select, board.clock, lsb_first=True, irq=board.irq)
        reader.main(board, bus)
    finally:
        restart()  # nobody is there to see what failed; a reader that starts anew may serve


if __name__ == "__main__":
    main()
