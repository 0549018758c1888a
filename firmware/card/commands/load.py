# SPDX-License-Identifier: Apache-2.0
"""LOAD: a note for a key that this purse made. The issuer's signature is the authority."""

from firmware.card.session import Session, require_p1p2
from firmware.wire.apdu import Command


def load(session: Session, command: Command) -> bytes:
    """Takes the note; the same note again changes nothing."""
    require_p1p2(command, 0)
    session.purse.load(command.data)
    return b""
