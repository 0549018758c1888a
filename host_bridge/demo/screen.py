# SPDX-License-Identifier: Apache-2.0
"""A scenario as people watch it: each tap as it happens, what matters kept on the screen."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from host_bridge.demo.player import Event, NoteEvent, TapEvent
from host_bridge.money import format_tiyn
from pos_terminal.states import PaymentState

_RECENT = 12  # taps that a terminal shows at a time
_WIDE = 96  # columns from which a tap's line has room for what went over the link
_TONES = {"good": "green", "bad": "bold red", "plain": "yellow"}
_GOOD = (PaymentState.PAID, PaymentState.SYNCHRONISED)
_TEARS = {
    "before": "card pulled away before it had the request",
    "after": "card pulled away after it had paid",
    "power": "card lost its power after it had paid",
}


class Screen:
    """A terminal shows the last taps and a bar; a pipe gets a line for every event."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console = console
        self._recent: deque[Text] = deque(maxlen=_RECENT)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("the day", total=steps)
        self._live = Live(console=console, refresh_per_second=12, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def doing(self, what: str) -> None:
        """Something that takes a moment, before the day begins."""
        self._progress.update(self._task, description=what)
        self._refresh()

    def show(self, events: list[Event]) -> None:
        """The events of one step."""
        for event in events:
            if isinstance(event, TapEvent):
                line = tap_line(event, self._is_wide)
            else:
                line = note_line(event)
            if not self._console.is_terminal or _is_notable(event):
                self._console.print(line, soft_wrap=True)
            if isinstance(event, TapEvent):
                self._recent.append(line)
        self._progress.update(self._task, advance=1, description="the day")
        self._refresh()

    @property
    def _is_wide(self) -> bool:
        """Whether a tap's traffic has room on its line."""
        return self._console.width >= _WIDE

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        table = Table.grid()
        table.add_column(no_wrap=True, overflow="ellipsis")
        for line in self._recent:
            table.add_row(line)
        self._live.update(Group(Panel(table, title="taps"), self._progress))


def _is_notable(event: Event) -> bool:
    if isinstance(event, NoteEvent):
        return True
    return bool(event.tear) or event.payment.state not in _GOOD


def tap_line(event: TapEvent, is_wide: bool = True) -> Text:
    """One tap on one line: who paid whom how much, how it ended, what it took."""
    payment = event.payment
    style = "green" if payment.state in _GOOD else "red"
    line = Text(f"{event.at:%H:%M:%S}  ")
    line.append(f"{event.card_id:>12} → {event.till_id:<12}", style="cyan")
    line.append(f"{format_tiyn(payment.amount_tiyn):>14}  ")
    line.append(f"{payment.state:<9}", style=style)
    tap = payment.tap
    traffic = f"{tap.apdus:>3} APDU {_bytes(event):>5} B" if is_wide else ""
    line.append(f"{traffic}{tap.wall_ms:>6.0f} ms", style="dim")
    if event.tear:
        line.append(f"  {_TEARS[event.tear]}", style="yellow")
    if payment.reason and payment.state not in _GOOD:
        line.append(f"  {payment.reason}", style="red")
    return line


def note_line(event: NoteEvent) -> Text:
    """Anything else, on a line of its own."""
    return Text(f"{event.at:%H:%M:%S}  {event.text}", style=_TONES[event.tone])


def _bytes(event: TapEvent) -> int:
    return event.payment.tap.bytes_out + event.payment.tap.bytes_in
