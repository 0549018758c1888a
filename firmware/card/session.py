# SPDX-License-Identifier: Apache-2.0
"""What lasts for one tap and no longer, and the checks that most commands begin with."""

from firmware.purse.personalisation import Personalisation
from firmware.purse.purse import Purse
from firmware.wire import status
from firmware.wire.apdu import Command
from firmware.wire.status import Refusal


class Session:
    """One tap: the purse, and what the reader has shown since the card came into the field."""

    def __init__(self, purse: Purse, personalisation: Personalisation) -> None:
        self.purse = purse
        self.personalisation = personalisation
        self.is_selected = False
        self.pin_verified = False
        self.is_secured = False  # the command at hand came through the secure channel

    def require_pin(self) -> None:
        """Raises Refusal(6982) unless the holder has shown the PIN in this tap."""
        if not self.pin_verified:
            raise Refusal(status.NOT_AUTHENTICATED)

    def require_channel(self) -> None:
        """Raises Refusal(6987) unless the command came through the secure channel."""
        if not self.is_secured:
            raise Refusal(status.SECURE_MESSAGING_MISSING)


def require_p1p2(command: Command, p1: int, p2: int = 0) -> None:
    """Raises Refusal(6A86) for other parameters."""
    if command.p1 != p1 or command.p2 != p2:
        raise Refusal(status.WRONG_P1P2)


def require_length(command: Command, size: int) -> None:
    """Raises Refusal(6700) for data of another length."""
    if len(command.data) != size:
        raise Refusal(status.WRONG_LENGTH)
