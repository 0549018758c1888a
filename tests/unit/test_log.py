# SPDX-License-Identifier: Apache-2.0
"""A log in raw flash: what was stored is read again, in order, whatever the flash lived through.

The flash is `tests/doubles/nor.py`; beside each log a plain list says what must be in it.
"""

from __future__ import annotations

import copy
import errno
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from firmware.purse.ports import LOST, StorageDamaged
from firmware.storage.frame import OVERHEAD
from firmware.storage.log import SectorLog
from tests.doubles.nor import SECTOR, Nor

HEADER = 16
Record = tuple[int, bytes]


def header(number: int, salt: int = 0, version: int = 2) -> bytes:
    """A sector's header, with nothing of the firmware's."""
    body = struct.pack(">HBBII", 14 << 12 | 9, 0, version, number, salt)
    return body + struct.pack(">I", zlib.crc32(body))


def record(kind: int, sequence: int, payload: bytes, salt: int) -> bytes:
    """The bytes of a record of a sector with this salt."""
    body = struct.pack(">HB", kind << 12 | len(payload), sequence) + payload
    return body + struct.pack(">I", zlib.crc32(body, salt))


def load(log: SectorLog) -> list[Record]:
    """What it holds now, read anew."""
    found: list[Record] = []
    log.load(lambda place, kind, payload: found.append((kind, payload)))
    return found


def places(log: SectorLog) -> list[tuple[int, int, bytes]]:
    found: list[tuple[int, int, bytes]] = []
    log.load(lambda place, kind, payload: found.append((place, kind, payload)))
    return found


def reopened(nor: Nor) -> tuple[SectorLog, list[Record]]:
    """What a boot finds, the power good."""
    nor.bytes_left = None
    log = SectorLog(nor)
    return log, load(log)


def settled(log: SectorLog) -> None:
    """Until there is nothing more to do when nobody waits."""
    for _ in range(20):
        if not log.rest():
            return
    raise AssertionError("it never rests")


def filled(nor: Nor, count: int, size: int = 40) -> tuple[SectorLog, list[Record]]:
    """A log with so many records, settled."""
    log = SectorLog(nor)
    assert load(log) == []
    stored = []
    for number in range(count):
        stored.append((1 + number % 13, number.to_bytes(4, "big") + bytes(size - 4)))
        log.append(*stored[-1])
        settled(log)
    return log, stored


def test_an_erased_partition_is_an_empty_log() -> None:
    nor = Nor(3)
    log, found = reopened(nor)
    assert found == [] and not log.has_room(1) and log.first_place == 0
    assert nor.raw == b"\xff" * (3 * SECTOR), "reading writes nothing"


def test_the_bytes_of_a_sector() -> None:
    """The layout of docs/storage.md, by hand; the CRCs begin with the salt."""
    nor = Nor(3)
    log = SectorLog(nor)
    log.append(5, b"abc")
    log.append(6, b"")
    salt = int.from_bytes(nor.raw[8:12], "big")
    raw = header(0, salt) + record(5, 0, b"abc", salt) + record(6, 1, b"", salt)
    assert nor.raw[: len(raw)] == raw
    assert nor.raw[len(raw) :].strip(b"\xff") == b""
    assert reopened(nor)[1] == [(5, b"abc"), (6, b"")]


def test_each_erase_draws_a_salt() -> None:
    nor = Nor(3)
    log, _ = filled(nor, 100)
    log.keep_from(log.append(1, b""))
    salts = set()
    for _ in range(600):
        log.keep_from(log.append(1, bytes(100)))
        settled(log)
        salts |= {bytes(nor.raw[at + 8 : at + 12]) for at in range(0, 3 * SECTOR, SECTOR)}
    assert len(salts) > 10


