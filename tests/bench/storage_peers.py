# SPDX-License-Identifier: Apache-2.0
"""Other ways to store the same payments, and what one bad bit does. Runs on MicroPython:

    micropython -X heapsize=64m tests/bench/storage_peers.py WAY PAYMENTS

The bytes have the sizes of a payment from one note; what they say does not matter here. `inline`
and `append` print the erases of each payment; `flips` prints what was read back, by the way.
"""

# ruff: noqa: E402
import json
import os
import random
import sys

sys.path[:] = [os.getcwd()] + [path for path in sys.path if path.startswith(".f")]

import vfs

from firmware.hal.littlefs import PROG_SIZE, READ_SIZES
from firmware.purse import state, stored
from firmware.storage.log import SectorLog
from firmware.storage.record_store import RecordStore
from firmware.wire.note import Note
from tests.bench.storage_flash import ERASES, PROGRAMMED, PROGRAMS, SECTOR_SIZE, Partition

_FILES_SIZES = {"vfs": 0xD0000, "copies": 0x30000}
_LOG_SIZE, _STATE_SIZE = 0x18000, 0x4000
_ERASED_BYTE = 0xFF
_HOT_SIZE = state.LAYOUT.size
_COUNTER_SIZE = 4
_ACK = 20  # payments
_AGES = range(0, 15, 3)  # more writes, at each of which bits are turned over
_FLIPS_INLINE, _FLIPS_LOG, _PAIRS = 400, 100, 20  # at each age
_RECORDS = (
    (stored.INTENT, stored.intent_size(1)),
    (stored.COMMIT, stored.COMMIT_SIZE),
    (stored.SIGNED, stored.signed_size(1)),
)


def _mounted(device: Partition, name: str = "vfs") -> "vfs.VfsLfs2":
    return vfs.VfsLfs2(device, readsize=READ_SIZES[name], progsize=PROG_SIZE)


def _formatted(name: str = "vfs") -> "tuple[Partition, vfs.VfsLfs2]":
    device = Partition(_FILES_SIZES[name])
    vfs.VfsLfs2.mkfs(device, readsize=READ_SIZES[name], progsize=PROG_SIZE)
    files = _mounted(device, name)
    files.mkdir("hot")
    return device, files


def _store(files: "vfs.VfsLfs2", name: str, data: bytes) -> None:
    """Overwrites a small file in place: littlefs keeps it within its folder."""
    with files.open("hot/" + name, "wb") as file:
        file.write(data)


def inline(payments: int) -> "dict[str, object]":
    """Hot state and counter as inline files, overwritten; the journal as a raw ring."""
    device, files = _formatted()
    ring = Partition(_LOG_SIZE)
    journal = SectorLog(ring)
    journal.load(lambda place, kind, payload: None)
    taps = []
    at_rest = 0
    for number in range(payments):
        before = device.counts[ERASES] + ring.counts[ERASES]
        for kind, size in _RECORDS:
            place = journal.append(kind, _some(number, size))
            if kind == stored.INTENT:
                _store(files, "counter", _some(number, _COUNTER_SIZE))
        _store(files, "state", _some(number, _HOT_SIZE))
        after = device.counts[ERASES] + ring.counts[ERASES]
        taps.append(after - before)
        if number % _ACK == 0:
            journal.keep_from(place)
        journal.rest()
        at_rest += device.counts[ERASES] + ring.counts[ERASES] - after
    return _found(taps, at_rest, device, ring)


def append(payments: int) -> "dict[str, object]":
    """Everything appended to one file and flushed, which begins anew at an acknowledgement."""
    device, files = _formatted()
    sizes = [size for _, size in _RECORDS]
    sizes.append(_COUNTER_SIZE)
    taps = []
    for number in range(payments):
        before = device.counts[ERASES]
        if number % _ACK == 0:
            _store(files, "journal", _some(number, _HOT_SIZE))
        for size in sizes:
            with files.open("hot/journal", "ab") as file:
                file.write(_some(number, size))
        taps.append(device.counts[ERASES] - before)
    return _found(taps, 0, device)


