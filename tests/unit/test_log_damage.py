# SPDX-License-Identifier: Apache-2.0
"""A log whose power is cut at every byte, whose bits flip, whose sectors wear.

Whatever was stored before the cut is read after it; what was being stored is there, or is not.
"""

from __future__ import annotations

import copy
import random

import pytest

from firmware.purse.ports import LOST, StorageDamaged
from firmware.storage.frame import OVERHEAD
from firmware.storage.log import SectorLog
from tests.doubles.nor import SECTOR, Cut, Nor
from tests.unit.test_log import (
    HEADER,
    Record,
    filled,
    header,
    load,
    places,
    record,
    reopened,
    settled,
)

NEW = (7, b"new " * 21)
EDGES = (0xFF, 0x00, 0xF0, 0x55)  # bits of the last byte that do not come through


def goes_on(nor: Nor, stored: list[Record]) -> None:
    """It stores again, twice with a boot between, and loses nothing of what it had."""
    for number in range(2):
        log, found = reopened(nor)
        assert found == stored
        settled(log)
        log.append(9, bytes([number]))
        stored = [*stored, (9, bytes([number]))]
    assert reopened(nor)[1] == stored


@pytest.mark.parametrize("edge", EDGES)
def test_torn_at_every_byte(edge: int) -> None:
    """T03, S03: and torn a second time, when it is tried again."""
    nor = Nor(3)
    _, stored = filled(nor, 5)
    for cut in range(OVERHEAD + len(NEW[1]) + 1):
        torn = copy.deepcopy(nor)
        torn.edge = edge
        log, _ = reopened(torn)
        torn.bytes_left = cut
        whole = cut == OVERHEAD + len(NEW[1])
        if whole:
            log.append(*NEW)
        else:
            with pytest.raises(Cut):
                log.append(*NEW)
        again, found = reopened(torn)
        assert found in (stored, [*stored, NEW]), cut
        assert found == [*stored, NEW] or not whole
        torn.bytes_left = cut // 2
        try:
            again.append(8, bytes(20))
            found = [*found, (8, bytes(20))]
        except Cut:
            pass
        log, after = reopened(torn)
        assert after[: len(found)] == found
        goes_on(torn, after)


def test_torn_at_a_sectors_end() -> None:
    """The garbage reaches to the end, or leaves too little behind it."""
    nor = Nor(3)
    log = SectorLog(nor)
    stored = []
    while len(nor.raw.rstrip(b"\xff")) < SECTOR - 120:
        stored.append((2, len(stored).to_bytes(60, "big")))
        log.append(*stored[-1])
    settled(log)
    for cut in range(OVERHEAD + len(NEW[1])):
        torn = copy.deepcopy(nor)
        log, _ = reopened(torn)
        torn.bytes_left = cut
        with pytest.raises(Cut):
            log.append(*NEW)
        log, found = reopened(torn)
        assert found == stored or found == [*stored, NEW]
        goes_on(torn, found)


@pytest.mark.parametrize("edge", [0x00, 0xFF, 0x33])
def test_torn_while_a_sector_is_made_ready(edge: int) -> None:
    """S03: its header struck out, the erase, the new header, cut at every step of each."""
    nor = Nor(3)
    log, _ = filled(nor, 150)
    place = log.append(*NEW)
    log.keep_from(place)
    log, found = reopened(nor)
    log.keep_from(place)
    settled(log)
    while log.has_room(60):  # from here on a ready sector is missing
        log.keep_from(log.append(3, bytes(60)))
    log.keep_from(places(log)[-1][0])
    kept = load(log)[-60:]
    trial = copy.deepcopy(log)
    device = trial._device
    assert isinstance(device, Nor) and trial.rest()
    steps = [*range(40), *range(40, SECTOR, 311), *range(SECTOR, SECTOR + 2 * HEADER)]
    for cut in steps:
        torn = copy.deepcopy(log)
        flash = torn._device
        assert isinstance(flash, Nor)
        flash.edge, flash.bytes_left = edge, cut
        with pytest.raises(Cut):
            torn.rest()
        again, found = reopened(flash)
        assert LOST not in [kind for kind, _ in found], cut
        assert found[-60:] == kept, cut
        again.keep_from(places(again)[-1][0])
        settled(again)
        again.append(4, b"on")
        assert reopened(flash)[1][-1] == (4, b"on")
        assert (9, b"") not in reopened(flash)[1]


def test_an_erase_that_left_anything_behind() -> None:
    """S03: a sector in the midst of an erase holds what nobody wrote; none of it is read."""
    draw = random.Random(3)
    nor = Nor(3)
    _, stored = filled(nor, 30)
    for seed in range(60):
        torn = copy.deepcopy(nor)
        at = 2 * SECTOR
        torn.raw[at : at + SECTOR] = draw.randbytes(SECTOR)
        if seed % 2:  # an older round's records, but no header
            torn.raw[at : at + SECTOR] = torn.raw[:SECTOR]
            torn.raw[at : at + HEADER] = bytes(HEADER)
        log, found = reopened(torn)
        assert found == stored, seed
        settled(log)
        goes_on(torn, stored)


