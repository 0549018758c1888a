# SPDX-License-Identifier: Apache-2.0
"""How long a tap would take: what was counted, times the table, one term for each.

A sum says nothing that its terms do not: every term has its count, its two times and its source.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from host_bridge.bench.card import Step
from host_bridge.bench.link import Air, bus_bytes
from host_bridge.bench.table import Profile, Source, Table, Time
from host_bridge.bench.tap import Taps

GOAL_MS = 300
LIMIT_MS = 500

# What a chip is asked for, and how it is called; in the order in which it is shown.
_LABELS = {
    "verify": "verify a signature",
    "sign": "sign",
    "point": "is it a point of the curve",
    "hash": "SHA-256, a digest",
    "hash_block": "SHA-256, a block",
    "aes_block": "AES-128, a block",
    "bytecode": "the interpreter, a bytecode",
    "packet_bytecode": "the chip's packets and CRC, a bytecode",
    "i2c": "the chip's bus, a transaction",
    "i2c_open": "the chip's bus, opened at another speed",
    "read": "flash, a read",
    "read_byte": "flash, a byte read",
    "program": "flash, a program",
    "program_byte": "flash, a byte programmed",
    "erase": "flash, an erase",
    "record": "a record written",
    "apdu": "the applet, an APDU",
}
_ELEMENT_SIGNS = "sign"  # done by the chip where there is one, and in its own terms then
_ELEMENT_VERIFIES = "verify"
_CHIP = "chip."


@dataclass(frozen=True)
class Term:
    """A part of the sum: so many times something, in milliseconds."""

    label: str
    count: float
    typical_ms: float
    longest_ms: float
    source: Source


@dataclass(frozen=True)
class Estimate:
    """A profile's tap, at a rate in kbit/s (0 on a serial line)."""

    profile: Profile
    rate: int
    terms: list[Term]
    after_power: list[Term] = field(default_factory=list)  # beyond them, for the first payment

    @property
    def typical_ms(self) -> float:
        """The sum as it usually is."""
        return sum(term.typical_ms for term in self.terms)

    @property
    def longest_ms(self) -> float:
        """The sum of everything at its worst."""
        return sum(term.longest_ms for term in self.terms)

    @property
    def verdict(self) -> str:
        """Against the goal, and against what is still bearable."""
        if self.longest_ms <= GOAL_MS:
            return f"always within {GOAL_MS} ms"
        if self.typical_ms <= GOAL_MS:
            worst = "" if self.longest_ms <= LIMIT_MS else f", at the worst over {LIMIT_MS}"
            return f"usually within {GOAL_MS} ms{worst}"
        if self.typical_ms <= LIMIT_MS:
            return f"over {GOAL_MS} ms, usually within {LIMIT_MS}"
        return f"over {LIMIT_MS} ms"


