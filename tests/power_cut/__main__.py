# SPDX-License-Identifier: Apache-2.0
"""Cuts the power of a card, as often as wanted, on every processor:

    python -m tests.power_cut CUTS [--seed N] [--processes N] [--operations A,B] [--json FILE]
    python -m tests.power_cut --replay "OPERATION CASE"

Ends with 0 if no rule was broken. Ctrl-C ends it early, with the numbers so far.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

from tests.power_cut.fixture import write_fixture
from tests.power_cut.harness import UNCUT, VIOLATED, Harness, Result
from tests.power_cut.table import table

# How often each operation is tried, as a share of all; 2 for those that are not named.
SHARES = {
    "first_boot": 2,
    "personalise": 2,
    "pay_one": 14,
    "pay_four": 10,
    "pay_journal_end": 5,
    "pay_counter_end": 5,
    "pay_wrapping": 1,
    "load": 4,
    "recover": 5,
    "acknowledge": 8,
    "verify": 4,
    "change_pin": 4,
    "export": 3,
    "reuse_slot": 1,
}
_SHARE = 2
_SEED_BITS = 29
_PROGRESS_S = 5.0
_AHEAD = 2  # sweeps that wait for each process

_harnesses: dict[str, Harness] = {}  # in a worker: the one that it plays with


def _begin() -> None:
    """In a worker: Ctrl-C is for the one who counts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # nothing goes round in circles here but what lives as long as the process


def _sweep(fixture: str, name: str, sweep: int, seed: int) -> dict[str, Any]:
    """In a worker: one sweep."""
    if fixture not in _harnesses:
        _harnesses[fixture] = Harness(fixture)
    result = Result()
    _harnesses[fixture].sweep(name, sweep, seed, result)
    return result.row


class Campaign:
    """Many sweeps over all operations, until there were enough cuts."""

    def __init__(self, fixture: Path, names: list[str], cuts: int, seed: int) -> None:
        self.result = Result()
        self._fixture = str(fixture)
        self._wanted = cuts
        self._seed = seed
        self._done = dict.fromkeys(names, 0)  # cuts, by operation
        self._sweeps = dict.fromkeys(names, 0)
        self._pending: dict[Future[dict[str, Any]], str] = {}
        self._sizes: dict[str, int] = {}  # of a sweep, as far as is known

    def run(self, processes: int, out: TextIO) -> None:
        """Plays them; tells how it goes on. KeyboardInterrupt ends it."""
        start = told = time.monotonic()
        with ProcessPoolExecutor(processes, initializer=_begin) as pool:
            try:
                while self._submit(pool, processes * _AHEAD):
                    finished, _ = wait(self._pending, _PROGRESS_S, FIRST_COMPLETED)
                    for future in finished:
                        self._take(self._pending.pop(future), future.result())
                    if time.monotonic() - told >= _PROGRESS_S:
                        told = time.monotonic()
                        print(self._progress(told - start), file=out, flush=True)
            finally:
                pool.shutdown(cancel_futures=True)
        self.seconds = time.monotonic() - start

    def _submit(self, pool: ProcessPoolExecutor, ahead: int) -> bool:
        """Keeps the workers busy; says whether anything is under way."""
        while len(self._pending) < ahead:
            coming = sum(self._sizes.get(name, 0) for name in self._pending.values())
            name = min(self._done, key=self._progress_of)
            if self.result.cuts + coming >= self._wanted and all(self._sweeps.values()):
                break
            if self._done[name] >= sys.maxsize:
                break  # so do all the others
            arguments = (self._fixture, name, self._sweeps[name], self._seed)
            self._sweeps[name] += 1
            self._pending[pool.submit(_sweep, *arguments)] = name
        return bool(self._pending)

    def _progress_of(self, name: str) -> float:
        waiting = sum(1 for pending in self._pending.values() if pending == name)
        if not self._sweeps[name]:
            return -1.0
        done = self._done[name] + waiting * self._sizes.get(name, 1_000)
        return done / SHARES.get(name, _SHARE)

    def _take(self, name: str, row: dict[str, Any]) -> None:
        self._done[name] += row["cuts"]
        if any(key.split("/")[1] == UNCUT for key in row["counts"]):
            self._done[name] = sys.maxsize  # it does not even work without a cut
        self._sizes[name] = row["cuts"]
        self.result.add(row)

    def _progress(self, seconds: float) -> str:
        rate = self.result.cuts / seconds
        left = max(0, self._wanted - self.result.cuts) / max(rate, 1)
        outcomes: Counter[str] = Counter()
        for key, count in self.result.counts.items():
            outcomes[key.split("/")[2]] += count
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
        return f"{self.result.cuts:,} cuts, {rate:.0f}/s, {left:.0f} s to go: {said}"


def main(arguments: list[str], out: TextIO = sys.stdout) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m tests.power_cut")
    parser.add_argument("cuts", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--operations", default="")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--replay", default="")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fixture = Path(folder) / "fixture.json"
        write_fixture(fixture, Path(folder))
        if options.replay:
            return _replay(fixture, options.replay, out)
        seed = secrets.randbits(_SEED_BITS) if options.seed is None else options.seed
        known = [row["name"] for row in json.loads(fixture.read_text())["operations"]]
        names = [name for name in options.operations.split(",") if name] or known
        print(f"{options.cuts:,} cuts, --seed {seed}", file=out, flush=True)
        campaign = Campaign(fixture, names, options.cuts, seed)
        ended_early = False
        start = time.monotonic()
        try:
            campaign.run(options.processes, out)
        except KeyboardInterrupt:
            ended_early = True
        return _report(campaign.result, time.monotonic() - start, ended_early, options.json, out)


def _replay(fixture: Path, case: str, out: TextIO) -> int:
    result = Result()
    Harness(str(fixture)).replay(case, result)
    print(json.dumps(result.row, indent=1), file=out)
    return 1 if VIOLATED in result.named else 0


def _report(
    result: Result, seconds: float, ended_early: bool, path: Path | None, out: TextIO
) -> int:
    for line in table(result.counts):
        print(line, file=out)
    for outcome, lines in sorted(result.named.items()):
        for line in lines:
            print(f"{outcome}: --replay {line!r}", file=out)
    if path is not None:
        path.write_text(json.dumps({**result.row, "seconds": round(seconds, 1)}))
    print(
        f"{result.cuts:,} cuts in {seconds:.0f} s, {result.cuts / max(seconds, 1e-9):.0f} a second"
        f"{', ended early' if ended_early else ''}",
        file=out,
        flush=True,
    )
    return 1 if VIOLATED in result.named else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before there was anything to count
        sys.exit(2)
