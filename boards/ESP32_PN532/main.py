# SPDX-License-Identifier: Apache-2.0
"""The reader's main program, frozen into this board's firmware. Runs on MicroPython (ESP32)."""

import micropython

_NO_INTERRUPT = -1

# On the line a byte 0x03 begins each frame. MicroPython lets it interrupt this program from the
# first line on, imports included, and would then show its prompt there: so this comes first.
micropython.kbd_intr(_NO_INTERRUPT)

from firmware.apps import reader  # noqa: E402
from firmware.hal.esp32_reader import Esp32Reader, restart  # noqa: E402
from firmware.reader.bus_spi import SpiBus  # noqa: E402

PINS = {  # as pins.csv has them; 2 is the number of the SPI bus
    "spi": 2,
    "sck": 18,
    "mosi": 23,
    "miso": 19,
    "select": 5,
    "reset": 27,
    "lamp": 2,
    "beeper": 25,
    "tx": 1,
    "rx": 3,
}


def main() -> None:
    """Serves the computer on the serial port for as long as there is power."""
    try:
        board = Esp32Reader(PINS)
        bus = SpiBus(board.spi, board.select, board.clock, lsb_first=True, irq=board.irq)
        reader.main(board, bus)
    finally:
        restart()  # nobody is there to see what failed; a reader that starts anew may serve


if __name__ == "__main__":
    main()
