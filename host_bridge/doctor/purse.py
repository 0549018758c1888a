# SPDX-License-Identifier: Apache-2.0
"""The check of a card that answers: whether it is a purse that can pay."""

from __future__ import annotations

import shlex

from firmware.wire.apdu import LIFECYCLE_BLANK, LIFECYCLE_DAMAGED, LIFECYCLE_SYNC_ONLY
from host_bridge.doctor.finding import Finding, bad, good


def check_purse(card: str, lifecycle: int) -> Finding:
    """What the state that a card tells of itself means; `card` is its name for --card."""
    name = shlex.quote(card)
    if lifecycle == LIFECYCLE_DAMAGED:
        sentence = f"The card at {card} is damaged: it cannot read a part of its memory."
        return bad("purse", sentence, f"qalta card rescue FILE --card {name}")
    if lifecycle == LIFECYCLE_SYNC_ONLY:
        sentence = f"The card at {card} is locked: it pays no more, and can only be synced."
        return bad("purse", sentence, f"qalta pos sync-card --card {name}")
    if lifecycle == LIFECYCLE_BLANK:
        return good("purse", f"a blank card answers at {card}")
    return good("purse", f"a purse answers at {card}")
