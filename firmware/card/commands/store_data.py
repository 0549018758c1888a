# SPDX-License-Identifier: Apache-2.0
"""STORE DATA: personalisation, under a secure channel, only before ACTIVE."""

from firmware.card import scp03
from firmware.card.session import Session
from firmware.wire import status
from firmware.wire.apdu import ITEM_CHANNEL_KEYS, LIFECYCLE_BLANK, Command
from firmware.wire.status import Refusal


def store_data(session: Session, command: Command) -> bytes:
    """P1 says which item the data are; ITEM_ACTIVATE ends personalisation for good."""
    if command.p2:
        raise Refusal(status.WRONG_P1P2)
    session.purse.require(LIFECYCLE_BLANK)
    session.require_channel()
    if command.p1 == ITEM_CHANNEL_KEYS:
        scp03.check_key_set(command.data)
    session.personalisation.store(command.p1, command.data)
    return b""
