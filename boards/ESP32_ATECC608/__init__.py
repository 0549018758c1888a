# SPDX-License-Identifier: Apache-2.0
"""An ESP32 with an ATECC608 on its I2C bus: a purse of tier 2."""
