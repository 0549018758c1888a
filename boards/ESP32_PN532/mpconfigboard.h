// SPDX-License-Identifier: Apache-2.0
// MicroPython's build reads this.

#define MICROPY_HW_BOARD_NAME "Qalta reader"
#define MICROPY_HW_MCU_NAME "ESP32 with PN532"
#define MICROPY_PY_BLUETOOTH (0) // the only radio that a reader needs is the PN532
