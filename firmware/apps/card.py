# SPDX-License-Identifier: Apache-2.0
"""The card: a purse on this board's flash, answering APDUs on the serial link."""

# mypy: disable-error-code="attr-defined"
# ruff: noqa: E402, I001
import gc

# Until the card serves, the heap is collected often: garbage would spread what stays over all of
# it, and in 128 KiB no row of 700 bytes would be left (docs/performance.md).
gc.threshold(4096)

# Imported from the ground up: a board's stack is small, and an import inside an import inside
# an import takes as much of it as the deepest call.
from firmware.crypto import p256
from firmware.wire import layout  # noqa: F401
from firmware.wire import journal, policy, token  # noqa: F401
from firmware.purse import trust, verify, profile  # noqa: F401
from firmware.purse.purse import Purse
from firmware.storage.memory import BoardMemory
from firmware.storage.migrations import upgrade
from firmware.hal.link import SerialLink, serve
from firmware.card.application import Application

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

_ONLY_WHEN_FULL = -1


def main(board: "Any") -> None:
    """Builds the card on a board and serves it until the link ends.

    board: as for `build`, and the link's `source` and `sink`.
    """
    serve(SerialLink(board.source, board.sink), build(board))


def build(board: "Any") -> Application:
    """The card, booted from a board's flash.

    board: has `files` and `copies`, each a mounted littlefs or None; `partition(name)`, the block
    device of the state, counter or journal; and `chip`, an `Atecc608` or None.
    """
    memory = BoardMemory(board.files, board.copies, board.partition)
    upgrade(memory)
    element = _element(board, memory)
    # Where there is a chip it verifies, too: the board would need many times as long.
    purse = Purse(memory, element, p256.verify if board.chip is None else element.verify)
    application = Application(memory, purse)
    gc.threshold(_ONLY_WHEN_FULL)  # who serves it collects behind each answer
    return application


def _element(board: "Any", memory: BoardMemory) -> "Any":
    if board.chip is not None:
        from firmware.hal.atecc608_element import AteccElement

        return AteccElement(board.chip)
    from firmware.hal.software_element import SoftwareElement

    return SoftwareElement(memory.keys, memory.counter)
