# SPDX-License-Identifier: Apache-2.0
"""Random steps of tills, holders, banks and thieves, drawn from a seed and from nothing else.

A step says what is done in words that mean something in any order ("the newest key", "one tiyn
over the limit"), so that a list of steps is still one when some of them are left out.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.doubles.plain_records import Limits
from tests.doubles.power import MOMENTS
from tests.stateful import town
from tests.stateful.town import DAY, FOOD, MEDICAL, NOBODYS, Y2000

BEST_MATCH = 0xFFFF


class Step(NamedTuple):
    """tear: at which write, from 1, and at which of its moments the power fails."""

    do: str
    args: dict[str, Any]
    tear: tuple[int, str] | None = None

    def __str__(self) -> str:
        args = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        tear = f", torn {self.tear[1]} write {self.tear[0]}" if self.tear else ""
        return f"{self.do}({args}){tear}"


# How often each kind comes, by what the holder is up to for a while.
_WEIGHTS = {
    "tap": 6, "boot": 1, "verify": 10, "change": 1, "unblock": 2, "present": 4, "policy": 2,
    "generate": 3, "load": 5, "fund": 3, "pay": 36, "recover": 8, "balance": 4, "export": 4,
    "sync": 2, "acknowledge": 2, "wait": 2, "garbage": 4, "jump": 1, "response": 1, "long": 1,
}  # fmt: skip
_MANY_PAYMENTS = {
    "pay": 200, "verify": 6, "tap": 1, "fund": 3, "garbage": 1, "sync": 0, "acknowledge": 0,
    "policy": 0, "jump": 0, "unblock": 0, "change": 0, "wait": 0, "wide": 1,
}  # fmt: skip
_MANY_SYNCS = {"sync": 12, "acknowledge": 12, "pay": 40, "recover": 20, "export": 10}
_TEMPERS: list[dict[str, int]] = [
    {},
    {"pay": 90, "verify": 16, "fund": 8, "sync": 0, "acknowledge": 0},  # until a limit says no
    _MANY_PAYMENTS,
    {"fund": 20, "pay": 50, "sync": 5, "small": 1},  # slots fill, and are used again
    _MANY_SYNCS,
    {"verify": 30, "change": 10, "unblock": 6, "tap": 10, "clumsy": 1},
    {"policy": 14, "present": 14, "load": 14},
    {"garbage": 40, "response": 20, "recover": 20},
]
_BUSY = [_MANY_PAYMENTS, _MANY_PAYMENTS, _MANY_PAYMENTS, _MANY_SYNCS]
_TEMPER_STEPS = (60, 160)
_TORN = {"boot": 0.5, "generate": 0.3, "load": 0.3, "policy": 0.4, "present": 0.2, "change": 0.3,
         "unblock": 0.3, "acknowledge": 0.3, "sync": 0.3, "pay": 0.12}  # fmt: skip


class Drawing:
    """One seed's steps. Every few dozen of them the temper changes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._is_busy = seed % 8 == 5  # so many payments that the journal's ring comes around
        self._chance = self._random.random
        self._temper: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self._until = 0
        self._steps: list[Step] = []

    def draw(self, count: int) -> list[Step]:
        """So many steps, the first of which give the purse some money."""
        seldom = self._random
        steps = self._steps
        end_comes_at = count * seldom.uniform(0.4, 0.95) if seldom.random() < 0.4 else count
        self._fund()
        while len(steps) < count:
            if len(steps) >= self._until:
                self._change_temper()
            if len(steps) >= end_comes_at:
                end_comes_at = count
                self._near_the_end()
            kinds = list(self._weights)
            kind = seldom.choices(kinds, [self._weights[kind] for kind in kinds])[0]
            if kind == "fund":
                self._fund()
            else:
                self._one(kind)
        del steps[count:]
        if seldom.random() < 0.15:
            steps[-40:-40] = [Step("stray", {"boot": seldom.random() < 0.4})]
        return steps

    def _near_the_end(self) -> None:
        """The counter goes on a little below its end."""
        self._tapped()
        self._steps.append(Step("jump", {"by": 2_097_151 - self._random.randrange(60, 900)}))
        self._steps += [self._plain_pay(1), self._plain_pay(1)]

    def _change_temper(self) -> None:
        self._until = len(self._steps) + self._random.randint(*_TEMPER_STEPS)
        self._temper = self._random.choice(_BUSY if self._is_busy else _TEMPERS)
        self._weights = {name: self._temper.get(name, weight) for name, weight in _WEIGHTS.items()}
        if "wide" in self._temper:
            self._steps.append(Step("sync", {"share": 4, "lag": 0}))
            self._steps.append(Step("policy", {"kind": "newer", "limits": _wide()}))
            for _ in range(3):
                self._fund()

    def _one(self, kind: str) -> None:
        args = getattr(self, "_" + kind)()
        tear = None
        if self._chance() < _TORN.get(kind, 0.03) / (1 + 2 * self._is_busy):
            tear = (
                self._random.choice((1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 8)),
                self._random.choice(MOMENTS),
            )
            if self._chance() < 0.3:
                args["twice"] = (1, self._random.choice(MOMENTS))  # the next boot is torn, too
        elif self._chance() < 0.04:
            args["parts"] = self._random.randint(2, 4)
        elif self._chance() < 0.03:
            args["le"] = self._random.choice((1, 17, 255, 256))
        elif self._chance() < 0.02:
            args.update(le=self._random.choice((1, 100)), leave=True)
        self._steps.append(Step(kind, args, tear))
        if "leave" in args and self._chance() < 0.5:
            self._steps.append(Step("verify", {"pin": "none"}))
            self._steps.append(Step("response", {"le": None}))
        if tear is not None and self._chance() < 0.8:
            self._tapped()

    def _tapped(self) -> None:
        self._steps.append(Step("tap", {"select": True}))
        self._steps.append(Step("verify", {"pin": "right"}))

    def _fund(self) -> None:
        """What a bank's desk does, a step at a time."""
        self._tapped()
        self._one("generate")
        note = self._load()
        self._steps.append(Step("present", {"who": _signer(note["purpose"])}))
        note.update(kind="good", value=self._value())
        self._steps.append(Step("load", note, self._tear_or_none()))

    def _tear_or_none(self) -> tuple[int, str] | None:
        return (
            (self._random.randint(1, 6), self._random.choice(MOMENTS))
            if self._chance() < 0.1
            else None
        )

    # -- the kinds -----------------------------------------------------------------------------

    def _tap(self) -> dict[str, Any]:
        return {"select": self._chance() < 0.95}

    def _boot(self) -> dict[str, Any]:
        return {"select": self._chance() < 0.9}

    def _verify(self) -> dict[str, Any]:
        pins = ("right", "wrong", "none", "short", "long", "letters")
        wrong = 80 if "clumsy" in self._temper else 14
        return {"pin": self._random.choices(pins, (70, wrong, 6, 1, 1, 1))[0]}

    def _change(self) -> dict[str, Any]:
        old = self._random.choices(("right", "wrong", "short"), (7, 3, 1))[0]
        return {"old": old, "new": self._random.choice((*town.PINS, b"12", b"12ab"))}

    def _unblock(self) -> dict[str, Any]:
        puk = self._random.choices(("right", "wrong", "letters"), (70, 27, 5))[0]
        new = self._random.choice((*town.PINS, b"1" * 12, b"1" * 13, b""))
        return {"puk": puk, "new": new}

    def _present(self) -> dict[str, Any]:
        return {"who": self._random.choice(list(town.SHOWN))}

    def _policy(self) -> dict[str, Any]:
        kinds = (
            "newer",
            "again",
            "older",
            "same version",
            "foreign",
            "forged",
            "tier",
            "dollars",
            "cut",
        )
        kind = self._random.choices(kinds, (60, 8, 8, 8, 4, 4, 4, 4, 4))[0]
        limits = town.LIMITS._replace(
            balance=self._random.choice((0, 1_000, 3_000, 3_000, 30_000)),
            payment=self._random.choice((50, 150, 400, 400, 2_000)),
            pinless_payment=self._random.choice((0, 50, 100)),
            pinless_total=self._random.choice((0, 100, 250)),
            total=self._random.choice((0, 250, 1_500, 1_500, 20_000)),
            seconds=self._random.choice((DAY, 10 * DAY, 30 * DAY)),
            times=self._random.choice((0, 5, 40, 40, 100, 100)),
        )
        if self._chance() < 0.3:
            limits = _wide()
        args: dict[str, Any] = {"kind": kind, "limits": limits}
        if self._chance() < 0.15:
            args["emergency"] = limits._replace(payment=20, pinless_payment=10)
        if self._chance() < 0.15:
            args["banned"] = self._random.choice((1, 2, 3, 4))
        if self._chance() < 0.3:
            args["purposes"] = self._random.choice(((MEDICAL,), (FOOD, MEDICAL), (0, FOOD)))
        return args

    def _generate(self) -> dict[str, Any]:
        return {}

    def _value(self) -> int:
        few = (1, 1, 2, 3, 5) if "small" in self._temper else (1, 7, 40, 100, 250, 600, 2_000)
        return self._random.choice(few)

    def _load(self) -> dict[str, Any]:
        kinds = (
            "good",
            "again",
            "other key",
            "forged",
            "unknown",
            "dollars",
            "tier",
            "cut",
            "early",
        )
        return {
            "kind": self._random.choices(kinds, (50, 20, 6, 6, 6, 4, 4, 4, 4))[0],
            "value": self._random.choice((1, 100, 2_000, 2_900, 3_100)),
            "purpose": self._random.choice((0, 0, 0, 0, MEDICAL, MEDICAL, FOOD, NOBODYS)),
            "max_payment": self._random.choice((0xFFFFFFFF,) * 4 + (3, 50)),
            "max_transfers": self._random.choice((1_000,) * 4 + (1, 3)),
            "days": self._random.choice((1, 5, 20, 60, 200)),
        }

    def _pay(self) -> dict[str, Any]:
        if self._chance() < (0.9 if "wide" in self._temper else 0.4):
            tiyn = self._random.choice((1, 1, 2, 5, 20))
            return self._plain_pay(tiyn, self._random.choice(("shop", "clinic"))).args
        spec = self._random.choices(
            ("tiyn", "balance", "payment", "pinless payment", "pinless", "total", "note", "all"),
            (50, 6, 6, 6, 6, 6, 10, 4),
        )[0]
        small = (
            (1, 1, 2, 3, 5) if "small" in self._temper else (1, 2, 5, 10, 40, 100, 150, 0xFFFFFFFF)
        )
        amount = (
            self._random.choice(small) if spec == "tiyn" else self._random.choice((0, 0, 0, 1, -1))
        )
        args: dict[str, Any] = {"amount": (spec, amount)}
        args["payee"] = self._random.choices(
            list(town.PAYEES), (36, 22, 22, 4, 2, 3, 3, 1, 1, 1, 1, 1, 1)
        )[0]
        args["purpose"] = self._random.choices((BEST_MATCH, 0, MEDICAL, FOOD), (70, 12, 8, 8))[0]
        args["time"] = self._time()
        args["currency"] = town.DOLLAR if self._chance() < 0.01 else town.TENGE
        ids = ("new", "new, like an old one", "again", "again, other amount", "again, other payee")
        args["id"] = self._random.choices(ids, (74, 8, 10, 3, 3))[0]
        args["back"] = self._back()
        return args

    def _plain_pay(self, tiyn: int, payee: str = "shop") -> Step:
        args = {"amount": ("tiyn", tiyn), "payee": payee, "purpose": BEST_MATCH}
        args.update(time=("clock", 0), currency=town.TENGE, id="new", back=0)
        return Step("pay", args)

    def _back(self) -> int:
        """How many payments ago: mostly a few, seldom more than a purse remembers."""
        if self._chance() < 0.1:
            return self._random.randrange(1_000)
        return int(self._random.expovariate(1 / 6))

    def _time(self) -> tuple[str, int]:
        kind = self._random.choices(("clock", "fixed", "begins", "ends"), (86, 3, 5, 5))[0]
        if kind == "fixed":
            return kind, self._random.choice((0, Y2000, town.NOW + 3_000 * DAY + 1, 0xFFFFFFFF))
        if kind == "clock":
            return kind, self._random.choice((0, 0, 0, 60, -60, DAY, -DAY, 3 * DAY, 31 * DAY))
        return kind, self._random.choice((0, 1, -1))

    def _recover(self) -> dict[str, Any]:
        return {
            "id": "again" if self._chance() < 0.9 else "new, like an old one",
            "back": self._back(),
        }

    def _balance(self) -> dict[str, Any]:
        return {}

    def _export(self) -> dict[str, Any]:
        return {
            "p1": self._random.choice((0, 0, 1, 1, 1, 2)),
            "p2": self._random.choice((0, 0, 1, 2, 5, 63, 64, 255)),
        }

    def _sync(self) -> dict[str, Any]:
        return {"share": self._random.choice((0, 1, 2, 3, 4, 4, 4)), "lag": self._lag()}

    def _acknowledge(self) -> dict[str, Any]:
        kinds = (
            "newest",
            "again",
            "old",
            "later",
            "hash",
            "forged",
            "foreign",
            "purse",
            "gap",
            "ahead",
            "cut",
        )
        return {"kind": self._random.choice(kinds), "lag": self._lag()}

    def _lag(self) -> int:
        return self._random.choice((0, 0, 0, -DAY, -40 * DAY))

    def _wait(self) -> dict[str, Any]:
        return {"seconds": self._random.choice((60, 3_600, DAY // 2, DAY, 2 * DAY))}

    def _jump(self) -> dict[str, Any]:
        return {"by": self._random.choice((1, 1, 2, 15, 16, 17))}

    def _response(self) -> dict[str, Any]:
        return {"le": self._random.choice((None, 1, 100, 256))}

    def _long(self) -> dict[str, Any]:
        return {"size": self._random.choice((300, 1_023, 1_024, 1_025, 1_200))}

    def _garbage(self) -> dict[str, Any]:
        """Bytes that are nearly a command, or nothing like one."""
        ins = bytes.fromhex("A4 20 24 2C C0 30 32 34 3A 3C 3E 40 42 46 50 82 E2 00 FF")
        cla = self._random.choice(
            (0x00, 0x80, 0x80, 0x80, 0x10, 0x90, 0x84, 0x94, 0x81, 0x03, 0x87, 0xFF, 0x40)
        )
        p1 = self._random.choice((0, 0, 0, 1, 2, 4, 0x7F))
        head = bytes((cla, self._random.choice(ins), p1, self._random.choice((0, 0, 0x81, 1))))
        size = self._random.choice((0, 1, 7, 8, 16, 17, 100, 136, 168, 180, 200, 228, 255))
        data = self._random.randbytes(size)
        whole = head + bytes((size,)) * bool(size) + data
        cut = self._random.choice((len(whole),) * 8 + (0, 1, 3, 4, 5, len(whole) - 1))
        return {"apdu": (whole[:cut] + b"\0" * self._random.choice((0, 0, 0, 1, 2))).hex()}


def _wide() -> Limits:
    """So many payments that the journal fills."""
    return Limits(100_000, 5_000, 100, 100_000, 100_000, 30 * DAY, 100)


def _signer(purpose: int) -> str:
    return {MEDICAL: "medical", FOOD: "food"}.get(purpose, "issuer")
