# SPDX-License-Identifier: Apache-2.0
"""PRESENT CERTIFICATE: a bank, issuer or authority that the purse has not seen yet."""

from firmware.card.session import Session, require_p1p2
from firmware.wire.apdu import Command


def present_certificate(session: Session, command: Command) -> bytes:
    """Checks it under the root and remembers it. The root's signature is the authority."""
    require_p1p2(command, 0)
    session.purse.require_opened()
    session.purse.profile.present(command.data)
    return b""
