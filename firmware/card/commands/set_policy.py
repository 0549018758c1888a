# SPDX-License-Identifier: Apache-2.0
"""SET POLICY: newer limits of the purse's bank, brought by any terminal."""

from firmware.card.session import Session, require_p1p2
from firmware.wire.apdu import Command


def set_policy(session: Session, command: Command) -> bytes:
    """Takes the policy; its bank's signature is the authority, its version only goes up."""
    require_p1p2(command, 0)
    session.purse.require_opened()
    session.purse.profile.set_policy(command.data)
    return b""