@pytest.mark.parametrize("sectors", [3, 4, 24])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_ring_goes_round_many_times(sectors: int, seed: int) -> None:
    """What is needed is there, what is there is what was stored last, in its order."""
    draw = random.Random(seed)
    nor = Nor(sectors)
    log = SectorLog(nor)
    stored: list[Record] = []
    marks: list[int] = []  # the place of each record
    keep = 0  # from this record on everything is needed
    for number in range(5_000):
        stored.append((draw.randint(1, 13), draw.randbytes(draw.choice([1, 4, 85, 237, 257]))))
        marks.append(log.append(*stored[-1]))
        if number - keep > 5 * (sectors - 2):
            keep += draw.randint(1, 5 * (sectors - 2))
            log.keep_from(marks[keep])
        if draw.random() < 0.7:
            log.rest()
        if draw.random() < 0.02:
            log = SectorLog(nor)
            found = places(log)
            log.keep_from(marks[keep])
            assert (
                found
                == [(m, k, p) for m, (k, p) in zip(marks, stored, strict=True)][
                    len(stored) - len(found) :
                ]
            ), seed
            assert len(found) >= len(stored) - keep
            assert log.first_place >> 12 == found[0][0] >> 12 or found[0][0] > log.first_place
    assert marks == sorted(marks), "places grow"
    assert nor.erases > 5 * sectors


def test_numbers_beyond_sixteen_bits() -> None:
    nor = Nor(4)
    start = 70_000
    nor.raw[0:HEADER] = header(start, 77)  # 70,000 % 4 is 0
    log, found = reopened(nor)
    assert found == [] and log.first_place == start << 12
    stored = []
    for number in range(300):
        stored.append((2, number.to_bytes(100, "big")))
        place = log.append(*stored[-1])
        log.keep_from(place)
        settled(log)
        assert log.read(place) == stored[-1]
        assert place >> 12 >= start
    again, found = reopened(nor)
    assert found == stored[-len(found) :]
    assert again.first_place > start << 12


def test_read_by_place() -> None:
    nor = Nor(3)
    log = SectorLog(nor)
    marks = [log.append(3, bytes([number]) * (number % 250)) for number in range(60)]
    assert [log.read(mark) for mark in marks] == [(3, bytes([n]) * (n % 250)) for n in range(60)]
    for gone in (marks[0] + 1, marks[-1] + 4000, 7 << 12 | HEADER):
        with pytest.raises(StorageDamaged):
            log.read(gone)


def test_read_of_a_sector_that_went(seed: int = 5) -> None:
    log, _ = filled(Nor(3), 1)
    first = places(log)[0][0]
    while log.first_place <= first:
        log.keep_from(log.append(4, bytes(200)))
        log.rest()
    with pytest.raises(StorageDamaged):
        log.read(first)


# -- room --------------------------------------------------------------------------------------


def fits(log: SectorLog, *sizes: int) -> bool:
    """Whether it can all be stored with no erase, found by trying on a copy."""
    trial = copy.deepcopy(log)
    device = trial._device
    assert isinstance(device, Nor)
    before = device.erases
    try:
        for size in sizes:
            trial.append(1, bytes(size))
    except OSError as error:
        assert error.args == (errno.ENOSPC,)
        return False
    return device.erases == before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_has_room_is_exact(seed: int) -> None:
    draw = random.Random(seed)
    nor = Nor(4)
    log = SectorLog(nor)
    answers = []
    for _ in range(400):
        sizes = [draw.choice([1, 90, 135, 257, 300]) for _ in range(draw.randint(1, 3))]
        for asked in (sizes, 12 * sizes, 25 * sizes):
            answers.append(log.has_room(*asked))
            assert answers[-1] == fits(log, *asked), (seed, asked)
        place = log.append(1, bytes(sizes[0]))
        if draw.random() < 0.3:
            log.keep_from(place)
        if draw.random() < 0.3:
            log.rest()
        if draw.random() < 0.1:
            log, _ = reopened(nor)
        if not log.has_room(300):
            log.keep_from(place)
            log.rest()
    assert 100 < sum(answers) < len(answers) - 100


def test_has_room_to_the_last_byte() -> None:
    nor = Nor(3)
    log = SectorLog(nor)
    log.append(1, bytes(10))
    left = SECTOR - HEADER - OVERHEAD - 10
    while left > 320:
        log.append(1, bytes(300 - OVERHEAD))
        left -= 300
    assert log.has_room(left - OVERHEAD)
    assert not log.has_room(left - OVERHEAD + 1), "no other sector is ready"
    assert log.has_room(left - 2 * OVERHEAD - 5, 5)
    assert not log.has_room(left - 2 * OVERHEAD - 5, 6)
    log.append(1, bytes(left - OVERHEAD))
    assert len(nor.raw.rstrip(b"\xff")) <= SECTOR and nor.erases == 1
    assert not log.has_room(0)
    assert reopened(nor)[1][-1] == (1, bytes(left - OVERHEAD))


