# SPDX-License-Identifier: Apache-2.0
"""One run of the tap's bench: what was counted, what it comes to, and the budget of a payment."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.wire import frame
from host_bridge.bench.card import CountingCard
from host_bridge.bench.model import GOAL_MS, LIMIT_MS, Estimate, Model, Term
from host_bridge.bench.table import Profile, Table
from host_bridge.bench.tap import Observed, Progress, Wish, observe

_ELEMENT = "atecc608"

# A first hop to a till of a bank that the card knows, without PIN: at most so much of each.
BUDGET = {
    "APDUs": 5,
    "bytes both ways": 700,
    "signatures of the card": 1,
    "verifications on the card": 1,
    "flash erases within the tap": 0,
}


@dataclass(frozen=True)
class Kept:
    """One line of the budget, as it was counted."""

    what: str
    counted: int

    @property
    def is_kept(self) -> bool:
        """Whether it is no more than may be."""
        return self.counted <= BUDGET[self.what]


@dataclass(frozen=True)
class Report:
    """Everything that a run found out."""

    wish: Wish
    observed: Observed
    estimates: list[Estimate]

    @property
    def is_first_hop(self) -> bool:
        """Whether the budget is about this sale."""
        return not (self.wish.first_time or self.wish.pin)

    @property
    def framed(self) -> list[int]:
        """Bytes on a serial line for each APDU and its answer."""
        return [
            len(frame.encode(frame.COMMAND_APDU, 1, step.command))
            + len(frame.encode(frame.RESPONSE_APDU, 1, step.response))
            for step in self.observed.board.tap
        ]


def run(
    table: Table, profiles: list[Profile], wish: Wish, rate: int | None, progress: Progress
) -> Report:
    """Sells on the virtual board and on the cards that count, and reckons every profile.

    Raises BenchError, and whatever the demo's own sale may raise.
    """
    times = table.times("chip", _ELEMENT)
    usual = {name: time.typical_ms for name, time in times.items()}
    slowest = {name: time.longest_ms for name, time in times.items()}
    model = Model(table, rate)
    wanted = {profile.card for profile in profiles}
    kinds = [kind for kind in CountingCard.KINDS if kind in wanted]
    with tempfile.TemporaryDirectory(prefix="qalta-bench-") as folder:
        observed = observe(Path(folder), wish, kinds, (usual, slowest), progress)
    estimates = [model.estimate(one, *observed.counted[one.card]) for one in profiles]
    return Report(wish, observed, estimates)


def first_hop(observed: Observed) -> list[Kept]:
    """The budget of a first hop. What more than one counting card did, the worst of them did."""
    taps = [pair[0] for pair in observed.counted.values()]

    def most(name: str) -> int:
        return max(tap.counts[name] for tap in taps)

    board = observed.board
    counted = (
        board.apdus,
        board.bytes_out + board.bytes_in,
        most("sign"),
        most("verify"),
        most("erase"),
    )
    return [Kept(what, many) for what, many in zip(BUDGET, counted, strict=True)]


def as_data(report: Report) -> dict[str, Any]:
    """The report for machines."""
    board = report.observed.board
    return {
        "pin": report.wish.pin,
        "first_time": report.wish.first_time,
        "apdus": [
            {"name": step.name, "command": len(step.command), "answer": len(step.response)}
            for step in board.tap
        ],
        "bytes_out": board.bytes_out,
        "bytes_in": board.bytes_in,
        "serial_bytes": sum(report.framed),
        "counted": {
            kind: dict(sorted(pair[0].counts.items()))
            for kind, pair in report.observed.counted.items()
        },
        "budget": [
            {"what": one.what, "counted": one.counted, "at_most": BUDGET[one.what]}
            for one in (first_hop(report.observed) if report.is_first_hop else [])
        ],
        "goal_ms": GOAL_MS,
        "limit_ms": LIMIT_MS,
        "profiles": [_estimate_data(one) for one in report.estimates],
    }


def _estimate_data(estimate: Estimate) -> dict[str, Any]:
    return {
        "name": estimate.profile.name,
        "title": estimate.profile.title,
        "rate_kbit": estimate.rate,
        "typical_ms": round(estimate.typical_ms, 2),
        "longest_ms": round(estimate.longest_ms, 2),
        "verdict": estimate.verdict,
        "terms": [_term_data(term) for term in estimate.terms],
        "first_payment_after_power": [_term_data(term) for term in estimate.after_power],
    }


def _term_data(term: Term) -> dict[str, Any]:
    return {
        "label": term.label,
        "count": term.count,
        "typical_ms": round(term.typical_ms, 3),
        "longest_ms": round(term.longest_ms, 3),
        "kind": term.source.kind,
        "source": term.source.text,
    }
