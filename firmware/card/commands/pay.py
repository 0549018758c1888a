# SPDX-License-Identifier: Apache-2.0
"""PAY: the purse pays a terminal and answers with the tokens (protocol section 4)."""

from firmware.card.session import Session, require_length, require_p1p2
from firmware.wire.apdu import PAY_DATA, Command


def pay(session: Session, command: Command) -> bytes:
    """The rules, and the order of the steps, are in `firmware.purse.payment`."""
    require_p1p2(command, 0)
    require_length(command, PAY_DATA.size)
    return session.purse.pay(command.data, session.pin_verified)
