# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
"""What is frozen into this board's MicroPython: the card's firmware and its main program.

The port's own modules are left out on purpose: its `_boot.py` writes to the flash.
"""

include("../VIRTUAL/manifest.py")
module("_boot.py")
module("main.py")
