# SPDX-License-Identifier: Apache-2.0
"""A UART that is an open file. Runs on MicroPython (unix)."""


class PipeUart:
    """What a driver uses of `machine.UART`, over an open file that waits for nothing."""

    def __init__(self, number: int) -> None:
        self._file = open(number, "r+b")
        self.read = self._file.read
        self.write = self._file.write

    def init(self, *, baudrate: int) -> None:
        """A pseudo-terminal has no rate."""
