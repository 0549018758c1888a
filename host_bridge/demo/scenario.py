# SPDX-License-Identifier: Apache-2.0
"""What a scenario file may say, and what is wrong with one that says it badly.

A scenario is a TOML file of participants, cards, tills and steps; long lists of sales may stand
in a CSV file beside it. Amounts are tenge as people write them ("1250.50") and tiyn from there
on; times are clock times of the scenario's one day.
"""

from __future__ import annotations

import csv
import datetime
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from host_bridge.money import AmountError, parse_tiyn

MAX_STEPS = 100_000
_FOLDER = Path(__file__).parent / "scenarios"
# Certificates of ten years must fit into a clock of 32 bits.
_FIRST_DAY, _LAST_DAY = datetime.date(1980, 1, 1), datetime.date(2090, 1, 1)


class ScenarioError(Exception):
    """A scenario that cannot be played; the message is one sentence that says where."""


def _tiyn(value: object) -> int:
    """An amount as written in a scenario file; a number alone is whole tenge."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("an amount is whole tenge, or text such as '1250.50'")
    try:
        return parse_tiyn(str(value))
    except AmountError as error:
        raise ValueError(str(error)) from None


def _clock(value: object) -> datetime.time:
    if isinstance(value, datetime.time):
        return value
    try:
        time = datetime.time.fromisoformat(str(value))
    except ValueError:
        time = None
    if time is None or time.tzinfo is not None:
        raise ValueError("a time is written 09:30 or 09:30:15")
    return time


def _day(value: datetime.date) -> datetime.date:
    if not _FIRST_DAY <= value <= _LAST_DAY:
        raise ValueError(f"a day lies between {_FIRST_DAY} and {_LAST_DAY}")
    return value


def _pin(value: str) -> str:
    if not (value.isascii() and value.isdigit() and 4 <= len(value) <= 12):
        raise ValueError("a PIN has 4 to 12 digits, in quotes")
    return value


Tiyn = Annotated[int, BeforeValidator(_tiyn)]
ClockTime = Annotated[datetime.time, BeforeValidator(_clock)]
Pin = Annotated[str, AfterValidator(_pin)]
Tear = Literal["", "before", "after", "power"]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]


class _Part(BaseModel):
    """One table of a scenario file: nothing unknown in it, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bank(_Part):
    """A second-tier bank, its reserves at the central bank, and the DT issued to it."""

    name: str
    correspondent: Tiyn
    issue: Tiyn


class Authority(_Part):
    """A public authority, the purposes that it may label money with, and its budget."""

    name: str
    bank: str
    purposes: list[str]
    budget: Tiyn


class Client(_Part):
    """A person with a current account."""

    id: str
    name: str
    bank: str
    current: Tiyn


class Merchant(_Part):
    """A merchant, with the purposes that it may take besides general money."""

    id: str
    name: str
    bank: str
    mcc: int = Field(ge=0, le=9999)
    purposes: list[str] = []


class Till(_Part):
    """A till of a merchant's."""

    id: FileName
    merchant: str


class Load(_Part):
    """Money that a card starts with: general, or of a purpose from an authority."""

    amount: Tiyn
    purpose: str = ""
    authority: str = ""


class Card(_Part):
    """A client's card: a MicroPython of 64 or 32 bits."""

    id: FileName
    client: str
    pin: Pin = Field(default="1234", repr=False)
    bits: Literal[32, 64] = 64
    load: list[Load] = []


class Item(_Part):
    """One line of a cheque."""

    name: str
    price: Tiyn
    quantity: int = Field(default=1, ge=1, le=999)


class Sale(_Part):
    """A card pays a till. `tear` says when the card is pulled away, or its power cut."""

    do: Literal["sale"]
    at: ClockTime
    till: str
    card: str
    amount: Tiyn = 0
    items: list[Item] = []
    with_pin: bool = False
    tear: Tear = ""
    comes_back: bool = True  # after a tear the card is held to the till again
    expect: Literal["paid", "refused", "rejected", "unknown"] = "paid"

    @model_validator(mode="after")
    def _amount_or_items(self) -> Sale:
        if bool(self.amount) is bool(self.items):
            raise ValueError("a sale has either an amount or items")
        return self


class Line(_Part):
    """The line to the bank comes or goes, for some tills or, if none is named, for all."""

    do: Literal["line"]
    at: ClockTime
    up: bool
    tills: list[str] = []


class Sync(_Part):
    """Tills send what they took."""

    do: Literal["sync"]
    at: ClockTime
    tills: list[str] = []


class SyncCard(_Part):
    """A card is synced at a till, with its PIN."""

    do: Literal["sync-card"]
    at: ClockTime
    till: str
    card: str


class Clone(_Part):
    """A thief copies a card's flash, keys and all; the copy pays on as `copy_id`."""

    do: Literal["clone"]
    at: ClockTime
    card: str
    copy_id: FileName


class Remit(_Part):
    """Money from one card to another's, through the bank: both are at a till with a line."""

    do: Literal["remit"]
    at: ClockTime
    till: str  # the counter of the payer's bank
    card: str
    to_card: str
    amount: Tiyn


Step = Annotated[
    Sale | Line | Sync | SyncCard | Clone | Remit,
    Field(discriminator="do"),
]


