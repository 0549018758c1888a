# SPDX-License-Identifier: Apache-2.0
"""The card over the air: the same purse, behind a PN532 that is a contactless card."""

# ruff: noqa: I001
# The card first, from the ground up (`firmware.apps.card`).
from firmware.apps.card import build

import gc
import os

from firmware.hal.link import report
from firmware.reader.pn532 import Pn532
from firmware.reader.ports import ReaderError
from firmware.reader.target import CardTarget

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

    from firmware.card.application import Application
    from firmware.reader.bus import Bus

_UID_SIZE = 3
_MAX_COMMAND = 261  # the card takes longer ones by chaining
_TURN_MS = 500  # between two looks at what can be done while nobody asks
_PAUSE_MS = 500  # until a chip that fails is tried again
_FAILED = b"\x6f\x00"


class Guarded:
    """An application that answers whatever happens, as the serial link has it do."""

    def __init__(self, application: "Application") -> None:
        self._application = application

    def process(self, raw: bytes) -> bytes:
        """The answer to an APDU; 6F00 where the application failed, which then begins anew."""
        try:
            return self._application.process(raw)
        except Exception as error:  # MemoryError too
            gc.collect()
            report(error)
            self.reset()
            return _FAILED

    def reset(self) -> None:
        """A new tap."""
        try:
            self._application.reset()
        except Exception as second:  # the next command will say so again
            gc.collect()
            report(second)


def main(board: "Any", bus: "Bus") -> None:
    """Builds the card on a board and serves whoever holds a reader to it, for ever.

    board: as for `firmware.apps.card.build`, and its `clock`. bus: the way to its PN532.
    """
    application = build(board)
    clock = board.clock
    # A number of its own for each boot: nobody shall know a purse again by it.
    uid = os.urandom(_UID_SIZE)
    target = CardTarget(Pn532(bus, clock), Guarded(application), uid, max_command=_MAX_COMMAND)
    while True:
        try:
            serve(target, application)
        except ReaderError:
            clock.sleep_ms(_PAUSE_MS)


def serve(target: CardTarget, application: "Application") -> None:
    """Waits a turn for a reader, and answers the one that came until it goes."""
    is_there = target.wait(_TURN_MS)
    while is_there:
        is_there = target.answer(_TURN_MS)
        # Between an answer and the next command nobody waits: the place to erase flash ahead.
        application.rest()
        gc.collect()
    application.rest()
