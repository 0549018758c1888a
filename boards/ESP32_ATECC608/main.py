# SPDX-License-Identifier: Apache-2.0
"""The card's main program, frozen into this board's firmware. Runs on MicroPython (ESP32)."""

import micropython

_NO_INTERRUPT = -1

# On the serial line a byte 0x03 is a part of a frame. MicroPython lets it interrupt this program
# from the first line on, imports included, and would show its prompt there: so this comes first.
micropython.kbd_intr(_NO_INTERRUPT)

from firmware.apps import card  # noqa: E402
from firmware.hal.esp32_board import Esp32Board, restart  # noqa: E402

PINS = {"bus": 0, "scl": 22, "sda": 21}  # of the secure element, as pins.csv has them


def main() -> None:
    """Serves the card on the serial port for as long as there is power."""
    try:
        card.main(Esp32Board(PINS))
    finally:
        restart()  # nobody gets MicroPython's prompt; what is half done the boot completes


if __name__ == "__main__":
    main()
