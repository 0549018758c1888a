# SPDX-License-Identifier: Apache-2.0
"""What a purse holds to be true, as one value: for comparing it before and after a cut."""

from __future__ import annotations

import hashlib

from firmware.purse.purse import Purse
from firmware.wire.bundle import PurseExport

CHAIN_START = bytes(32)
_HEAD = 68
_BODY = 116


def facts(purse: Purse) -> dict[str, object]:
    """Money, journal, totals, limits and certificates; acknowledged entries are left out.

    How many of those it keeps is no matter of money, and PIN tries are asked for by VERIFY.
    """
    journal = purse.journal
    return {
        "lifecycle": purse.profile.lifecycle,
        "counter": purse.element.counter(),
        "notes": sorted(
            (held.slot, held.parent, held.start, held.seq, held.left) for held in purse.held
        ),
        "balance": purse.balance(),
        "waiting": [(counter, journal.at(counter).body) for counter in journal.waiting],
        "chain": (journal.anchor, journal.head, journal.acknowledged, journal.last_sync),
        "since": vars(journal.since),
        "policy": purse.profile.policy.raw,
        "known": sorted(certificate.raw for certificate in purse.profile.trust.known),
    }


def recomputed_chain(anchor: bytes, export: PurseExport) -> bytes:
    """The journal's hash behind the last entry of an export, with nothing of the firmware's."""
    chain = anchor
    for entry in export.entries:
        body = entry.raw[: _HEAD + entry.raw[3] * _BODY]
        chain = hashlib.sha256(chain + body).digest()
    return chain
