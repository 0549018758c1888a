# SPDX-License-Identifier: Apache-2.0
"""The table of times, `chips.toml`: every number with who says so, and the profiles of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("chips.toml")
KINDS = ("standard", "data sheet", "measured", "published", "estimate", "assumption")


class BenchError(Exception):
    """What was asked for cannot be measured; the message is one sentence for people."""


@dataclass(frozen=True)
class Source:
    """Who says so: its short name, one of KINDS, and where it is to be found."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class Time:
    """Milliseconds, as they usually are and at the worst."""

    typical_ms: float
    longest_ms: float
    source: Source


@dataclass(frozen=True)
class Profile:
    """A card or board with its reader, by names of other parts of the table.

    rates: kbit/s in the air, the first is what it is reckoned with; empty on a serial line.
    """

    name: str
    kind: str  # board or card
    title: str
    card: str  # which counting card stands for it: software or chip
    chip: str  # what runs the firmware or the applet
    reader: str  # the till's
    element: str = ""
    front: str = ""  # what a board has itself, to be a card
    rates: tuple[int, ...] = ()
    reader_frame: int = 0  # the longest frame that the reader takes, ISO 14443-4 FSD
    card_frame: int = 0  # that the card takes, FSC
    waiting_ms: float = 0.0  # frame waiting time: a card that needs longer asks for more
    frame_source: str = ""


class Table:
    """All of it. Raises BenchError for a number without a source, or a name that is none."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        self.sources = {
            name: Source(name, one["kind"], one["text"]) for name, one in data["source"].items()
        }
        for source in self.sources.values():
            if source.kind not in KINDS:
                raise BenchError(f"The table's source {source.name} is of no known kind.")
        self.profiles = {
            name: Profile(name, **{**one, "rates": tuple(one.get("rates", ()))})
            for name, one in data["profile"].items()
        }
        self.air: dict[str, Any] = data["air"]

    def source(self, name: str) -> Source:
        """Who says so."""
        if name not in self.sources:
            raise BenchError(f"The table of times has no source {name}.")
        return self.sources[name]

    def time(self, part: str, name: str, what: str) -> Time:
        """How long `what` takes of chip or bus `name`."""
        return self._time(self._data[part][name][what])

    def times(self, part: str, name: str) -> dict[str, Time]:
        """All times of one chip or bus."""
        fields = self._data[part][name].items()
        return {key: self._time(value) for key, value in fields if isinstance(value, list)}

    def text(self, part: str, name: str, what: str) -> str:
        """A title or a style."""
        return str(self._data[part][name][what])

    def air_time(self, what: str) -> Time:
        """How long something takes in the air, whatever is sent."""
        return self._time(self.air[what])

    def profile(self, name: str, kind: str) -> Profile:
        """A board or a card. Raises BenchError where the table has none of this name."""
        known = [one.name for one in self.profiles.values() if one.kind == kind]
        if name not in known:
            raise BenchError(f"There is no {kind} '{name}' in the table: {', '.join(known)}.")
        return self.profiles[name]

    def rate_of(self, profile: Profile, wanted: int | None) -> int:
        """The rate that a profile is reckoned with, in kbit/s; 0 where it is on a line.

        Raises BenchError for one that it does not have.
        """
        if wanted is None:
            return profile.rates[0] if profile.rates else 0
        if wanted not in profile.rates:
            known = ", ".join(map(str, sorted(profile.rates)))
            if not known:
                raise BenchError(f"{profile.name} is on a line, and not in the air.")
            raise BenchError(f"{profile.name} goes at {known} kbit/s, not at {wanted}.")
        return wanted

    def _time(self, row: list[Any]) -> Time:
        typical, longest, source = row
        if not 0 <= typical <= longest:
            raise BenchError(f"The table says {typical} ms usually and {longest} ms at the worst.")
        return Time(float(typical), float(longest), self.source(source))


def read_table(path: Path = TABLE) -> Table:
    """The table in a file."""
    with path.open("rb") as file:
        return Table(tomllib.load(file))
