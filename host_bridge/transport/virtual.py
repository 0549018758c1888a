# SPDX-License-Identifier: Apache-2.0
"""A card on a virtual board: the serial transport, with the board's power switch in reach."""

from boards.VIRTUAL.board import BoardError, VirtualBoard
from host_bridge.transport.base import TransportError
from host_bridge.transport.serial_link import SerialTransport


class VirtualTransport(SerialTransport):
    """The card on a virtual board.

    A board that is off is started here, and is then stopped by `close`; one that runs already is
    left running. Raises TransportError if it cannot be started or does not answer.
    """

    def __init__(self, board: VirtualBoard, *, timeout_s: float = 3.0) -> None:
        self.board = board
        self._owns_board = not board.alive
        try:
            if self._owns_board:
                board.start()
            super().__init__(board.port, timeout_s=timeout_s)
        except BoardError as error:
            raise TransportError(str(error)) from None
        except TransportError:
            booted = board.alive
            self._release_board()
            if not booted:
                raise TransportError(
                    "The board ended while it booted; its log says why."
                ) from None
            raise

    def close(self) -> None:
        """Let the port go, and stop the board if it was started here."""
        super().close()
        self._release_board()

    def _release_board(self) -> None:
        if self._owns_board:
            self.board.stop()
