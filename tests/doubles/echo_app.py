# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the card application, in MicroPython: it shows what the link and the board do.

The second byte of a command chooses: 01 echo the rest · 02 count this execution in a file and
return the count · 03 raise · 04 never answer · 05 answer with more than a frame holds ·
06 exhaust the heap · 07 commands since the last reset · 08 as 02, but slowly.
"""

import time

from firmware.hal.link import SerialLink, serve

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

_OK = b"\x90\x00"
_COUNT_FILE = "count"


class EchoApplication:
    def __init__(self, files: "Any") -> None:
        self._files = files
        self._commands = 0

    def rest(self) -> bool:
        return False

    def reset(self) -> None:
        self._commands = 0

    def process(self, command: bytes) -> bytes:
        self._commands += 1
        choice = command[1]
        if choice == 2:
            return bytes((self._count(),)) + _OK
        if choice == 3:
            raise ValueError("asked to fail")
        while choice == 4:
            pass
        if choice == 5:
            return bytes(700)
        if choice == 6:
            hoard = []
            while True:
                hoard.append(bytes(1000))
        if choice == 7:
            return bytes((self._commands,)) + _OK
        if choice == 8:
            time.sleep(0.6)
            return bytes((self._count(),)) + _OK
        return command[2:] + _OK

    def _count(self) -> int:
        try:
            with self._files.open(_COUNT_FILE, "r") as file:
                count = int(file.read()) + 1
        except OSError:
            count = 1
        with self._files.open(_COUNT_FILE, "w") as file:
            file.write(str(count))
        return count


def main(board: "Any") -> None:
    serve(SerialLink(board.source, board.sink), EchoApplication(board.files))
