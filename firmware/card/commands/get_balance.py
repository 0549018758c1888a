# SPDX-License-Identifier: Apache-2.0
"""GET BALANCE: what is left, by purpose, to who shows the PIN."""

from firmware.card.session import Session, require_length, require_p1p2
from firmware.wire.apdu import BALANCE, Command


def get_balance(session: Session, command: Command) -> bytes:
    """One (purpose, tiyn) a purpose, general money first."""
    require_p1p2(command, 0)
    require_length(command, 0)
    session.purse.require_opened()
    session.require_pin()
    rows = sorted(session.purse.balance().items())
    return b"".join([BALANCE.pack({"purpose": row[0], "amount": row[1]}) for row in rows])
