# SPDX-License-Identifier: Apache-2.0
"""Reading the flash of a board that answers no more, and settling what is in it."""

from __future__ import annotations

import binascii
from pathlib import Path

import pytest

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from firmware.storage.log import SectorLog
from firmware.storage.seal import sealed
from host_bridge.bank.rescue import Rescued
from host_bridge.sync.rescue_file import Rescue, Source
from provisioning.image import FLASH_SIZE, ImageError, mount_files, write_image
from provisioning.rescue_image import rescue_image, stored_records
from tests.doubles.paper_purse import PaperPurse
from tests.platform.town import START, Town
from tests.platform.wreck import Record, log_of

PARTITIONS = read_partitions()
JOURNAL = PARTITIONS["journal"]
FILES, COPIES = PARTITIONS["vfs"], PARTITIONS["copies"]
FIRMWARE = {"firmware/nothing.mpy": b"M\x06"}


class Flash:
    """NOR flash in memory: programming only clears bits, erasing sets a whole block."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(b"\xff" * size)

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        at = block * BLOCK_SIZE + offset
        buffer[:] = self.content[at : at + len(buffer)]

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        at = block * BLOCK_SIZE + offset
        for index, byte in enumerate(buffer):
            self.content[at + index] &= byte

    def ioctl(self, request: int, argument: int) -> int | None:
        if request == 4:
            return len(self.content) // BLOCK_SIZE
        if request == 6:
            at = argument * BLOCK_SIZE
            self.content[at : at + BLOCK_SIZE] = b"\xff" * BLOCK_SIZE
            return 0
        return None


def journal_of(records: list[Record]) -> bytes:
    flash = Flash(JOURNAL.size)
    log = SectorLog(flash)
    log.load(lambda place, kind, payload: None)
    for kind, payload in records:
        log.append(kind, payload)
    return bytes(flash.content)


@pytest.fixture
def purse(town: Town) -> PaperPurse:
    """A purse that paid the cafe forty times, over more than one sector."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for _ in range(40):
        town.pay(purse, town.cafe, piece, 10)
    return purse


def files_of(purse: PaperPurse) -> dict[str, bytes]:
    files = {}
    for folder in ("purse", "purse-copy"):
        files[f"{folder}/purse"] = sealed(1, purse.papers.raw)
        files[f"{folder}/note.01"] = sealed(1, purse.pieces[0].note.raw)
    return files


def image_of(folder: Path, purse: PaperPurse, files: dict[str, bytes] | None = None) -> Path:
    path = folder / "flash.img"
    everything = files_of(purse) if files is None else files
    copies = {name: data for name, data in everything.items() if name.startswith("purse-copy/")}
    write_image(
        path, FIRMWARE, {name: data for name, data in everything.items() if name not in copies}
    )
    content = bytearray(path.read_bytes())
    second = mount_files(bytes(content), "copies")
    second.makedirs("/purse-copy", exist_ok=True)
    for name, data in copies.items():
        with second.open(f"/{name}", "wb") as file:
            file.write(data)
    content[COPIES.offset : COPIES.end] = second.context.buffer
    content[JOURNAL.offset : JOURNAL.end] = journal_of(log_of(purse))
    path.write_bytes(content)
    return path


def read(path: Path) -> Rescue:
    return Rescue.parse(rescue_image(path, START).raw)


