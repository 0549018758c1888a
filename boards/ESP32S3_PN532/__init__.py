# SPDX-License-Identifier: Apache-2.0
"""An ESP32-S3 with a PN532 on its SPI bus: a smart-card reader on its own USB port."""
