# SPDX-License-Identifier: Apache-2.0
"""ACKNOWLEDGE: the bank has the journal up to a counter. Its signature is the authority."""

from firmware.card.session import Session, require_p1p2
from firmware.wire.apdu import Command


def acknowledge(session: Session, command: Command) -> bytes:
    """Frees the journal and the offline limits; an older one changes nothing."""
    require_p1p2(command, 0)
    session.purse.acknowledge(command.data)
    return b""
