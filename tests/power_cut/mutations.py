# SPDX-License-Identifier: Apache-2.0
"""Does the harness notice? A copy of the firmware is broken in one place, and its power is cut.

    python -m tests.power_cut.mutations [--cuts N] [--seed N] [--json FILE] [NAME ...]

Prints for each mutation how many cuts found it. Ends with 1 if one was not found at all, or if
the firmware has no such place any more.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("firmware", "boards", "host_bridge", "provisioning", "pos_terminal", "tests")
_GOOD = ("before", "after", "same")
_BACK = "back"  # how the modes begin in which a purse that is locked has done right
_CUTS = 3_000
# Without those whose every sweep takes thousands of cuts.
_OPERATIONS = (
    "pay_one,pay_four,load,generate_key,set_policy,acknowledge,verify,verify_wrong,change_pin,"
    "recover,boot_intent_taken,pay_journal_end,pay_wrapping,verify_state_end,reuse_slot"
)
_SEED = 1


@dataclass(frozen=True)
class Mutation:
    """`old` in a file of the firmware becomes `new`."""

    name: str
    path: str
    old: str
    new: str
    shows: bool = True  # whether these cuts can; else it guards against two faults, or a person


MUTATIONS = (
    Mutation("none", "firmware/__init__.py", "", ""),
    Mutation(
        "intent written behind the counter",
        "firmware/purse/payment.py",
        "    purse.journal.write_intent(entry, slots)\n    taken = purse.element.advance()\n",
        "    taken = purse.element.advance()\n    purse.journal.write_intent(entry, slots)\n",
    ),
    Mutation(
        "no commit written",
        "firmware/purse/journal.py",
        "        self._log.append(stored.COMMIT, bytes((jump,)))\n",
        "",
    ),
    Mutation(
        "commit written before the counter",
        "firmware/purse/payment.py",
        "    taken = purse.element.advance()\n",
        "    purse.journal.commit(entry.counter)\n    taken = purse.element.advance()\n"
        "    return answer(purse, entry)\n",
    ),
    Mutation(
        "no lock when no entry explains the counter",
        "firmware/purse/purse.py",
        "        if counter != journal.explained and not self.is_blank:\n",
        "        if False:\n",
    ),
    Mutation(
        "an intent is void, whatever the counter says",
        "firmware/purse/purse.py",
        "            journal.commit(counter)\n",
        "            journal.void_intent(counter)\n",
    ),
    Mutation(
        "no CRC of the logs is checked",
        "firmware/storage/frame.py",
        "    if end and _crc(raw[at : end - _CRC], salt) == raw[end - _CRC : end]:\n",
        "    if end and raw[at] >> 4 < 9:\n",  # kinds that there are: else it never ends
    ),
    Mutation(
        "no CRC of the files is checked",
        "firmware/storage/seal.py",
        '    if binascii.crc32(body).to_bytes(_CRC_SIZE, "big") != raw[-_CRC_SIZE:]:\n',
        "    if False:\n",
        shows=False,  # littlefs has a CRC of its own over whatever lies in a folder
    ),
    Mutation(
        "one copy of each file",
        "firmware/storage/record_store.py",
        "_Folder(copies, folder + _COPY))",
        "_Folder(files, folder))",
    ),
    Mutation(
        "both copies in one file system",
        "firmware/storage/record_store.py",
        "_Folder(copies, folder + _COPY))",
        "_Folder(files, folder + _COPY))",
    ),
    Mutation(
        "an intent is forgotten whose counter was not taken",
        "firmware/purse/purse.py",
        "            counter = self.element.advance()\n",
        "            journal.void_intent(counter)\n            intent = None\n",
    ),
    Mutation(
        "no copy is mended",
        "firmware/storage/record_store.py",
        "        if not self._unequal:\n",
        "        if True:\n",
        shows=False,
    ),
    Mutation(
        "no bit of a record is mended",
        "firmware/storage/frame.py",
        "    end = _end(raw, at)\n    if end:\n        frame = _flipped(",
        "    return None\n    end = _end(raw, at)\n    if end:\n        frame = _flipped(",
    ),
    Mutation(
        "a sector is erased with its header in it",
        "firmware/storage/log.py",
        "            self._device.writeblocks(block, bytes(_HEADER_SIZE), 0)\n"
        "            self._salts.pop",
        "            self._salts.pop",
        shows=False,
    ),
    Mutation(
        "no gap in a sequence is noticed",
        "firmware/storage/log.py",
        '                    see(place, LOST, b"")\n',
        "",
        shows=False,
    ),
    Mutation(
        "the log goes on within what a cut left",
        "firmware/storage/log.py",
        "            self._ends[number] = reader.behind(at)\n",
        "            self._ends[number] = at\n",
        shows=False,  # a read back finds it while the card lives; tests of the log do
    ),
    Mutation(
        "a sector is given up whatever is in it",
        "firmware/storage/log.py",
        "            if self._first >= min(self._keep, self._current):\n",
        "            if False:\n",
        shows=False,
    ),
    Mutation(
        "the note is in the state before it is in a file",
        "firmware/purse/purse.py",
        "        self._store.replace(_note_name(slot), note.raw)\n",
        "        self.state.change(notes=self.state.notes_with(slot, _stands(held)))\n"
        "        self._store.replace(_note_name(slot), note.raw)\n",
    ),
    Mutation(
        "a try is taken after the comparison",
        "firmware/purse/access.py",
        '        self._state.change_tries(**{what + "_tries": left})\n'
        "        if not equal(reference, guess):\n",
        "        if not equal(reference, guess):\n"
        '            self._state.change_tries(**{what + "_tries": left})\n',
        shows=False,
    ),
)


def found_by(mutation: Mutation, cuts: int, seed: int) -> dict[str, Any]:
    """Cuts the power of a firmware that is broken so; how many cuts found it, by mode."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_ROOT / name, Path(folder, name), ignore=ignored)
        path = Path(folder, mutation.path)
        text = path.read_text()
        if mutation.old not in text:
            return {"name": mutation.name, "cuts": 0, "found": {}, "error": "no such place"}
        path.write_text(text.replace(mutation.old, mutation.new, 1))
        return _cut(mutation.name, Path(folder), cuts, seed)


