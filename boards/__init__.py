# SPDX-License-Identifier: Apache-2.0
"""One folder for each board that the firmware runs on."""