# -- bits that flip ----------------------------------------------------------------------------


def test_each_bit_of_it_flipped() -> None:
    """S04: headers, records, what is ready, what is erased: the same records, and it goes on."""
    nor = Nor(3)
    _, stored = filled(nor, 4, size=30)
    used = [
        *range(HEADER + 4 * 37 + 40),
        *range(SECTOR - 2, SECTOR + HEADER + 6),
        *range(2 * SECTOR, 2 * SECTOR + HEADER + 2),
    ]
    for at in used:
        for bit in range(8):
            worn = copy.deepcopy(nor)
            worn.flip(at, bit)
            log, found = reopened(worn)
            assert found == stored, (at, bit)
            settled(log)
            assert load(log) == stored, (at, bit)
            log.append(*NEW)
            assert reopened(worn)[1] == [*stored, NEW], (at, bit)


def test_two_bits_of_one_record_are_a_gap() -> None:
    """S05: between others the loss is seen, at its place; no other record is."""
    nor = Nor(3)
    log, stored = filled(nor, 6)
    marks = [place for place, _, _ in places(log)]
    for index in range(1, 5):
        worn = copy.deepcopy(nor)
        worn.flip((marks[index] & 4095) + 5, 0)
        worn.flip((marks[index] & 4095) + 20, 3)
        log, found = reopened(worn)
        assert found == [*stored[:index], (LOST, b""), *stored[index + 1 :]]
        assert [place for place, _, _ in places(log)][index] == marks[index + 1]
        with pytest.raises(StorageDamaged):
            log.read(marks[index])
        log.append(*NEW)
        assert reopened(worn)[1][-1] == NEW


def test_several_losses_are_several_gaps() -> None:
    nor = Nor(3)
    log, stored = filled(nor, 9)
    for place, _, _ in [places(log)[index] for index in (2, 3, 6)]:
        at = place & 4095
        nor.raw[at : at + 30] = bytes(30)
    gap = (LOST, b"")
    assert reopened(nor)[1] == [*stored[:2], gap, *stored[4:6], gap, *stored[7:]]


def test_a_gap_over_the_end_of_the_sequence() -> None:
    """It is a byte: 255 is followed by 0, and that is no gap."""
    nor = Nor(4)
    log = SectorLog(nor)
    stored = [(1, bytes([number & 0xFF])) for number in range(600)]
    marks = [log.append(*one) for one in stored]
    assert reopened(nor)[1] == stored
    for lost in (254, 255, 256, 511):
        worn = copy.deepcopy(nor)
        at = (marks[lost] >> 12) * SECTOR + (marks[lost] & 4095)
        worn.raw[at : at + 8] = bytes(8)
        expected = [*stored[:lost], (LOST, b""), *stored[lost + 1 :]]
        assert reopened(worn)[1] == expected


def test_a_mended_newest_record_is_stored_again() -> None:
    """What was not programmed to its end may read otherwise another time."""
    nor = Nor(3)
    log, stored = filled(nor, 5)
    place = places(log)[-1][0]
    nor.flip((place & 4095) + 9, 2)
    log, found = reopened(nor)
    assert found == stored
    programs = nor.programs
    settled(log)
    assert nor.programs == programs + 1
    settled(log)
    assert nor.programs == programs + 1, "once"
    nor.flip((place & 4095) + 12, 5)  # now the first copy is past mending
    log, found = reopened(nor)
    assert found == stored, "the second is as good, and no gap"
    log.append(*NEW)
    assert reopened(nor)[1] == [*stored, NEW]


def test_an_older_mended_record_is_let_be() -> None:
    nor = Nor(3)
    log, stored = filled(nor, 5)
    nor.flip((places(log)[2][0] & 4095) + 9, 2)
    log, found = reopened(nor)
    programs = nor.programs
    settled(log)
    assert found == stored and nor.programs == programs


def test_a_cut_while_the_mended_record_is_stored_again() -> None:
    nor = Nor(3)
    log, stored = filled(nor, 5)
    nor.flip((places(log)[-1][0] & 4095) + 9, 2)
    for cut in range(OVERHEAD + 40):
        torn = copy.deepcopy(nor)
        log, _ = reopened(torn)
        torn.bytes_left = cut
        with pytest.raises(Cut):
            log.rest()
        goes_on(torn, stored)


# -- headers -----------------------------------------------------------------------------------


