# SPDX-License-Identifier: Apache-2.0
# MicroPython's build reads this: make -C ports/esp32 BOARD_DIR=…/boards/ESP32S3_PN532

set(IDF_TARGET esp32s3)

# An sdkconfig cannot say "in this folder", so the line with the partition table is made here.
file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.partitions
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n")

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    ${CMAKE_BINARY_DIR}/sdkconfig.partitions
)

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