def _found(taps: "list[int]", at_rest: int, *parts: Partition) -> "dict[str, object]":
    taps, skipped = taps[len(taps) // 3 :], len(taps) // 3
    share = len(taps) / (len(taps) + skipped)
    return {
        "payments": len(taps),
        "in_taps": sum(taps),
        "taps_with_erase": len([erases for erases in taps if erases]),
        "most_in_a_tap": max(taps),
        "at_rest": at_rest * share,
        "programs": sum([part.counts[PROGRAMS] for part in parts]) * share,
        "programmed": sum([part.counts[PROGRAMMED] for part in parts]) * share,
    }


def cold(writes: int) -> "dict[str, object]":
    """A record that seldom changes, written in both of its copies; four of them in turn."""
    device, files = _formatted()
    other_device, copies = _formatted("copies")
    store = RecordStore(files, copies, "purse")
    before = device.counts[ERASES] + other_device.counts[ERASES]
    for number in range(writes):
        store.replace(f"note.{number % 4:02d}", _some(number, Note.LAYOUT.size))
    after = device.counts[ERASES] + other_device.counts[ERASES]
    return {"writes": writes, "erases": after - before}


def flips(writes: int) -> "dict[str, object]":
    """What is read after one bit of what was written is turned over, in either way."""
    random.seed(1)
    found: dict[str, dict[str, int]] = {"inline": {}, "log": {}, "newest": {}, "older": {}}
    for age in _AGES:
        _flip_inline(writes + age, found["inline"])
        _flip_log(writes + age, found["log"])
        for name in ("newest", "older"):
            _flip_two(writes + age, name, found[name])
    return found


def _flip_inline(writes: int, counts: "dict[str, int]") -> None:
    """Of the two blocks of its folder."""
    device, files = _formatted()
    for number in range(writes):
        _store(files, "state", _some(number, _HOT_SIZE))
    newest = _some(writes - 1, _HOT_SIZE)
    used: list[int] = []
    for at in range(0, _FILES_SIZES["vfs"], SECTOR_SIZE):
        if b"state" in device.memory[at : at + SECTOR_SIZE]:
            used += _written(device, at, at + SECTOR_SIZE)
    for _ in range(_FLIPS_INLINE):
        at, bit = used[random.randrange(len(used))], 1 << random.randrange(8)
        device.memory[at] ^= bit
        _count(counts, _read_inline(device), newest)
        device.memory[at] ^= bit


def _written(device: Partition, start: int, end: int) -> "list[int]":
    return [at for at in range(start, end) if device.memory[at] != _ERASED_BYTE]


def _read_inline(device: Partition) -> "bytes | None":
    try:
        with _mounted(device).open("hot/state", "rb") as file:
            return file.read()
    except OSError:
        return None


def _flip_log(writes: int, counts: "dict[str, int]") -> None:
    """Of all sectors of the log."""
    device, newest = _log(writes)
    used = _written(device, 0, len(device.memory))
    for _ in range(_FLIPS_LOG):
        at, bit = used[random.randrange(len(used))], 1 << random.randrange(8)
        device.memory[at] ^= bit
        _count(counts, _read_log(device), newest)
        device.memory[at] ^= bit


def _flip_two(writes: int, which: str, counts: "dict[str, int]") -> None:
    """Two bits of one record: of the newest, or of any older one."""
    device, newest = _log(writes)
    places: list[int] = []
    SectorLog(device).load(lambda place, kind, payload: places.append(place))
    image = bytes(device.memory)
    for _ in range(_PAIRS):
        place = places[-1 if which == "newest" else random.randrange(len(places) - 1)]
        start = place % len(device.memory)  # sector n lies at n % count
        first = random.randrange(8 * _HOT_SIZE)
        second = (first + 1 + random.randrange(8 * _HOT_SIZE - 1)) % (8 * _HOT_SIZE)
        for bit in (first, second):
            device.memory[start + (bit >> 3)] ^= 1 << (bit & 7)
        _count(counts, _read_log(device), newest)
        device.memory[:] = image


def _log(writes: int) -> "tuple[Partition, bytes]":
    device = Partition(_STATE_SIZE)
    log = SectorLog(device)
    log.load(lambda place, kind, payload: None)
    for number in range(writes):
        log.keep_from(log.append(state.STATE, _some(number, _HOT_SIZE)))
        log.rest()
    return device, _some(writes - 1, _HOT_SIZE)


def _read_log(device: Partition) -> "bytes | None":
    """The newest record; None where the log says that one behind it is missing."""
    found: list[bytes | None] = [None]

    def see(place: int, kind: int, payload: bytes) -> None:
        found[0] = payload if kind == state.STATE else None

    SectorLog(device).load(see)
    return found[0]


def _count(counts: "dict[str, int]", read: "bytes | None", newest: bytes) -> None:
    """newest; older, without a word; refused; or other bytes than were ever written."""
    if read is None:
        key = "refused"
    elif read == newest:
        key = "newest"
    else:
        number = int.from_bytes(read[:4], "big")
        key = "older" if read == _some(number, len(read)) else "wrong"
        behind = int.from_bytes(newest[:4], "big") - number
        counts["behind"] = max(behind, counts.get("behind", 0))
    counts[key] = counts.get(key, 0) + 1


def _some(number: int, size: int) -> bytes:
    """Bytes of this length that say their number."""
    return (number.to_bytes(4, "big") * (size // 4 + 1))[:size]


def main(arguments: "list[str]") -> None:
    """Measures one way."""
    ways = {"inline": inline, "append": append, "cold": cold, "flips": flips}
    print("##" + json.dumps(ways[arguments[0]](int(arguments[1]))))


if __name__ == "__main__":
    main(sys.argv[1:])
