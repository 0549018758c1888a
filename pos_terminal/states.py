# SPDX-License-Identifier: Apache-2.0
"""The states of a payment and the one table of what may follow what (protocol section 4)."""

import enum

from pos_terminal.errors import TillError


class PaymentState(enum.StrEnum):
    """Where a payment stands, as the merchant sees it."""

    PENDING = "pending"  # written down; a card is being asked
    PAID = "paid"  # tokens verified and kept; awaiting synchronisation
    REFUSED = "refused"  # certainly nothing was paid
    REJECTED = "rejected"  # the card answered, and the answer was not good money
    TORN = "torn"  # the card may have paid: hold it again
    UNKNOWN = "unknown"  # the card did not come back; the bank will tell
    SYNCHRONISED = "synchronised"  # the bank has credited it
    DISPUTED = "disputed"  # the bank has it, and something is wrong with it
    REFUSED_BY_BANK = "refused_by_bank"


_BANKS_WORD = {
    PaymentState.SYNCHRONISED,
    PaymentState.DISPUTED,
    PaymentState.REFUSED_BY_BANK,
}

# A torn payment is never voided: only the card's tokens or the bank's word end it. A rejected
# one may turn out well: after newer certificates, or because the payer's own sync brought it.
TRANSITIONS: dict[PaymentState, frozenset[PaymentState]] = {
    PaymentState.PENDING: frozenset(
        {PaymentState.PAID, PaymentState.REFUSED, PaymentState.REJECTED, PaymentState.TORN}
    ),
    PaymentState.TORN: frozenset(
        {PaymentState.PAID, PaymentState.REJECTED, PaymentState.UNKNOWN} | _BANKS_WORD
    ),
    PaymentState.UNKNOWN: frozenset({PaymentState.PAID, PaymentState.REJECTED} | _BANKS_WORD),
    PaymentState.REJECTED: frozenset({PaymentState.PAID} | _BANKS_WORD),
    PaymentState.PAID: frozenset(_BANKS_WORD),
    PaymentState.REFUSED: frozenset(),
    PaymentState.SYNCHRONISED: frozenset(),
    PaymentState.DISPUTED: frozenset(),
    PaymentState.REFUSED_BY_BANK: frozenset(),
}

# Payments that another tap of the card may finish, and that the bank is asked about.
UNFINISHED = (PaymentState.TORN, PaymentState.UNKNOWN, PaymentState.REJECTED)


def check_transition(old: PaymentState, new: PaymentState) -> None:
    """Refuses, with TillError, a step that the table does not have."""
    if new not in TRANSITIONS[old]:
        raise TillError(f"A payment that is {old} cannot become {new}.")