class Scenario(_Part):
    """A whole scenario file."""

    title: str
    story: str = ""
    day: Annotated[datetime.date, AfterValidator(_day)]
    purposes: dict[str, int] = {}
    policy: dict[str, int] = {}
    bank: list[Bank]
    authority: list[Authority] = []
    client: list[Client]
    merchant: list[Merchant]
    till: list[Till]
    card: list[Card]
    sales_csv: str = ""
    step: list[Step] = []

    @model_validator(mode="after")
    def _names_fit(self) -> Scenario:
        _check_names(self)
        return self

    @property
    def steps(self) -> list[Step]:
        """All steps in the order of their times; those of one time as they were written."""
        return sorted(self.step, key=lambda step: step.at)

    def at(self, time: datetime.time) -> int:
        """Unix seconds of a clock time of this day, in Kazakhstan's one time zone."""
        zone = datetime.timezone(datetime.timedelta(hours=5))
        return int(datetime.datetime.combine(self.day, time, zone).timestamp())


def _check_names(scenario: Scenario) -> None:
    """Every name that is used was given, once. Raises ValueError that says which was not."""
    banks = _unique("bank", [bank.name for bank in scenario.bank])
    authorities = _unique("authority", [one.name for one in scenario.authority])
    clients = _unique("client", [one.id for one in scenario.client])
    merchants = _unique("merchant", [one.id for one in scenario.merchant])
    tills = _unique("till", [one.id for one in scenario.till])
    clones = [step.copy_id for step in scenario.step if isinstance(step, Clone)]
    cards = _unique("card", [one.id for one in scenario.card] + clones)
    for kind, known, used in (
        ("bank", banks, [one.bank for one in scenario.client]),
        ("bank", banks, [one.bank for one in scenario.merchant]),
        ("bank", banks, [one.bank for one in scenario.authority]),
        ("merchant", merchants, [one.merchant for one in scenario.till]),
        ("client", clients, [one.client for one in scenario.card]),
        ("purpose", set(scenario.purposes), _purposes(scenario)),
        (
            "authority",
            authorities,
            [x.authority for c in scenario.card for x in c.load if x.purpose],
        ),
        ("till", tills, _used(scenario, "till", "tills")),
        ("card", cards, _used(scenario, "card", "to_card")),
    ):
        for name in used:
            if name not in known:
                raise ValueError(f"there is no {kind} called '{name}'")


def _used(scenario: Scenario, *fields: str) -> list[str]:
    names: list[str] = []
    for step in scenario.step:
        for field in fields:
            value = getattr(step, field, [])
            names.extend([value] if isinstance(value, str) else value)
    return names


def _purposes(scenario: Scenario) -> list[str]:
    names = [name for one in scenario.authority for name in one.purposes]
    names += [name for one in scenario.merchant for name in one.purposes]
    return names + [x.purpose for card in scenario.card for x in card.load if x.purpose]


def _unique(kind: str, names: list[str]) -> set[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two {kind}s called '{name}'")
    return set(names)


def built_in() -> list[str]:
    """The names of the scenarios that come with the project, the shortest first."""
    files = sorted(_FOLDER.glob("*.toml"), key=lambda path: (path.stat().st_size, path.name))
    return [path.stem for path in files]


def find(name: str) -> Path:
    """The file of a scenario: a path, or the name of one that comes with the project."""
    own = _FOLDER / f"{name}.toml"
    path = own if name in built_in() else Path(name)
    if not path.is_file():
        known = ", ".join(built_in())
        raise ScenarioError(f"There is no scenario '{name}'; there are {known}, or give a file.")
    return path


def read(path: Path) -> Scenario:
    """The scenario in a file. Raises ScenarioError, which names the place of the mistake."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        if data.get("sales_csv"):
            data["step"] = data.get("step", []) + _read_sales(path.parent / data["sales_csv"])
        scenario = Scenario.model_validate(data)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path} cannot be read: {error}.") from None
    except TypeError:  # of what stands where the name of a file or the steps should
        raise ScenarioError(f"{path}: sales_csv names a file, and step is a list.") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path} is not TOML: {error}.") from None
    except ValidationError as error:
        raise ScenarioError(f"{path}: {_sentence(error)}.") from None
    if len(scenario.step) > MAX_STEPS:
        raise ScenarioError(f"{path} has more than {MAX_STEPS} steps.")
    return scenario


_COLUMNS = ["time", "till", "card", "amount", "pin", "tear"]


def _read_sales(path: Path) -> list[dict[str, Any]]:
    """The sales in a CSV file with the columns time, till, card, amount, pin, tear."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != _COLUMNS:
            raise ScenarioError(f"{path}: its columns are not {','.join(_COLUMNS)}.")
        sales = []
        for number, row in enumerate(reader, start=2):
            if None in row or None in row.values() or row["pin"] not in ("", "yes"):
                raise ScenarioError(
                    f"{path}, line {number}: it has not {len(_COLUMNS)} good cells."
                )
            sale = {"do": "sale", "at": row["time"], "till": row["till"], "card": row["card"]}
            more = {"with_pin": row["pin"] == "yes", "tear": row["tear"]}
            sales.append({**sale, **more, "amount": _csv_amount(path, number, row["amount"])})
    return sales


def _csv_amount(path: Path, number: int, text: str) -> str:
    try:
        parse_tiyn(text)
    except AmountError as error:
        raise ScenarioError(f"{path}, line {number}: {error}") from None
    return text


def _sentence(error: ValidationError) -> str:
    """The first thing that pydantic found, as 'step 4 sale, till: …'."""
    first = error.errors()[0]
    place = " ".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
