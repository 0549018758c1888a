# SPDX-License-Identifier: Apache-2.0
"""The board that a PC runs: the real MicroPython on a flash-image file."""
