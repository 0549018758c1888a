# SPDX-License-Identifier: Apache-2.0
"""An ESP32 with a PN532 on its SPI bus: a smart-card reader behind a USB converter."""
