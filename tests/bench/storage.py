# SPDX-License-Identifier: Apache-2.0
"""What a payment costs the flash: erases above all, against other ways to store the same.

    python -m tests.bench.storage [--write]

A real MicroPython (64 bits) runs the card application on flash in RAM that counts. The figures
are counts, so the same each time; --write puts them into docs/storage.md. The peer
"version 1" is the firmware of an earlier commit, which must be in this checkout's history.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from boards.VIRTUAL.runtime import runtime_path
from firmware.wire.limits import MAX_PIECES
from tests.bench.storage_flash import ERASES, PROGRAMMED, PROGRAMS, READ, READS
from tests.bench.storage_world import WRITTEN, write_world

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "storage.md"
BEGIN = "<!-- figures of python -m tests.bench.storage --write -->"
END = "<!-- end of the figures -->"
VERSION_1 = "c6b81af"  # the last commit whose firmware kept everything in files
GOAL = 0.05  # erases a payment
FILES = ("vfs", "copies")  # the partitions with a littlefs
_HEAP = "64m"
_MARK = "##"
_TIMEOUT_S = 600
_CYCLES = 100_000  # erases that NOR flash is sold for, a sector
_FLIPS_AT = 200  # overwrites
_COLD = 500
_PEER_PAYMENTS = 3_000


@dataclass(frozen=True)
class Run:
    """One card's life. amount: 1 is paid from one note, 4 from four of a tiyn each."""

    name: str
    payments: int = 3_000
    warm_up: int = 600  # payments before, which are not counted: once round the journal
    ack: int = 20  # payments between syncs
    pin: bool = False
    amount: int = 1
    chip: bool = False


RUNS = (
    Run("one note, a sync after every 20"),
    Run("one note, a sync after every 60", ack=60),
    Run("with a PIN each, a sync after every 20", pin=True),
    Run("with a PIN each, a sync after every 60", pin=True, ack=60),
    Run("from four notes, a sync after every 20", amount=MAX_PIECES, payments=1_000),
    Run("with a chip: one note, every 20", chip=True),
    Run("with a chip: with a PIN each, every 20", chip=True, pin=True),
    Run("with a chip: from four notes, every 20", chip=True, amount=MAX_PIECES, payments=1_000),
)
OLD_RUNS = (
    Run("version 1: every record a file", payments=500, warm_up=100),
    Run("version 1, with a PIN each", payments=500, warm_up=100, pin=True),
)