@pytest.mark.parametrize("sectors", [3, 5])
def test_a_full_ring(sectors: int) -> None:
    """T18 below the journal: nothing that is needed goes; ENOSPC, and all is as it was."""
    nor = Nor(sectors)
    log = SectorLog(nor)
    stored: list[Record] = []
    with pytest.raises(OSError) as full:
        while True:
            payload = len(stored).to_bytes(100, "big")
            log.append(2, payload)
            stored.append((2, payload))
            log.rest()
    assert full.value.args == (errno.ENOSPC,)
    assert len(stored) == sectors * ((SECTOR - HEADER) // 107)
    before = bytes(nor.raw)
    assert not log.rest() and not log.has_room(100) and nor.raw == before
    with pytest.raises(OSError):
        log.append(2, bytes(100))
    assert nor.raw == before
    log, found = reopened(nor)
    assert found == stored
    log.keep_from(places(log)[(SECTOR - HEADER) // 107][0])  # the first sector is done with
    log.append(2, bytes(99))
    log, found = reopened(nor)
    assert found == [*stored[(SECTOR - HEADER) // 107 :], (2, bytes(99))]


@pytest.mark.parametrize("sectors", [2, 3])
def test_the_newest_record_is_kept_whatever_is_said(sectors: int) -> None:
    """`keep_from` with a place in the future does not erase what is written to."""
    log, stored = filled(Nor(sectors), 5)
    log.keep_from(99 << 12)
    settled(log)
    assert load(log) == stored


@pytest.mark.parametrize("fill", [1, 50, 150])
def test_two_sectors_are_ready_ahead(fill: int) -> None:
    nor = Nor(5)
    log = SectorLog(nor)
    for _ in range(fill):
        log.keep_from(log.append(1, bytes(90)))
    assert log.rest() in (True, False)
    settled(log)
    newest = places(log)[-1][0] >> 12
    numbers = sorted(
        int.from_bytes(nor.raw[at + 4 : at + 8], "big")
        for at in range(0, 5 * SECTOR, SECTOR)
        if nor.raw[at] == 0xE0
    )
    assert numbers[-1] == newest + 2
    erases = nor.erases
    while log.has_room(90):
        log.keep_from(log.append(1, bytes(90)))
    assert nor.erases == erases and places(log)[-1][0] >> 12 == newest + 2
    assert not log.rest() or nor.erases == erases + 1, "one at a time"


def test_clear() -> None:
    nor = Nor(3)
    log, _ = filled(nor, 200)
    log.clear()
    assert load(log) == [] and nor.raw == b"\xff" * (3 * SECTOR)
    log.append(1, b"new")
    assert reopened(nor)[1] == [(1, b"new")]


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from firmware.storage.log import SectorLog
from tests.doubles.nor import Nor
import binascii

nor = Nor(3)
nor.raw[0:16] = binascii.unhexlify({header!r})
log = SectorLog(nor)
log.load(lambda place, kind, payload: None)
draw = 12345
for number in range(700):
    draw = (draw * 1103515245 + 12345) & 0x7FFFFFFF
    place = log.append(1 + number % 13, bytes([number & 0xFF]) * (draw % 260))
    if draw % 3:
        log.keep_from(place)
    log.rest()
    assert log.has_room(1, 2, 3) in (True, False)
at = (place >> 12) % 3 * 4096 + (place & 4095) + 5
nor.flip(at, 3)
found = []
log = SectorLog(nor)
log.load(lambda place, kind, payload: found.append((place, kind, payload)))
log.rest()
total = binascii.crc32(repr(found).encode())
print(len(found), found[-1][0], total, log.append(2, b"on"), nor.erases, nor.programs)
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_same_under_micropython(
    bits: int, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Places beyond 2^30 are big integers on 32 bits, and the results the same."""
    name = "micropython" if bits == 64 else "micropython32"
    program = tmp_path / "program.py"
    start = 300_000  # its places have 31 bits
    program.write_text(PROGRAM.format(root=str(root), header=header(start, 9).hex()))
    said = [
        subprocess.run([runtime, program], capture_output=True, text=True, check=True).stdout
        for runtime in (root / ".venv/bin/python", request.getfixturevalue(name))
    ]
    assert said[0] == said[1] and int(said[0].split()[1]) > 1 << 30


def test_lost_is_no_kind_of_record() -> None:
    assert LOST not in range(1, 15)
