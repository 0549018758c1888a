# SPDX-License-Identifier: Apache-2.0
"""What MicroPython runs first. Its own _boot.py mounts the flash and formats it; a reader keeps
nothing in flash, and has no partition for files.
"""
