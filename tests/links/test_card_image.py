# SPDX-License-Identifier: Apache-2.0
"""The real card's image: boots on both interpreters, and outlives a change of its firmware."""

import csv
import tomllib
from pathlib import Path

import pytest

from boards.VIRTUAL import board as board_module
from boards.VIRTUAL.board import VirtualBoard
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import (
    BLOCK_SIZE,
    DEFAULT_BLOCKS,
    build_image,
    list_files,
    read_file,
    refresh_firmware,
)

FOLDER = Path(board_module.__file__).parent


@pytest.mark.parametrize("bits", [64, 32])
def test_the_card_boots_before_and_after_a_refresh(tmp_path: Path, bits: int) -> None:
    image, log = tmp_path / "card.img", tmp_path / "log"
    build_image(image)
    code = set(list_files(image))
    for _ in range(2):
        with VirtualTransport(VirtualBoard(image, bits=bits, log=log)) as card:
            assert card.hello == "qalta-card 1"
            assert len(card.transmit(bytes.fromhex("00a4040007f051414c544101"))) >= 2
        kept = {name: read_file(image, name) for name in set(list_files(image)) - code}
        refresh_firmware(image)
        assert set(list_files(image)) == code | kept.keys()
        assert {name: read_file(image, name) for name in kept} == kept
    assert log.read_text() == ""


def test_two_builds_one_image(tmp_path: Path) -> None:
    """P07."""
    build_image(tmp_path / "a.img")
    build_image(tmp_path / "b.img")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()


def test_the_board_is_what_its_description_says() -> None:
    described = tomllib.loads((FOLDER / "board.toml").read_text())
    heaps = {int(bits): kib for bits, kib in described["heap_kib"].items()}
    assert heaps == board_module.HEAP_KIB
    assert described["flash"]["block_size"] == BLOCK_SIZE
    assert described["flash"]["blocks"] == DEFAULT_BLOCKS
    (partition,) = list(csv.reader((FOLDER / "partitions.csv").read_text().splitlines()[1:]))
    assert int(partition[3], 16) == 0
    assert int(partition[4], 16) == BLOCK_SIZE * DEFAULT_BLOCKS
