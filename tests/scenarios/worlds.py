# SPDX-License-Identifier: Apache-2.0
"""Random scenarios: a small world, and a day in which anything may happen."""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import strategies as st

from host_bridge.demo.scenario import Scenario

_TILLS = ("bread", "fruit", "clinic")
_CARDS = ("asel", "timur")
_MAX_STEPS = 14
_FIRST_MINUTE = 7 * 60

_amounts = st.integers(1, 90_000).map(lambda tiyn: f"{tiyn // 100}.{tiyn % 100:02d}")
_tills = st.sampled_from(_TILLS)
_some_tills = st.lists(_tills, unique=True, max_size=3)


def _sale(cards: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "do": st.just("sale"),
            "till": _tills,
            "card": st.sampled_from(cards),
            "amount": _amounts,
            "with_pin": st.booleans(),
            "tear": st.sampled_from(["", "", "", "before", "after", "power"]),
            "comes_back": st.booleans(),
        }
    )


_lines = st.fixed_dictionaries({"do": st.just("line"), "up": st.booleans(), "tills": _some_tills})
_syncs = st.fixed_dictionaries({"do": st.just("sync"), "tills": _some_tills})


def _card_syncs(cards: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"do": st.just("sync-card"), "till": _tills, "card": st.sampled_from(cards)}
    )


def _timed(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One step a minute, in the order in which they were drawn."""
    return [
        {**step, "at": datetime.time(*divmod(_FIRST_MINUTE + minute, 60))}
        for minute, step in enumerate(steps)
    ]


@st.composite
def scenarios(draw: st.DrawFn, clones: bool) -> Scenario:
    """A day of up to 14 steps on two cards and three tills, then everybody syncs.

    With `clones`, one card is copied at some point and both pay on.
    """
    step = st.one_of(_sale(_CARDS), _sale(_CARDS), _lines, _syncs, _card_syncs(_CARDS))
    steps = draw(st.lists(step, min_size=1, max_size=_MAX_STEPS))
    if clones:
        everyone = (*_CARDS, "asel-copy")
        more = st.one_of(_sale(everyone), _sale(everyone), _syncs, _card_syncs(everyone))
        steps.append({"do": "clone", "card": "asel", "copy_id": "asel-copy"})
        steps += draw(st.lists(more, min_size=1, max_size=_MAX_STEPS))
    last: list[dict[str, Any]] = [{"do": "line", "up": True}, {"do": "sync"}]
    last += [{"do": "sync-card", "till": "bread", "card": card} for card in _CARDS]
    last.append({"do": "sync"})
    return Scenario.model_validate(a_world() | {"step": _timed(steps + last)})


def a_world() -> dict[str, Any]:
    """Two banks, three merchants with a till each, two cards; no steps yet."""
    merchants = [("bread", 5462, []), ("fruit", 5499, []), ("clinic", 8062, ["medical"])]
    medical = {"amount": "300", "purpose": "medical", "authority": "fund"}
    return {
        "title": "a random day",
        "day": datetime.date(2026, 9, 7),
        "purposes": {"medical": 1},
        "bank": [
            {"name": "bank-a", "correspondent": "50000", "issue": "20000"},
            {"name": "bank-b", "correspondent": "50000", "issue": "20000"},
        ],
        "authority": [
            {"name": "fund", "bank": "bank-a", "purposes": ["medical"], "budget": "5000"}
        ],
        "client": [
            {"id": "c-asel", "name": "Asel", "bank": "bank-a", "current": "5000"},
            {"id": "c-timur", "name": "Timur", "bank": "bank-b", "current": "5000"},
        ],
        "merchant": [
            {"id": f"m-{name}", "name": name, "bank": "bank-b", "mcc": mcc, "purposes": purposes}
            for name, mcc, purposes in merchants
        ],
        "till": [{"id": name, "merchant": f"m-{name}"} for name in _TILLS],
        "card": [
            {"id": "asel", "client": "c-asel", "load": [{"amount": "900"}, medical]},
            {"id": "timur", "client": "c-timur", "load": [{"amount": "700"}, {"amount": "400"}]},
        ],
    }
