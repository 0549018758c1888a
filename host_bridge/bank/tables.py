# SPDX-License-Identifier: Apache-2.0
"""The bank's reports as tables that people read."""

from __future__ import annotations

from rich.table import Table

from host_bridge.bank.reports import Side, TAccount
from host_bridge.money import format_tiyn


def t_account_table(account: TAccount) -> Table:
    """One T-account with its totals; an empty side is one that is not considered."""
    table = Table(title=account.title, title_justify="left", show_footer=True)
    for title, side in (("assets", account.assets), ("liabilities", account.liabilities)):
        total = format_tiyn(sum(amount for _, amount in side)) if side else ""
        table.add_column(title, footer="total" if side else "")
        table.add_column("", footer=total, justify="right")
    sides = (_cells(account.assets), _cells(account.liabilities))
    for row in range(max(len(side) for side in sides)):
        cells = [side[row] if row < len(side) else ("", "") for side in sides]
        table.add_row(*cells[0], *cells[1])
    return table


def _cells(side: Side) -> list[tuple[str, str]]:
    return [(label, format_tiyn(amount)) for label, amount in side] or [("not considered", "")]
