// SPDX-License-Identifier: Apache-2.0
// MicroPython's build reads this.

#define MICROPY_HW_BOARD_NAME "Qalta card"
#define MICROPY_HW_MCU_NAME "ESP32 with ATECC608"
#define MICROPY_PY_BLUETOOTH (0) // a card needs no radio, and its heap needs the room
