# SPDX-License-Identifier: Apache-2.0
"""A tap as people read it: its APDUs, what the card did, and a bar for every term."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from host_bridge.bench.model import GOAL_MS, LIMIT_MS, Estimate, Term
from host_bridge.bench.report import BUDGET, Report, first_hop

_LABEL, _SHORTEST_BAR, _LONGEST_BAR = 40, 4, 24  # characters
_WITHOUT_BAR = 75
_KIND_STYLES = {"assumption": "yellow", "estimate": "yellow"}


def show(console: Console, report: Report) -> None:
    """Everything, no wider than 100 columns."""
    _show_apdus(console, report)
    _show_counts(console, report)
    for estimate in report.estimates:
        _show_estimate(console, estimate)
    _show_verdicts(console, report.estimates)
    _show_sources(console, report.estimates)


def _show_apdus(console: Console, report: Report) -> None:
    board = report.observed.board
    both = f"{board.bytes_out} + {board.bytes_in} = {board.bytes_out + board.bytes_in} bytes"
    title = f"Counted on the virtual board: {board.apdus} APDUs, {both}"
    grid = _grid(console, title, "APDU", "command", "answer", "serial frames")
    for step, framed in zip(board.tap, report.framed, strict=True):
        grid.add_row(step.name, str(len(step.command)), str(len(step.response)), str(framed))
    console.print(grid)


def _show_counts(console: Console, report: Report) -> None:
    kinds = list(report.observed.counted)
    title = "Counted on the same firmware in this process, for APDUs of the same lengths"
    grid = _grid(console, title, "the card's", *kinds)
    counts = {kind: pair[0].counts for kind, pair in report.observed.counted.items()}
    for name in sorted({name for one in counts.values() for name in one} | {"erase"}):
        grid.add_row(name.replace("_", " "), *[f"{counts[kind][name]:,}" for kind in kinds])
    console.print(grid)
    if report.is_first_hop:
        for one in first_hop(report.observed):
            style = "green" if one.is_kept else "red"
            text = f"  {one.what}: {one.counted} of at most {BUDGET[one.what]}"
            console.print(text, style=style)


def _grid(console: Console, title: str, first: str, *numbers: str) -> Grid:
    """A table under its title; all columns but the first are numbers."""
    console.print(title, style="bold")
    grid = Grid(first, box=box.SIMPLE)
    for name in numbers:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid


def _show_estimate(console: Console, estimate: Estimate) -> None:
    console.print()
    console.print(f"{estimate.profile.name}: {estimate.profile.title}", style="bold")
    width = max(_SHORTEST_BAR, min(_LONGEST_BAR, console.width - _WITHOUT_BAR))
    grid = Grid(box=None, padding=(0, 1), show_header=True)
    grid.add_column("", width=_LABEL, no_wrap=True, overflow="ellipsis")
    for name in ("count", "usual ms", "worst ms"):
        grid.add_column(name, min_width=8, justify="right", no_wrap=True)
    grid.add_column("", width=width, no_wrap=True)
    longest = max(term.longest_ms for term in estimate.terms)
    for term in sorted(estimate.terms, key=lambda term: -term.longest_ms):
        style = _KIND_STYLES.get(term.source.kind, "")
        grid.add_row(*_cells(term), _bar(term, longest, width), style=style)
    grid.add_section()
    grid.add_row("the tap", "", *_sums(estimate.terms), "", style="bold")
    if estimate.after_power:
        label = "the first payment after power: more by"
        grid.add_row(label, "", *_sums(estimate.after_power), "")
    console.print(grid)
    if estimate.after_power:
        console.print(f"   {', '.join(term.label for term in estimate.after_power)}")


def _sums(terms: list[Term]) -> tuple[str, str]:
    typical, longest = (term.typical_ms for term in terms), (term.longest_ms for term in terms)
    return f"{sum(typical):.1f}", f"{sum(longest):.1f}"


def _cells(term: Term) -> tuple[str, str, str, str]:
    return term.label, f"{term.count:,}", f"{term.typical_ms:.1f}", f"{term.longest_ms:.1f}"


def _bar(term: Term, longest_ms: float, width: int) -> Text:
    """Full for what it usually takes, light up to the worst."""
    usual = round(width * term.typical_ms / longest_ms)
    worst = max(round(width * term.longest_ms / longest_ms), usual)
    return Text("█" * usual + "░" * (worst - usual))


def _show_verdicts(console: Console, estimates: list[Estimate]) -> None:
    console.print()
    title = f"A tap against {GOAL_MS} ms, and {LIMIT_MS} at the most"
    grid = _grid(console, title, "profile", "kbit/s", "usual ms", "worst ms")
    grid.add_column("")
    for one in estimates:
        rate = str(one.rate) if one.rate else "line"
        times = (f"{one.typical_ms:.0f}", f"{one.longest_ms:.0f}")
        grid.add_row(one.profile.name, rate, *times, one.verdict)
    console.print(grid)


def _show_sources(console: Console, estimates: list[Estimate]) -> None:
    sources = {term.source.name: term.source for one in estimates for term in one.terms}
    console.print("Who says so:", style="bold")
    for source in sources.values():
        style = _KIND_STYLES.get(source.kind, "")
        console.print(Text(f"  {source.kind}: {source.text}.", style=style))
    console.print("No board and no card was timed: what is yellow is a guess, and said to be one.")
