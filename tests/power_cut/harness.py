# SPDX-License-Identifier: Apache-2.0
"""The worlds of a fixture on one board, and the cuts in its operations, in sweeps.

A sweep is every place of one operation in every mode, once, on flash of one age. A case is a
sweep's number, mode, place and seed: what a failure names, and what plays it again. Runs on
MicroPython and on CPython.
"""

import json

from tests.power_cut.board import DAMAGED, NOTICED, Board, Crypto, Violation
from tests.power_cut.nor_flash import COPIES, FILES, SECTOR_SIZE, Write
from tests.power_cut.trials import BACK, CLEAN, FLIP, OTHER, ROT, TORN, TWICE, WEAK, Trial

AGES = 64
_TWICE_OPERATIONS = ("pay_one", "pay_four", "acknowledge")
_NO_AGE = ("blank", "intent_left", "intent_taken", "unsigned")  # their next boot is tried
_TIMES = ((CLEAN, 1), (TORN, 4), (WEAK, 4), (FLIP, 12), (ROT, 4))  # in a sweep, at each place
_LONG = 60  # places: an operation with more of them is tried less often at each
_SELDOM = ((CLEAN, 1), (TORN, 1), (WEAK, 1), (FLIP, 3), (ROT, 1))
_SECOND = (CLEAN, TORN, WEAK, FLIP)
_OLD = "migrate_"  # how the operations begin that boot a card of an earlier storage
_SEEDS = 1 << 29
_SHOWN = 3  # cases of one kind that a sweep names
_NAMED = 30  # and that all sweeps name together

VIOLATED = "violated"
UNCUT = "uncut"  # the mode of an operation that is not cut, and goes wrong all the same
_RAISED = (OSError, ValueError, ArithmeticError, LookupError, TypeError, AssertionError)
_BROKEN = (Violation,) + _RAISED  # noqa: RUF005 (MicroPython cannot unpack there)