def _cut(name: str, folder: Path, cuts: int, seed: int) -> dict[str, Any]:
    numbers = folder / "numbers.json"
    command = [sys.executable, "-m", "tests.power_cut", str(cuts), "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--operations", _OPERATIONS, "--json", numbers],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if not numbers.exists():
        # It could not even play without a cut what the firmware plays.
        last = done.stderr.strip().splitlines()[-1:]
        return {"name": name, "cuts": 0, "found": {"uncut": 1}, "error": " ".join(last)}
    row = json.loads(numbers.read_text())
    found: Counter[str] = Counter()
    for key, count in row["counts"].items():
        _, mode, outcome = key.split("/")
        is_right = outcome in _GOOD or (mode.startswith(_BACK) and outcome == "locked")
        if not is_right and not outcome.startswith("programmed"):
            found[mode] += count
    return {"name": name, "cuts": row["cuts"], "found": dict(sorted(found.items()))}


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m tests.power_cut.mutations")
    parser.add_argument("--cuts", type=int, default=_CUTS)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    rows = []
    for mutation in MUTATIONS:
        if options.names and mutation.name not in options.names:
            continue
        row = found_by(mutation, options.cuts, options.seed)
        rows.append(row)
        said = ", ".join(f"{count} {mode}" for mode, count in row["found"].items())
        total = sum(row["found"].values())
        print(f"{row['name']}: {total:,} of {row['cuts']:,} ({said})", row.get("error", ""))
        sys.stdout.flush()
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(_is_as_expected(row) for row in rows) else 1


def _is_as_expected(row: dict[str, Any]) -> bool:
    mutation = next(mutation for mutation in MUTATIONS if mutation.name == row["name"])
    if mutation.name == "none" or not mutation.shows:
        return row["cuts"] > 0
    return bool(row["found"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
