# SPDX-License-Identifier: Apache-2.0
"""What the slot that a computer sees asks of the antenna: one card, spoken to in APDUs."""


class ReaderError(Exception):
    """The reader chip does not answer, or not as its manual says."""


class CardGone(Exception):
    """The card left the field, or what it answered can no longer be had."""


class Contactless:
    """One card in the field of an antenna, spoken to in APDUs."""

    historical = b""  # the historical bytes of the card's ATS, while there is one
    crowded = False  # the last look found more than one card, and took none

    def look(self) -> bool:
        """Looks for a card and activates it; whether one is active. Raises ReaderError."""
        raise NotImplementedError

    def is_there(self) -> bool:
        """Whether the active card is still in the field. Raises ReaderError."""
        raise NotImplementedError

    def transmit(self, command: bytes) -> bytes:
        """One command APDU, its response with the status word; never sent twice.

        Raises CardGone, or ReaderError.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Lets the card go and takes the field away: it begins anew. Raises ReaderError."""
        raise NotImplementedError
