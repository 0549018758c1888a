# SPDX-License-Identifier: Apache-2.0
"""RESET RETRY COUNTER: a new PIN, by who knows the PUK (ISO 7816-4)."""

from firmware.card.session import Session, require_p1p2
from firmware.wire import status
from firmware.wire.apdu import P2_PIN, Command
from firmware.wire.limits import PUK_SIZE
from firmware.wire.status import Refusal


def reset_retry_counter(session: Session, command: Command) -> bytes:
    """The data are: the PUK, 8 digits, then the new PIN."""
    require_p1p2(command, 0, P2_PIN)
    if len(command.data) <= PUK_SIZE:
        raise Refusal(status.WRONG_LENGTH)
    session.purse.require_pin_readable()
    session.pin_verified = False
    session.purse.access.unblock(command.data[:PUK_SIZE], command.data[PUK_SIZE:])
    return b""
