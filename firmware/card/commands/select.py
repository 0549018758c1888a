# SPDX-License-Identifier: Apache-2.0
"""SELECT: the purse by its AID. The answer identifies nobody (protocol section 4)."""

from firmware.card.session import Session, require_p1p2
from firmware.purse.purse import Purse
from firmware.wire import apdu, status, tlv
from firmware.wire.apdu import Command
from firmware.wire.limits import JOURNAL_CAPACITY, PROTOCOL_VERSION
from firmware.wire.status import Refusal


def select(session: Session, command: Command) -> bytes:
    """Opens the application; a PIN that was shown before counts no more."""
    require_p1p2(command, apdu.P1_SELECT_BY_NAME)
    if command.data != apdu.AID:
        raise Refusal(status.NOT_FOUND)
    session.is_selected = True
    session.pin_verified = False
    answer = apdu.SELECT_ANSWER.pack(_state(session.purse))
    template = tlv.encode(tlv.DF_NAME, apdu.AID) + tlv.encode(tlv.FCI_PROPRIETARY, answer)
    return tlv.encode(tlv.FCI_TEMPLATE, template)


def _state(purse: Purse) -> "dict[str, int]":
    profile = purse.profile
    flags = 0
    if purse.access.is_blocked:
        flags |= apdu.FLAG_PIN_BLOCKED
    if not purse.damage and purse.journal.since.count >= JOURNAL_CAPACITY:
        flags |= apdu.FLAG_JOURNAL_FULL
    return {
        "protocol": PROTOCOL_VERSION,
        "tier": purse.element.TIER,
        "currency": profile.currency,
        "policy_version": purse.state["policy_version"],
        "lifecycle": profile.lifecycle,
        "flags": flags,
    }
