# SPDX-License-Identifier: Apache-2.0
"""RECOVER: the answer of a PAY that was torn, again; never a second debit."""

from firmware.card.session import Session, require_length, require_p1p2
from firmware.wire.apdu import Command
from firmware.wire.transfer import PAYMENT_ID_SIZE


def recover(session: Session, command: Command) -> bytes:
    """The tokens are of use to the one payee that they name, so that no PIN is asked."""
    require_p1p2(command, 0)
    require_length(command, PAYMENT_ID_SIZE)
    return session.purse.recover(command.data)
