# SPDX-License-Identifier: Apache-2.0
"""GENERATE KEY: a token key for the next note, or before ACTIVE the identity key."""

from firmware.card.session import Session, require_length, require_p1p2
from firmware.wire.apdu import (
    LIFECYCLE_ACTIVE,
    LIFECYCLE_BLANK,
    P1_IDENTITY_KEY,
    P1_TOKEN_KEY,
    Command,
)
from firmware.wire.limits import CHALLENGE_SIZE


def generate_key(session: Session, command: Command) -> bytes:
    """The attested token key, or the identity's public key. No private key ever leaves."""
    if command.p1 == P1_IDENTITY_KEY:
        require_p1p2(command, P1_IDENTITY_KEY)
        require_length(command, 0)
        session.purse.require(LIFECYCLE_BLANK)
        session.require_channel()
        return session.purse.profile.identity_key()
    require_p1p2(command, P1_TOKEN_KEY)
    require_length(command, CHALLENGE_SIZE)
    session.purse.require(LIFECYCLE_ACTIVE)
    session.require_pin()
    return session.purse.generate_key(command.data)
