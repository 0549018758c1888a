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
    apdu.P1_EXPORT_STORED: apdu.STORED_INDEX.size,
}


def export(session: Session, command: Command) -> bytes:
    """P1 says which part: statement, entry number P2, certificate, or a record as it is stored.

    The last two are also given by a purse that cannot read a part of its memory.
    """
    if command.p1 not in _PARTS:
        raise Refusal(status.WRONG_P1P2)
    if command.p1 != apdu.P1_EXPORT_ENTRY:
        require_p1p2(command, command.p1)
    require_length(command, _PARTS[command.p1])
    purse = session.purse
    if command.p1 == apdu.P1_EXPORT_STORED:
        purse.require(apdu.LIFECYCLE_SYNC_ONLY, apdu.LIFECYCLE_DAMAGED)
        _require_pin_if_any(session)
        return _stored(session, command)
    if command.p1 == apdu.P1_EXPORT_CERTIFICATE and purse.damage:
        _require_pin_if_any(session)
        return purse.profile.certificate
    purse.require_opened()
    session.require_pin()
    if command.p1 == apdu.P1_EXPORT_STATEMENT:
        return purse.statement(command.data)
    if command.p1 == apdu.P1_EXPORT_ENTRY:
        return purse.waiting_entry(command.p2)
    return purse.profile.certificate


def _stored(session: Session, command: Command) -> bytes:
    index = apdu.STORED_INDEX.unpack(command.data)["index"]
    kind, payload = session.purse.stored_record(index)
    return apdu.STORED_RECORD.pack({"kind": kind}) + payload


def _require_pin_if_any(session: Session) -> None:
    """A purse that has lost its PIN with the rest can ask for none."""
    if session.purse.access.has_pin:
        session.require_pin()
