# SPDX-License-Identifier: Apache-2.0
"""Cuts the power of a card thousands of times. Runs on MicroPython (unix), from the root:

    micropython -X heapsize=64m tests/power_cut/run.py FIXTURE OPERATION CUTS SEED
    micropython -X heapsize=64m tests/power_cut/run.py FIXTURE OPERATION --replay CASE

Every write of the operation is cut in every mode; then again with the flash at another age,
until there were CUTS. Prints one JSON object a line, each behind "##": failures, and at the end
the numbers. A case is its age, mode, place, seed, as a failure names it.
"""

# ruff: noqa: I001
import json
import os
import sys
import time

sys.path.append(os.getcwd())

# From the ground up, as `firmware/apps/card.py` does: with 32 bits the stack is small.
from firmware.crypto import p256  # noqa: F401
from firmware.wire import layout  # noqa: F401
from firmware.wire import journal, policy, token  # noqa: F401
from firmware.purse import trust, verify, profile  # noqa: F401

from board import Board, Crypto, Violation
from trials import CLEAN, FLIP, ROT, TORN, Trial

from firmware.purse.ports import StorageDamaged

_TWICE = "twice "  # before a mode: the second of two cuts
_TWICE_OPERATIONS = ("pay_one", "pay_four", "acknowledge")
_TORN_TIMES = 3  # torn at as many random bytes for each write
_FAILURES_SHOWN = 10
_SEEDS = 1 << 29


class Harness:
    """The worlds of a fixture on one board, and the cuts in one operation."""

    def __init__(self, fixture: dict, name: str) -> None:
        self._fixture = fixture
        self._operations = {row["name"]: row for row in fixture["operations"]}
        self._worlds = {row["name"]: row for row in fixture["worlds"]}
        self.operation = self._operations[name]
        self.board = Board(Crypto(fixture["keys"]))
        self.board.format()
        self._blank = bytes(self.board.memory)
        self._image = self._world(self.operation["world"])
        self._age = 0
        self.counts: dict[str, int] = {}
        self.failures = 0

    def _world(self, name: str) -> bytes:
        """The flash of a world, made from the world that it begins with."""
        if name == "blank":
            return self._blank
        world = self._worlds.get(name, {})
        if "cut" in world:
            return self._torn_world(name, self._operations[world["cut"]])
        board = self.board
        if world["from"]:
            board.memory[:] = self._world(world["from"])
            board.crypto.drawn = self._worlds[world["from"]]["drawn"]
            board.boot()
        else:
            self._trial(self._operations["personalise"], self._blank).personalised()
        board.play(world["steps"])
        return bytes(board.memory)

    def _torn_world(self, name: str, operation: dict) -> bytes:
        """What a cut within a payment leaves: before or behind its counter, or not yet signed."""
        trial = self._trial(operation, self._world(operation["world"]))
        if name == "unsigned":
            return trial.flash_at(trial.log.index(None))
        taken = next(at for at in trial.cuts if trial.state_at(at) == trial.after)
        return trial.flash_at(taken if name == "intent_taken" else taken - 1)

    def _trial(self, operation: dict, image: bytes) -> Trial:
        self.board.memory[:] = image
        return Trial(self.board, operation, self._fixture["personalisation"], image)

    def trial_at(self, age: int) -> Trial:
        """The operation on flash of an age; ages only go up."""
        while self._age < age:
            self._age += 1
            self._image = self._aged(self._image)
        return self._trial(self.operation, self._image)

    def _aged(self, image: bytes) -> bytes:
        """The same card with more history in its flash."""
        if self.operation["world"] in ("blank", "intent_left", "intent_taken"):
            return image  # a blank card is not old, and of the others the next boot is tried
        self.board.memory[:] = image
        self.board.age()
        return bytes(self.board.memory)

    def plan(self, trial: Trial, seed: int) -> "list[tuple[str, int, int]]":
        """(mode, place, seed) of every cut at one age."""
        modes = [CLEAN] + [TORN] * _TORN_TIMES + [FLIP, ROT]
        if self.operation["name"] in _TWICE_OPERATIONS:
            modes += [_TWICE + CLEAN, _TWICE + TORN]
        cases = []
        for mode in modes:
            for at in trial.cuts:
                seed = (seed * 69069 + 1) % _SEEDS
                cases.append((mode, at, seed))
                if mode == ROT:
                    cases.append((mode, len(trial.log), seed))  # it was over, and answered
        return cases

    def cut(self, trial: Trial, age: int, case: "tuple[str, int, int]") -> None:
        """One case, counted; a rule that it breaks is printed."""
        mode, at, seed = case
        kind = mode if mode != TORN else mode + (" erase" if trial.log[at].is_erase else "")
        try:
            if mode.startswith(_TWICE):
                outcome = trial.cut_twice(mode[len(_TWICE) :], at, seed)
            else:
                outcome = trial.cut(mode, at, seed)
        except (Violation, StorageDamaged, OSError, ValueError) as error:
            outcome = "violated"
            self.failures += 1
            if self.failures <= _FAILURES_SHOWN:
                name = f"{age},{mode},{at},{seed}"
                _say({"failure": name, "text": f"{type(error).__name__}: {error}"})
        self._count(kind + ": " + outcome)
        if self.board.overwritten():
            self._count(kind + ": programmed over bytes that were not erased")

    def _count(self, key: str) -> None:
        self.counts[key] = self.counts.get(key, 0) + 1


def _decoded(value: object) -> object:
    """Commands, answers, keys and items as bytes; names and numbers as they are."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        keep = ("name", "from", "world", "kind", "cut")
        return {key: item if key in keep else _decoded(item) for key, item in value.items()}
    return bytes.fromhex(value) if isinstance(value, str) else value


def _say(row: "dict[str, object]") -> None:
    print("##" + json.dumps(row))


def main(arguments: "list[str]") -> None:
    """Plays one operation's cuts, or one case again."""
    path, name = arguments[:2]
    with open(path) as file:
        harness = Harness(_decoded(json.load(file)), name)
    if arguments[2] == "--replay":
        age, mode, at, seed = arguments[3].split(",")
        trial = harness.trial_at(int(age))
        harness.cut(trial, int(age), (mode, int(at), int(seed)))
        _say({"counts": harness.counts, "reason": trial.reason})
        return
    wanted, seed = int(arguments[2]), int(arguments[3])
    start = time.ticks_ms()
    tried = age = 0
    places = []
    while tried < wanted or not tried:
        trial = harness.trial_at(age)
        places.append(len(trial.cuts))
        for case in harness.plan(trial, seed + age):
            harness.cut(trial, age, case)
            tried += 1
        age += 1
    _say(
        {
            "operation": name,
            "cuts": tried,
            "ages": age,
            "places": places,
            "erases": sum([write.is_erase for write in trial.log if write is not None]),
            "counts": harness.counts,
            "failures": harness.failures,
            "ms": time.ticks_diff(time.ticks_ms(), start),
        }
    )


if __name__ == "__main__":
    main(sys.argv[1:])
