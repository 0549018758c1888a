# SPDX-License-Identifier: Apache-2.0
"""The card's main program, frozen into this board's firmware. Runs on MicroPython (ESP32)."""

import micropython

from firmware.apps import card
from firmware.hal.esp32_board import Esp32Board

PINS = {"bus": 0, "scl": 22, "sda": 21}  # of the secure element, as pins.csv has them

_NO_INTERRUPT = -1


def main() -> None:
    """Serves the card on the serial port for as long as there is power."""
    # On the serial line a byte 0x03 is a part of a frame, and must not end the boot either.
    micropython.kbd_intr(_NO_INTERRUPT)
    card.main(Esp32Board(PINS))


if __name__ == "__main__":
    main()
