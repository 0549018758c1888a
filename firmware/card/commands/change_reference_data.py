# SPDX-License-Identifier: Apache-2.0
"""CHANGE REFERENCE DATA: a new PIN, by who knows the old one (ISO 7816-4)."""

from firmware.card.session import Session, require_p1p2
from firmware.wire import status
from firmware.wire.apdu import P2_PIN, Command
from firmware.wire.status import Refusal


def change_reference_data(session: Session, command: Command) -> bytes:
    """The data are: length of the old PIN u8, the old PIN, the new PIN."""
    require_p1p2(command, 0, P2_PIN)
    if not command.data or len(command.data) <= 1 + command.data[0]:
        raise Refusal(status.WRONG_LENGTH)
    session.purse.require_opened()
    end = 1 + command.data[0]
    session.pin_verified = False
    session.purse.access.change_pin(command.data[1:end], command.data[end:])
    return b""