def test_a_sector_whose_header_is_gone_is_a_gap() -> None:
    """S05: two bits of the header of a sector between others; its records are past reading."""
    nor = Nor(5)
    log, stored = filled(nor, 250)
    marks = [place for place, _, _ in places(log)]
    nor.flip(SECTOR + 5, 0)
    nor.flip(SECTOR + 9, 1)
    of_it = [index for index, mark in enumerate(marks) if mark >> 12 == 1]
    gap = (LOST, b"")
    assert reopened(nor)[1] == [*stored[: of_it[0]], gap, *stored[of_it[-1] + 1 :]]


@pytest.mark.parametrize("ready", [0, 1, 2])
def test_the_current_sector_whose_header_is_gone_is_a_gap(ready: int) -> None:
    """S05: the newest records are in it, and ready sectors behind it say that it was there."""
    nor = Nor(5)
    log, stored = filled(nor, 130)
    number = places(log)[-1][0] >> 12
    for behind in range(number + 1 + ready, number + 3):
        at = behind * SECTOR
        nor.raw[at : at + SECTOR] = b"\xff" * SECTOR
    nor.flip(number * SECTOR + 5, 0)
    nor.flip(number * SECTOR + 9, 1)
    before = bytes(nor.raw)
    log, found = reopened(nor)
    assert (found[-1] == (LOST, b"")) == bool(ready), "with none behind it nothing shows it"
    assert found[: len(found) - bool(ready)] == stored[: len(found) - bool(ready)]
    assert nor.raw == before


@pytest.mark.parametrize(
    "raw",
    [
        header(1),  # of another block
        header(2, version=1),
        header(2, version=3),
        record(13, 0, header(2)[3:12], 0),
        bytes(HEADER),
        b"\xff" * HEADER,
    ],
)
def test_what_is_no_header(raw: bytes) -> None:
    nor = Nor(3)
    nor.raw[2 * SECTOR : 2 * SECTOR + HEADER] = raw
    nor.raw[2 * SECTOR + HEADER : 2 * SECTOR + HEADER + 10] = record(4, 0, b"abc", 0)
    assert reopened(nor)[1] == []
    nor.raw[2 * SECTOR : 2 * SECTOR + HEADER] = header(2)
    assert reopened(nor)[1] == [(4, b"abc")]


def test_one_bit_of_a_record_behind_garbage() -> None:
    """S03 and S04 in one sector: a torn write, and a flipped bit of the record behind it."""
    nor = Nor(3)
    log, stored = filled(nor, 3)
    nor.bytes_left = 30
    with pytest.raises(Cut):
        log.append(*NEW)
    log, _ = reopened(nor)
    place = log.append(*NEW)
    for bit in range(8 * (OVERHEAD + len(NEW[1]))):
        nor.flip((place & 4095) + (bit >> 3), bit & 7)
        assert reopened(nor)[1] == [*stored, NEW]
        nor.flip((place & 4095) + (bit >> 3), bit & 7)


def test_a_header_of_another_block_brings_no_record_twice() -> None:
    """4 % 3 is 1, and this one lies in block 2."""
    nor = Nor(3)
    records = record(4, 0, b"a", 0) + record(4, 1, b"b", 0)
    for number, at in ((1, SECTOR), (4, 2 * SECTOR)):
        raw = header(number) + records
        nor.raw[at : at + len(raw)] = raw
    assert reopened(nor)[1] == [(4, b"a"), (4, b"b")]


def test_one_bit_of_a_record_that_is_read_by_its_place() -> None:
    """S04: flipped while the card was on."""
    nor = Nor(3)
    log, stored = filled(nor, 3)
    place = places(log)[1][0]
    for bit in range(8 * (OVERHEAD + 40)):
        nor.flip((place & 4095) + (bit >> 3), bit & 7)
        assert log.read(place) == stored[1]
        nor.flip((place & 4095) + (bit >> 3), bit & 7)


def test_a_record_of_another_salt_is_not_taken() -> None:
    """A payee's bytes hide a record; torn within them, it is not found behind the garbage."""
    for salt in (0, 1, 0xDEAD_BEEF):
        hidden = record(8, 1, (2_000_000).to_bytes(4, "big"), salt)
        for offset in range(16):
            nor = Nor(3)
            log, stored = filled(nor, 1)
            payload = bytes(60 + offset) + hidden + bytes(40)
            nor.bytes_left = OVERHEAD + 60 + offset + len(hidden) + 3
            with pytest.raises(Cut):
                log.append(1, payload)
            assert reopened(nor)[1] == stored


# -- worn flash --------------------------------------------------------------------------------


def test_a_spot_that_does_not_keep_is_passed_over() -> None:
    """S09: `append` reads back, tries behind it, and says where the record is."""
    nor = Nor(3)
    log, stored = filled(nor, 3)
    at = (places(log)[-1][0] & 4095) + 47
    nor.spots = {at + 12, at + 30}
    place = log.append(1, bytes(30))
    assert place & 4095 > at + 12 and log.read(place) == (1, bytes(30))
    log, found = reopened(nor)
    assert found == [*stored, (1, bytes(30))], "no gap: it is the next in the sequence"
    goes_on(nor, found)


