# SPDX-License-Identifier: Apache-2.0
"""Receipts as plain text, for a roll of 32 or 42 columns."""

from __future__ import annotations

import textwrap
from datetime import datetime, tzinfo

from host_bridge.money import format_tiyn
from pos_terminal.book import Payment
from pos_terminal.cheque import ONE, Line
from pos_terminal.errors import TillError
from pos_terminal.states import PaymentState

WIDTHS = (32, 42)  # columns of paper 58 mm and 80 mm wide

_WORDS = {
    PaymentState.PENDING: "NOT PAID YET",
    PaymentState.PAID: "PAID, awaiting synchronisation",
    PaymentState.REFUSED: "NOT PAID: refused",
    PaymentState.REJECTED: "NOT PAID: rejected",
    PaymentState.TORN: "NOT CONFIRMED: hold the card again",
    PaymentState.UNKNOWN: "NOT CONFIRMED: the bank will tell",
    PaymentState.SYNCHRONISED: "PAID, synchronised",
    PaymentState.DISPUTED: "DISPUTED: ask the bank",
    PaymentState.REFUSED_BY_BANK: "REFUSED by the bank",
}


def receipt(payment: Payment, merchant: str, zone: tzinfo, columns: int = WIDTHS[0]) -> str:
    """The receipt of a payment as it stands in the books, a line break at its end.

    A receipt of a payment that is not paid says so. Raises TillError for another width.
    """
    if columns not in WIDTHS:
        raise TillError(f"A receipt has {WIDTHS[0]} or {WIDTHS[1]} columns.")
    rule = "-" * columns
    time = datetime.fromtimestamp(payment.time, zone)
    lines = [name.center(columns).rstrip() for name in _wrapped(merchant, columns)]
    lines.append(_both_ends(f"No. {payment.number}", f"{time:%d.%m.%Y %H:%M:%S}", columns))
    lines.append(rule)
    for line in payment.cheque.lines:
        lines.extend(_sold(line, columns))
    lines.append(rule)
    lines.append(_both_ends("TOTAL", format_tiyn(payment.amount_tiyn), columns))
    lines.extend(_wrapped(_WORDS[payment.state], columns))
    if payment.state not in (PaymentState.PAID, PaymentState.SYNCHRONISED) and payment.reason:
        lines.extend(_wrapped(payment.reason, columns))
    lines.append(_both_ends("Payment", payment.short_id, columns))
    return "\n".join(lines) + "\n"


def _sold(line: Line, columns: int) -> list[str]:
    total = format_tiyn(line.total_tiyn)
    if line.quantity_milli == ONE:
        return [*_wrapped(line.name, columns)[:-1], *_last_with(line.name, total, columns)]
    whole, rest = divmod(line.quantity_milli, ONE)
    quantity = f"{whole},{rest:03d}".rstrip("0") if rest else str(whole)
    each = f"  {quantity} x {format_tiyn(line.price_tiyn)}"
    return [*_wrapped(line.name, columns), *_fitted(each, total, columns)]


def _last_with(name: str, total: str, columns: int) -> list[str]:
    return _fitted(_wrapped(name, columns)[-1], total, columns)


def _fitted(left: str, right: str, columns: int) -> list[str]:
    """Both on one line if there is room, else the right one below."""
    if len(left) + 1 + len(right) <= columns:
        return [_both_ends(left, right, columns)]
    return [left, right.rjust(columns)]


def _both_ends(left: str, right: str, columns: int) -> str:
    return left + right.rjust(columns - len(left))


def _wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most `columns`; what a printer could take for a command is replaced."""
    clean = "".join([letter if letter.isprintable() else "?" for letter in text])
    return textwrap.wrap(clean, columns) or [""]
