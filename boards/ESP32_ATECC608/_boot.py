# SPDX-License-Identifier: Apache-2.0
"""What MicroPython runs first. Its own _boot.py mounts the flash, formats one that is blank, and
never comes back from one that is damaged; this one leaves all of that to the card. Nothing is
mounted, so that no boot.py in the flash is run either.
"""