def test_a_whole_image(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    path = image_of(tmp_path, purse)
    before = path.read_bytes()
    rescue = read(path)
    assert path.read_bytes() == before
    assert (rescue.source, rescue.lifecycle, rescue.origin) == (Source.IMAGE, None, "flash.img")
    assert rescue.certificate == purse.papers
    assert rescue.notes == (purse.pieces[0].note,)
    assert list(rescue.stored) == log_of(purse)
    assert rescue.unreadable == ()
    report = town.bank.rescue(rescue)
    assert [payment.state for payment in report.payments] == [Rescued.SETTLED] * 40
    assert town.wallet("cafe") == 400
    town.assert_sound()


@pytest.mark.parametrize("bad", ["purse", "purse-copy"])
def test_one_good_copy_is_enough(purse: PaperPurse, tmp_path: Path, bad: str) -> None:
    files = files_of(purse)
    files[f"{bad}/purse"] = files[f"{bad}/purse"][:-1] + b"?"
    del files[f"{bad}/note.01"]
    rescue = read(image_of(tmp_path, purse, files))
    assert rescue.certificate == purse.papers
    assert rescue.notes == (purse.pieces[0].note,)
    assert rescue.unreadable == ()


def test_the_newer_copy_counts(purse: PaperPurse, town: Town, tmp_path: Path) -> None:
    files = files_of(purse)
    files["purse-copy/purse"] = sealed(2, town.purse().papers.raw)
    assert read(image_of(tmp_path, purse, files)).certificate != purse.papers


def test_two_bad_copies_are_said(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    files = files_of(purse)
    for folder in ("purse", "purse-copy"):
        files[f"{folder}/purse"] = b"\2rubbish"
    files["purse/note.02"] = sealed(1, b"no note")
    rescue = read(image_of(tmp_path, purse, files))
    assert rescue.certificate is None
    assert any(line.startswith("record purse: no copy") for line in rescue.unreadable)
    assert any(line.startswith("record note.02: note") for line in rescue.unreadable)
    assert town.bank.rescue(rescue).purses[0].serial == purse.papers.serial
    assert town.wallet("cafe") == 400


@pytest.mark.parametrize("lost", ["vfs", "copies"])
def test_one_file_system_is_enough(purse: PaperPurse, tmp_path: Path, lost: str) -> None:
    path = image_of(tmp_path, purse)
    content = bytearray(path.read_bytes())
    gone = PARTITIONS[lost]
    content[gone.offset : gone.end] = bytes(gone.size)
    path.write_bytes(content)
    rescue = read(path)
    assert rescue.certificate == purse.papers
    assert rescue.notes == (purse.pieces[0].note,)
    [said] = rescue.unreadable
    assert said.startswith(f"the file system {lost} cannot be mounted")


def test_both_file_systems_are_gone(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    """The firmware as well: the journal alone is enough to pay everybody."""
    path = image_of(tmp_path, purse)
    content = bytearray(path.read_bytes())
    content[: FILES.end] = bytes(FILES.end)
    content[COPIES.offset : COPIES.end] = bytes(COPIES.size)
    path.write_bytes(content)
    rescue = read(path)
    for name in ("vfs", "copies"):
        assert any(f"{name} cannot be mounted" in line for line in rescue.unreadable)
    assert any("no certificate" in line for line in rescue.unreadable)
    town.bank.rescue(rescue)
    assert town.wallet("cafe") == 400
    town.assert_sound()


def test_a_hole_in_the_journal_is_said(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    path = image_of(tmp_path, purse)
    content = bytearray(path.read_bytes())
    at = JOURNAL.offset + 1_000
    content[at : at + 300] = bytes(300)
    path.write_bytes(content)
    rescue = read(path)
    assert "holes in the journal, where records are missing: 1" in rescue.unreadable
    report = town.bank.rescue(rescue)
    settled = [one for one in report.payments if one.state is Rescued.SETTLED]
    assert 30 < len(settled) < 40
    assert town.wallet("cafe") == 10 * len(settled)
    town.assert_sound()


def test_no_bytes_make_it_fail(purse: PaperPurse, tmp_path: Path) -> None:
    """I8: an image of anything is read, or refused with one sentence."""
    path = tmp_path / "flash.img"
    for content in (bytes(FLASH_SIZE), b"\xff" * FLASH_SIZE, b"\x5a" * FLASH_SIZE):
        path.write_bytes(content)
        assert read(path).stored == ()
    for size in (0, 100, FLASH_SIZE + 1):
        path.write_bytes(bytes(size))
        with pytest.raises(ImageError, match="not as large"):
            rescue_image(path, START)
    with pytest.raises(ImageError, match="cannot be read"):
        rescue_image(tmp_path / "none", START)


def test_an_image_of_storage_version_1(town: Town, purse: PaperPurse, tmp_path: Path) -> None:
    """Its journal lay in files; it is shorter, and has no partition for a log."""

    def sealed_1(data: bytes) -> bytes:
        body = b"\1" + data
        return body + binascii.crc32(body).to_bytes(4, "big")

    files = {"purse/purse": sealed_1(purse.papers.raw)}
    for entry in purse.entries:
        files[f"purse/entry.{entry.counter:08x}"] = sealed_1(entry.raw)
    path = image_of(tmp_path, purse, files)
    path.write_bytes(path.read_bytes()[: FILES.end])
    assert stored_records(path.read_bytes()) == []
    rescue = read(path)
    assert [entry.raw for entry in rescue.entries] == [entry.raw for entry in purse.entries]
    assert not any("cannot be mounted" in line for line in rescue.unreadable)
    town.bank.rescue(rescue)
    assert town.wallet("cafe") == 400