@pytest.mark.parametrize("dead", [{0}, {1}, {0, 1}, {2}])
def test_a_sector_that_keeps_nothing_is_passed_over(dead: set[int]) -> None:
    """S09: what was stored before is there, and it goes on in the next, also after a boot."""
    nor = Nor(5)
    log, stored = filled(nor, 3)
    nor.dead = dead
    count = 0
    for count in range(150):
        settled(log)
        try:
            log.append(7, count.to_bytes(60, "big"))
        except OSError:
            assert len(dead) > 1, "one bad sector is no reason to refuse"
            continue
        stored.append((7, count.to_bytes(60, "big")))
        if count % 10 == 0:
            log, found = reopened(nor)
            assert found == stored
    assert len(stored) > 150 - 3
    assert reopened(nor)[1] == stored


def test_a_sector_that_cannot_be_erased_is_passed_over() -> None:
    """S09: the others serve on; none of its older records comes back."""
    nor = Nor(5)
    log, _ = filled(nor, 100)
    nor.stuck = {3}
    for number in range(1, 1_000):
        log.keep_from(log.append(6, number.to_bytes(60, "big")))
        settled(log)
        if number % 50 == 0:
            log, found = reopened(nor)
            expected = [(6, at.to_bytes(60, "big")) for at in range(1, number + 1)]
            assert found[-30:] == expected[-30:] and LOST not in dict(found)
            log.keep_from(places(log)[-1][0])
    assert nor.erases > 15


def test_a_flash_that_erases_nothing_any_more() -> None:
    """S09: what is needed is there to the last; then there is no room."""
    nor = Nor(4)
    log, _ = filled(nor, 100)
    nor.stuck = {0, 1, 2, 3}
    number = 0
    with pytest.raises(OSError):
        for number in range(1_000):
            log.keep_from(log.append(6, number.to_bytes(60, "big")))
            settled(log)
    assert number > 40
    assert reopened(nor)[1][-40:] == [(6, at.to_bytes(60, "big")) for at in range(number)][-40:]


def test_a_header_that_is_not_kept_takes_no_records() -> None:
    """S09: what would be written behind such a header would be gone at the next boot."""
    nor = Nor(5)
    log, stored = filled(nor, 3)
    nor.spots = {3 * SECTOR + 5, 3 * SECTOR + 9, 3 * SECTOR + 12}
    for number in range(200):
        stored.append((2, number.to_bytes(60, "big")))
        log.append(*stored[-1])
        settled(log)
    assert reopened(nor)[1] == stored


@pytest.mark.parametrize("ready", [1, 2])
def test_a_ready_sector_whose_header_is_gone_is_passed_over(ready: int) -> None:
    """S04, S05: it held nothing, so nothing is lost, and what comes next goes elsewhere."""
    nor = Nor(6)
    log, stored = filled(nor, 10)
    nor.flip(ready * SECTOR + 5, 0)
    nor.flip(ready * SECTOR + 9, 1)
    log, found = reopened(nor)
    assert found == stored
    for number in range(200):
        stored.append((2, number.to_bytes(60, "big")))
        log.append(*stored[-1])
        settled(log)
    assert reopened(nor)[1] == stored


def test_a_mended_newest_record_is_stored_again_before_the_next_one() -> None:
    """S04: the copy stands behind its original, whatever comes then, and counts once."""
    nor = Nor(3)
    log = SectorLog(nor)
    log.append(1, b"first")
    log.append(1, b"newest")
    nor.raw[nor.raw.index(b"newest")] ^= 4
    again = SectorLog(nor)
    assert load(again) == [(1, b"first"), (1, b"newest")]
    again.append(2, b"next")
    assert nor.raw.index(b"newest") < nor.raw.index(b"next")
    assert load(SectorLog(nor)) == [(1, b"first"), (1, b"newest"), (2, b"next")]


def test_a_copy_that_cannot_be_stored_takes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """S09: the record after it is not taken for a copy, and so not overlooked."""
    nor = Nor(3)
    SectorLog(nor).append(1, b"newest")
    nor.raw[nor.raw.index(b"newest")] ^= 4
    log = SectorLog(nor)
    assert load(log) == [(1, b"newest")]

    def worn(*_: object) -> None:
        raise OSError(5)

    with monkeypatch.context() as patch:
        patch.setattr(nor, "writeblocks", worn)
        with pytest.raises(OSError):
            log.rest()
    log.append(2, b"next")
    assert load(SectorLog(nor)) == [(1, b"newest"), (2, b"next")]
