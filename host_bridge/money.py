# SPDX-License-Identifier: Apache-2.0
"""Amounts as people write them, to and from whole tiyn (1 tenge = 100 tiyn)."""

import re

MAX_TIYN = 0xFFFF_FFFF  # a note's value is a u32 (protocol section 3)

_TIYN_PER_TENGE = 100
_SPACES = " \u00a0\u202f"  # plain, no-break and narrow no-break
_AMOUNT = re.compile(r"(?P<tenge>[0-9]+|[0-9]{1,3}(?: [0-9]{3})+)(?:[.,](?P<tiyn>[0-9]{1,2}))?")
_MAX_CHARACTERS = 32


class AmountError(ValueError):
    """What was written is not an amount of money; the message is one sentence for people."""


def parse_tiyn(text: str) -> int:
    """The tiyn in an amount of tenge such as "12500", "12500.50" or "12 500,00 ₸".

    Raises AmountError for a sign, more than two decimals, digits of other scripts, misplaced
    spaces, and more than MAX_TIYN (reliability case B11).
    """
    shown = text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"
    cleaned = text.strip().removesuffix("₸").rstrip(_SPACES)
    for space in _SPACES:
        cleaned = cleaned.replace(space, " ")
    match = _AMOUNT.fullmatch(cleaned)
    if match is None or len(text) > _MAX_CHARACTERS:
        raise AmountError(f"'{shown}' is not an amount of tenge such as 12500 or 12500.50.")
    tenge = int(match["tenge"].replace(" ", ""))
    amount = tenge * _TIYN_PER_TENGE + int((match["tiyn"] or "").ljust(2, "0"))
    if amount > MAX_TIYN:
        raise AmountError(f"'{shown}' is more than {format_tiyn(MAX_TIYN)}, the largest amount.")
    return amount


def format_tiyn(amount_tiyn: int) -> str:
    """An amount as people read it: 1250000 gives "12 500,00 ₸". Balances may be negative."""
    tenge, tiyn = divmod(abs(amount_tiyn), _TIYN_PER_TENGE)
    sign = "-" if amount_tiyn < 0 else ""
    return f"{sign}{tenge:,}".replace(",", " ") + f",{tiyn:02d} ₸"