class Bench:
    """Interpreter, world and firmware of one measurement. folder: its own, and empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._interpreter = runtime_path(64)
        self._world = folder / "world.json"
        write_world(self._world)

    def card(self, run: Run, firmware: Path = ROOT) -> dict[str, Any]:
        """What one run of a card did to its flash (`storage_card`)."""
        arguments = [str(self._world), str(firmware), json.dumps(asdict(run))]
        return self._play("storage_card.py", arguments)

    def peer(self, way: str, count: int) -> dict[str, Any]:
        """What another way to store does to it (`storage_peers`)."""
        return self._play("storage_peers.py", [way, str(count)])

    def _play(self, program: str, arguments: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            [self._interpreter, "-X", f"heapsize={_HEAP}", f"tests/bench/{program}", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
        if done.returncode or len(lines) != 1:
            raise RuntimeError(done.stdout + done.stderr)
        found: dict[str, Any] = json.loads(lines[0][len(_MARK) :])
        return found

    def old_firmware(self) -> Path:
        """The firmware of version 1, out of the history. Raises CalledProcessError."""
        command = ["git", "archive", VERSION_1, "firmware", "boards"]
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        folder = self._folder / "version-1"
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="data")
        return folder


def erases(found: dict[str, Any], *names: str) -> int:
    """Erases of these partitions, or of all."""
    return sum(found["parts"][name][ERASES] for name in names or WRITTEN)


def payment_rows(results: list[tuple[Run, dict[str, Any]]]) -> Iterator[list[str]]:
    """One a run: everything divided by its payments, but the last columns."""
    yield [
        "run",
        "erases",
        *(f"in {name}" for name in ("journal", "counter", "state", "files")),
        "programs",
        "bytes programmed",
        "reads",
        "bytes read",
        "erases while somebody waits",
        "at most in one rest",
    ]
    for run, found in results:
        each = [f"{erases(found, name) / run.payments:.4f}" for name in ("journal", "counter")]
        each.append(f"{erases(found, 'state') / run.payments:.4f}")
        each.append(f"{erases(found, *FILES) / run.payments:.4f}")
        sums = [
            sum(found["parts"][name][index] for name in WRITTEN) / run.payments
            for index in (PROGRAMS, PROGRAMMED, READS, READ)
        ]
        yield [
            run.name,
            f"{erases(found) / run.payments:.4f}",
            *each,
            f"{sums[0]:.1f}",
            *(f"{value:,.0f}" for value in sums[1:]),
            str(found["spent"]["tap"] + found["spent"]["sync"]),
            str(found["most_at_rest"]),
        ]


def peer_rows(
    new: tuple[Run, dict[str, Any]],
    old: list[tuple[Run, dict[str, Any]]],
    peers: list[tuple[str, dict[str, Any]]],
) -> Iterator[list[str]]:
    """Ways to store the same payments."""
    yield ["way", "erases a payment", "taps with an erase in them", "bytes programmed a payment"]
    for run, found in (new, *old):
        programmed = sum(found["parts"][name][PROGRAMMED] for name in WRITTEN)
        name = run.name if run is not new[0] else "version 2: " + run.name
        yield _peer_row(name, run.payments, erases(found), found["taps_with_erase"], programmed)
    for name, found in peers:
        total = found["in_taps"] + found["at_rest"]
        taps, programmed = found["taps_with_erase"], found["programmed"]
        yield _peer_row(name, found["payments"], total, taps, programmed)


def _peer_row(name: str, payments: int, total: float, taps: int, programmed: float) -> list[str]:
    share = f"{100 * taps / payments:.1f} %" if taps else "none"
    return [name, f"{total / payments:.3f}", share, f"{programmed / payments:,.0f}"]


def flip_rows(flips: dict[str, dict[str, int]]) -> Iterator[list[str]]:
    """What was read back, out of a hundred."""
    yield [
        "stored as",
        "bits turned over",
        "the newest",
        "an older one, and nothing says so",
        "missed at worst",
    ]
    names = {
        "inline": ("a file overwritten in place", "one, in its folder's blocks"),
        "log": ("a STATE in the log", "one, anywhere in the log"),
        "newest": ("a STATE in the log", "two, in the newest record"),
        "older": ("a STATE in the log", "two, in an older record"),
    }
    for name, (stored, bits) in names.items():
        counts = flips[name]
        total = sum(counts.get(key, 0) for key in ("newest", "older", "refused", "wrong"))
        shares = [f"{100 * counts.get(key, 0) / total:.0f} %" for key in ("newest", "older")]
        missed = counts.get("behind", 0)
        yield [stored, bits, *shares, f"{missed} changes" if missed else "–"]


def life_rows(run: Run, found: dict[str, Any]) -> Iterator[list[str]]:
    """How long a partition lasts. A ring wears its sectors alike."""
    yield ["partition", "sectors", "payments an erase", f"payments to {_CYCLES:,} erases a sector"]
    for name in ("journal", "counter", "state"):
        sectors = read_partitions()[name].size // BLOCK_SIZE
        each = run.payments / erases(found, name)
        yield [name, str(sectors), f"{each:.0f}", f"{_CYCLES * sectors * each / 1e6:,.0f} million"]


def text_table(rows: Iterator[list[str]]) -> Iterator[str]:
    """As Markdown."""
    head, *rest = list(rows)
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rest:
        yield "| " + " | ".join(row) + " |"


def measure() -> str:
    """All of it, as what stands in the page between the marks."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        bench = Bench(Path(name))
        old_firmware = bench.old_firmware()
        ways = ("inline", "append")
        flips = pool.submit(bench.peer, "flips", _FLIPS_AT)
        peers = list(pool.map(bench.peer, ways, (_PEER_PAYMENTS, _PEER_PAYMENTS // 5)))
        cold = bench.peer("cold", _COLD)
        new = list(zip(RUNS, pool.map(bench.card, RUNS), strict=True))
        old = list(
            zip(
                OLD_RUNS,
                pool.map(partial(bench.card, firmware=old_firmware), OLD_RUNS),
                strict=True,
            )
        )
        titles = (
            "hot state and counter as files overwritten in place, journal as a ring",
            "everything appended to one file",
        )
        named = list(zip(titles, peers, strict=True))
        return "\n".join(_parts(new, old, named, flips.result(), cold))


def _parts(
    new: list[tuple[Run, dict[str, Any]]],
    old: list[tuple[Run, dict[str, Any]]],
    peers: list[tuple[str, dict[str, Any]]],
    flips: dict[str, Any],
    cold: dict[str, Any],
) -> Iterator[str]:
    tables = (
        ("For each payment:", payment_rows(new)),
        ("Against other ways:", peer_rows(new[0], old, peers)),
        ("What is read back when bits turned over:", flip_rows(flips)),
        ("How long it lasts (a sync after every 20, with a PIN each):", life_rows(*new[2])),
    )
    for title, rows in tables:
        yield ""
        yield title
        yield ""
        yield from text_table(rows)
    share = cold["erases"] / cold["writes"]
    yield ""
    yield f"Writing a record that seldom changes, both of its copies, costs {share:.2f} erases."
    missed = [run.name for run, found in new if erases(found) / run.payments > GOAL]
    yield ""
    yield f"The goal is at most {GOAL} erases a payment. " + (
        "These runs miss it: " + "; ".join(missed) + "." if missed else "Every run keeps it."
    )
    yield ""


def main(arguments: list[str], out: TextIO = sys.stdout) -> int:
    """Measures and prints; with --write into the page as well."""
    text = measure()
    print(text, file=out)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
