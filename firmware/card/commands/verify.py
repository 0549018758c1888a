# SPDX-License-Identifier: Apache-2.0
"""VERIFY: the holder shows the PIN, for this tap (ISO 7816-4)."""

from firmware.card.session import Session, require_p1p2
from firmware.wire import status
from firmware.wire.apdu import P2_PIN, Command
from firmware.wire.status import Refusal


def verify(session: Session, command: Command) -> bytes:
    """Compares the PIN. With no data it only tells, as 63Cx or 6983, how many tries are left."""
    require_p1p2(command, 0, P2_PIN)
    session.purse.require_pin_readable()
    access = session.purse.access
    if not command.data:
        if session.pin_verified:
            return b""
        tries = access.pin_tries
        raise Refusal(status.TRIES_LEFT | tries if tries else status.BLOCKED)
    session.pin_verified = False
    access.verify_pin(command.data)
    session.pin_verified = True
    return b""