class Harness:
    """`operations` by name, in the order of the fixture."""

    def __init__(self, path: str) -> None:
        with open(path) as file:
            self._fixture = _decoded(json.load(file))
        self.operations = {row["name"]: row for row in self._fixture["operations"]}
        self._worlds = {row["name"]: row for row in self._fixture["worlds"]}
        self.board = Board(Crypto(self._fixture["keys"], self._fixture["identities"]))
        self.board.format()
        self._images: dict[object, bytes] = {"blank": bytes(self.board.flash.memory)}
        self._trials: dict[object, Trial] = {}

    def world(self, name: str) -> bytes:
        """The flash of a world, made from the world that it begins with."""
        if name not in self._images:
            self._images[name] = self._made(self._worlds[name])
        return self._images[name]

    def _made(self, world: dict) -> bytes:
        board = self.board
        if "cut" in world:
            return self._torn(world["name"], self.operations[world["cut"]])
        if world["from"]:
            board.crypto.begin(0)
            board.flash.fill(self.world(world["from"]))
            board.crypto.drawn = self._worlds[world["from"]]["drawn"]
            board.boot()
        elif "vfs" in world:
            return self._older(world["vfs"])
        else:
            self._trial(self.operations["personalise"], self.world("blank")).personalised()
        board.play(world["steps"])
        for name, sectors in world.get("fill", ()):
            board.fill(name, sectors)
        return bytes(board.flash.memory)

    def _torn(self, name: str, operation: dict) -> bytes:
        """What a cut within a payment leaves: before or behind its counter, or not yet signed."""
        trial = self._trial(operation, self.world(operation["world"]))
        if name == "unsigned":
            return trial.flash_at([isinstance(entry, bytes) for entry in trial.log].index(True))
        writes = [entry.where if isinstance(entry, Write) else "" for entry in trial.log]
        taken = writes.index("counter")
        assert writes[:taken] == ["journal"], "the intent, then its counter"
        return trial.flash_at(taken + (name == "intent_taken"))

    def _older(self, sectors: "dict[str, bytes]") -> bytes:
        """The flash of a card that an earlier firmware left, with a place for the copies."""
        image = bytearray(b"\xff" * len(self.board.flash.memory))
        start, end = self.board.flash.range_of(COPIES)
        image[start:end] = self._images["blank"][start:end]  # `provisioning.image`
        for at, content in sectors.items():
            image[int(at) * SECTOR_SIZE : (int(at) + 1) * SECTOR_SIZE] = content
        return bytes(image)

    def _trial(self, operation: dict, image: bytes) -> Trial:
        return Trial(self.board, operation, self._fixture["personalisation"], image)

    def trial(self, name: str, sweep: int) -> Trial:
        """The operation on flash of the age that belongs to a sweep."""
        age = sweep % AGES
        if (name, age) not in self._trials:
            operation = self.operations[name]
            self._trials.clear()  # one at a time: each keeps images of the flash
            image = self._aged(operation["world"], age)
            self._trials[name, age] = self._trial(operation, image)
        return self._trials[name, age]

    def _aged(self, world: str, age: int) -> bytes:
        """The same card with more history in its flash, unless its world says how its logs end."""
        what = self._worlds.get(world, {})
        if not age or world in _NO_AGE or "fill" in what or "vfs" in what:
            return self.world(world)
        if (world, age) not in self._images:
            image = self._aged(world, age - 1)
            self.board.crypto.begin(0)
            self.board.flash.fill(image)
            self.board.crypto.drawn = self._worlds[world]["drawn"]
            self.board.age(age)
            self._images[world, age] = bytes(self.board.flash.memory)
        return self._images[world, age]

    def plan(self, name: str, sweep: int, seed: int) -> "list[tuple[str, int, int]]":
        """(mode, place, seed) of every cut in a sweep."""
        trial = self.trial(name, sweep)
        places = []
        for mode, times in _SELDOM if len(trial.cuts) > _LONG else _TIMES:
            places += [(mode, at) for at in trial.cuts for _ in range(times)]
            if mode in (CLEAN, ROT) and trial.cuts:
                places.append((mode, len(trial.log)))  # it was over, and answered
        if name in _TWICE_OPERATIONS:
            places += [(TWICE + mode, at) for mode in 2 * _SECOND for at in trial.cuts]
        if self.operations[name]["kind"] == "pay":
            places += [(mode, at) for mode in (BACK, OTHER) for at in trial.cuts]
        seed = (seed + 7919 * sweep) % _SEEDS
        cases = []
        for mode, at in places:
            seed = (seed * 69069 + 1) % _SEEDS
            cases.append((mode, at, seed))
        return cases

    def sweep(self, name: str, sweep: int, seed: int, result: "Result") -> None:
        """All of a sweep, counted in `result`."""
        try:
            self.trial(name, sweep)
        except _BROKEN as error:
            result.name(VIOLATED, f"{name} {sweep},{UNCUT},0,0: {type(error).__name__}: {error}")
            result.count(name, UNCUT, VIOLATED)
            return
        for mode, at, case_seed in self.plan(name, sweep, seed):
            self.case(name, sweep, mode, at, case_seed, result)

    def some(self, name: str, cuts: int, seed: int, result: "Result") -> None:
        """So many cuts of one operation, spread over its first sweeps."""
        done = sweep = 0
        while done < cuts:
            cases = self.plan(name, sweep, seed)
            step = max(1, len(cases) // (cuts - done))
            for mode, at, case_seed in cases[sweep % step :: step]:
                self.case(name, sweep, mode, at, case_seed, result)
                done += 1
            sweep += 1

    def replay(self, line: str, result: "Result") -> None:
        """A case again, as it was named."""
        name, case = line.split(" ", 1)
        sweep, mode, at, seed = case.split(":")[0].split(",")
        self.case(name, int(sweep), mode, int(at), int(seed), result)

    def case(self, name: str, sweep: int, mode: str, at: int, seed: int, result: "Result") -> None:
        """One case, counted; what the purse noticed, or a rule that is broken, is named."""
        trial = self.trial(name, sweep)
        kind = mode
        if mode in (TORN, WEAK) and trial.log[at].is_erase:
            kind += " erase"
        line = f"{name} {sweep},{mode},{at},{seed}"
        try:
            outcome = trial.cut(mode, at, seed)
            if outcome in NOTICED and mode not in (BACK, OTHER):
                # No single fault may be noticed: there is a second copy of everything.
                is_known = outcome == DAMAGED and self._is_uncopied(name, trial)
                kind_of = outcome if is_known else VIOLATED
                result.name(kind_of, f"{line}: {outcome}: {trial.reason}")
        except Violation as violation:
            outcome = violation.kind
            result.name(VIOLATED, f"{line}: {outcome}: {violation}")
        except _RAISED as error:
            outcome = "raised"
            result.name(VIOLATED, f"{line}: {type(error).__name__}: {error}")
        result.count(name, kind, outcome)
        flash = self.board.flash
        if flash.overwritten:
            result.count(name, kind, "programmed over what was not erased")
            flash.overwritten = 0

    def _is_uncopied(self, name: str, trial: Trial) -> bool:
        """Whether a bit was lost of what nothing had a copy of yet.

        An earlier storage had one copy. And before the first record is copied, a card that lost
        its files cannot say that it was new, and not one of those.
        """
        is_new = name == "personalise" and not self.board.has_copies
        return trial.flipped == FILES and (name.startswith(_OLD) or is_new)


class Result:
    """What became of cuts: `counts` by operation, mode and outcome; `named` cases by outcome."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.named: dict[str, list[str]] = {}
        self.cuts = 0

    def count(self, name: str, mode: str, outcome: str) -> None:
        """One more."""
        key = f"{name}/{mode}/{outcome}"
        self.counts[key] = self.counts.get(key, 0) + 1
        self.cuts += not outcome.startswith("programmed")

    def name(self, outcome: str, line: str) -> None:
        """A case to be looked at."""
        lines = self.named.setdefault(outcome, [])
        if len(lines) < _SHOWN:
            lines.append(line)

    def add(self, row: dict) -> None:
        """Another result, as its `row`."""
        for key, count in row["counts"].items():
            self.counts[key] = self.counts.get(key, 0) + count
        for outcome, lines in row["named"].items():
            known = self.named.setdefault(outcome, [])
            known.extend(lines[: max(0, _NAMED - len(known))])
        self.cuts += row["cuts"]

    @property
    def row(self) -> dict:
        """All of it, for JSON."""
        return {"counts": self.counts, "named": self.named, "cuts": self.cuts}


_KEPT = ("name", "from", "world", "kind", "cut", "left", "fill")


def _decoded(value: object) -> object:
    """Commands, answers, keys and items as bytes; names and numbers as they are."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key in _KEPT else _decoded(item) for key, item in value.items()}
    return bytes.fromhex(value) if isinstance(value, str) else value
