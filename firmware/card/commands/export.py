# SPDX-License-Identifier: Apache-2.0
"""EXPORT: the purse's journal for its bank, to who shows the PIN (protocol section 5)."""

from firmware.card.session import Session, require_length, require_p1p2
from firmware.wire import apdu, status
from firmware.wire.apdu import Command
from firmware.wire.limits import CHALLENGE_SIZE
from firmware.wire.status import Refusal

# P1: how long the data are.
_PARTS = {
    apdu.P1_EXPORT_STATEMENT: CHALLENGE_SIZE,
    apdu.P1_EXPORT_ENTRY: 0,
    apdu.P1_EXPORT_CERTIFICATE: 0,
}


def export(session: Session, command: Command) -> bytes:
    """P1 says which part: the signed statement, entry number P2, or the identity certificate."""
    if command.p1 not in _PARTS:
        raise Refusal(status.WRONG_P1P2)
    if command.p1 != apdu.P1_EXPORT_ENTRY:
        require_p1p2(command, command.p1)
    require_length(command, _PARTS[command.p1])
    session.purse.require_opened()
    session.require_pin()
    if command.p1 == apdu.P1_EXPORT_STATEMENT:
        return session.purse.statement(command.data)
    if command.p1 == apdu.P1_EXPORT_ENTRY:
        return session.purse.waiting_entry(command.p2)
    return session.purse.profile.certificate
