# SPDX-License-Identifier: Apache-2.0
"""The virtual board's flash as a block device: MicroPython's file is plain enough for CPython."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.VIRTUAL.flash import FlashFile

BLOCK = 4096
OFFSET, LENGTH = 2 * BLOCK, 4 * BLOCK
SHUTDOWN, SYNC, COUNT, SIZE, ERASE = 2, 3, 4, 5, 6


@pytest.fixture
def flash(tmp_path: Path) -> Iterator[FlashFile]:
    path = tmp_path / "flash.img"
    path.write_bytes(b"a" * OFFSET + bytes(LENGTH) + b"z" * BLOCK)
    device = FlashFile(str(path), OFFSET, LENGTH)
    yield device
    assert device.ioctl(SHUTDOWN, 0) == 0
    content = path.read_bytes()  # the neighbours are as they were
    assert (content[:OFFSET], content[-BLOCK:]) == (b"a" * OFFSET, b"z" * BLOCK)
    assert len(content) == OFFSET + LENGTH + BLOCK


def read(flash: FlashFile, block: int, length: int, offset: int = 0) -> bytes:
    buffer = bytearray(length)
    flash.readblocks(block, buffer, offset)
    return bytes(buffer)


def test_program_read_and_erase(flash: FlashFile, tmp_path: Path) -> None:
    assert (flash.ioctl(COUNT, 0), flash.ioctl(SIZE, 0)) == (4, BLOCK)
    assert flash.ioctl(ERASE, 2) == 0
    assert read(flash, 2, BLOCK) == b"\xff" * BLOCK
    flash.writeblocks(2, b"money", 100)
    assert read(flash, 2, 7, 99) == b"\xffmoney\xff"
    assert read(flash, 1, BLOCK) == read(flash, 3, BLOCK) == bytes(BLOCK)
    flash.writeblocks(1, b"new")
    assert read(flash, 1, 5) == b"new\xff\xff"  # without an offset the block is erased first
    assert flash.ioctl(SYNC, 0) == 0
    assert (tmp_path / "flash.img").read_bytes()[OFFSET + 2 * BLOCK + 100 :][:5] == b"money"
    assert flash.ioctl(99, 0) is None


@pytest.mark.parametrize(("block", "offset"), [(4, 0), (3, BLOCK - 3), (-1, 0), (0, -1)])
def test_outside_the_partition(flash: FlashFile, block: int, offset: int) -> None:
    with pytest.raises(OSError, match="5"):
        flash.writeblocks(block, b"1234", offset)
    with pytest.raises(OSError, match="5"):
        flash.readblocks(block, bytearray(4), offset)


@pytest.mark.parametrize("block", [-1, 4])
def test_erasing_outside_the_partition(flash: FlashFile, block: int) -> None:
    with pytest.raises(OSError, match="5"):
        flash.ioctl(ERASE, block)
    with pytest.raises(OSError, match="5"):
        flash.writeblocks(block, bytes(BLOCK))


@pytest.mark.parametrize(
    ("offset", "size", "sentence"),
    [
        (0, 5 * BLOCK, "does not hold the partition"),
        (4 * BLOCK, BLOCK, "does not hold the partition"),
        (0, 0, "does not hold the partition"),
        (1, BLOCK, "whole number of blocks"),
        (0, BLOCK + 1, "whole number of blocks"),
    ],
)
def test_a_file_without_the_partition(
    tmp_path: Path, offset: int, size: int, sentence: str
) -> None:
    path = tmp_path / "odd.img"
    path.write_bytes(bytes(4 * BLOCK))
    with pytest.raises(ValueError, match=sentence):
        FlashFile(str(path), offset, size)