class Model:
    """The table, and one rate for all that go through the air, where one was asked for."""

    def __init__(self, table: Table, rate: int | None = None) -> None:
        self._table = table
        self._rate = rate

    def estimate(self, profile: Profile, usual: Taps, slowest: Taps) -> Estimate:
        """A profile's tap. usual, slowest: its counting card's, by how fast its chip was."""
        rate = self._table.rate_of(profile, self._rate)
        terms = self._computing(profile, usual.tap, slowest.tap)
        terms += self._link(profile, rate, usual.tap, slowest.tap)
        after_power: list[Term] = []
        if profile.element:
            warm = {term.label: term for term in self._element(profile, usual.tap, slowest.tap)}
            cold = self._element(profile, usual.after_power, slowest.after_power)
            after_power = [more for term in cold if (more := _beyond(term, warm)) is not None]
        return Estimate(profile, rate, terms, after_power)

    def _computing(self, profile: Profile, usual: list[Step], slowest: list[Step]) -> list[Term]:
        return self._own(profile, usual, slowest) + self._element(profile, usual, slowest)

    def _own(self, profile: Profile, usual: list[Step], slowest: list[Step]) -> list[Term]:
        """What the microcontroller or the card does itself."""
        times = self._table.times("chip", profile.chip)
        often, seldom = _sum(usual), _sum(slowest)
        often["apdu"] = seldom["apdu"] = len(usual)
        if profile.element:
            del often[_ELEMENT_SIGNS]
        if often[f"{_CHIP}VERIFY"]:
            del often[_ELEMENT_VERIFIES]
        return [
            _term(label, often[name], times[name], seldom[name])
            for name, label in _LABELS.items()
            if name in times and often[name]
        ]

    def _element(self, profile: Profile, usual: list[Step], slowest: list[Step]) -> list[Term]:
        """The chip's commands, and what the driver waited besides: bus, wakes, polls."""
        if not profile.element:
            return []
        title = self._table.text("chip", profile.element, "title")
        often, seldom = _sum(usual), _sum(slowest)
        terms = [
            _term(f"{title} {name}", often[_CHIP + name], time, seldom[_CHIP + name])
            for name, time in self._table.times("chip", profile.element).items()
            if often[_CHIP + name]
        ]
        waited = sum(step.chip_ms for step in usual) - sum(term.typical_ms for term in terms)
        at_worst = sum(step.chip_ms for step in slowest) - sum(term.longest_ms for term in terms)
        wakes = often[f"{_CHIP}wake"]
        source = Source(
            "counted", "counted", "The driver on a simulated bus at 400 kHz, 100 for a wake"
        )
        label = f"{title}'s bus, wakes and polls"
        terms.append(Term(label, wakes, waited, max(waited, at_worst), source))
        return terms

    def _link(
        self, profile: Profile, rate: int, usual: list[Step], slowest: list[Step]
    ) -> list[Term]:
        terms: list[Term] = []
        if profile.rates:
            air = Air(self._table, profile, rate)
            both = zip(usual, slowest, strict=True)
            busy = [self._busy_ms(profile, one, two) for one, two in both]
            terms += [Term(*row) for row in air.terms(usual, busy)]
        for name, side in ((profile.reader, "reader"), (profile.front, "card")):
            if name:
                terms += self._bus(name, side, usual)
        return terms

    def _busy_ms(self, profile: Profile, usual: Step, slowest: Step) -> tuple[float, float]:
        """How long a card works on one APDU before it answers."""
        terms = self._computing(profile, [usual], [slowest])
        typical = sum(term.typical_ms for term in terms)
        return typical, sum(term.longest_ms for term in terms)

    def _bus(self, name: str, side: str, steps: list[Step]) -> list[Term]:
        style = self._table.text("bus", name, "style")
        title = self._table.text("bus", name, "title")
        size, frames = bus_bytes(style, side, steps)
        times = self._table.times("bus", name)
        whose = "" if style == "serial" else f"{side}: "
        terms = [_term(f"{whose}{title}, bytes", size, times["byte"])]
        if "frame" in times:
            terms.append(_term(f"{whose}{title}, work", frames, times["frame"]))
        return terms


def _term(label: str, count: int, time: Time, slow_count: int | None = None) -> Term:
    """slow_count: how often, where everything was at its slowest."""
    longest = max(count, slow_count or 0) * time.longest_ms
    return Term(label, count, count * time.typical_ms, longest, time.source)


def _beyond(term: Term, usual: dict[str, Term]) -> Term | None:
    """What a term has more than in the usual tap; None where it has not."""
    other = usual.get(term.label)
    if other is None:
        return term
    if term.typical_ms <= other.typical_ms:
        return None
    longer = max(0.0, term.longest_ms - other.longest_ms)
    shorter = term.typical_ms - other.typical_ms
    return Term(term.label, term.count - other.count, shorter, max(shorter, longer), term.source)


def _sum(steps: list[Step]) -> Counter[str]:
    total: Counter[str] = Counter()
    for step in steps:
        total += step.counts
    return total
