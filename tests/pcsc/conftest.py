# SPDX-License-Identifier: Apache-2.0
"""pcscd with vsmartcard's two virtual slots, and MicroPython cards to put into them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from host_bridge.demo.cards import BoardCard
from host_bridge.session.purse import PurseSession
from provisioning.image import build_image
from tests.doubles.desk import Desk
from tests.pcsc.service import PcscService, point_clients_here, vpcd_reader
from tests.pcsc.vpcd import VpcdCard, VpcdSlot, free_port_pair

BALANCE_TIYN = 1_000_000


@pytest.fixture(autouse=True)
def _own_pcscd() -> None:
    """No test here asks the pcscd that the machine may run."""
    point_clients_here()


@pytest.fixture
def unused_pair() -> int:
    """A TCP port that nobody uses, nor the one behind it: for vsmartcard's two slots."""
    return free_port_pair()


@pytest.fixture
def vpcd(tmp_path: Path, unused_pair: int) -> Iterator[tuple[VpcdSlot, VpcdSlot]]:
    """The two slots of a virtual reader that pcscd has; both are empty."""
    with PcscService(tmp_path / "pcscd", [vpcd_reader(unused_pair)]):
        yield (
            VpcdSlot("Virtual PCD 00 00", unused_pair),
            VpcdSlot("Virtual PCD 00 01", unused_pair + 1),
        )


@dataclass(frozen=True)
class IssuedBoard:
    """The flash image of a card with 10,000 tenge, to be copied, and the desk that issued it."""

    desk: Desk
    image: Path

    def card(self, folder: Path, name: str = "card") -> BoardCard:
        """A board on a copy of the image; it is off."""
        image = folder / f"{name}.img"
        shutil.copyfile(self.image, image)
        return BoardCard(image, 64)


@pytest.fixture(scope="session")
def issued_board(tmp_path_factory: pytest.TempPathFactory, micropython: Path) -> IssuedBoard:
    """Made once by the real MicroPython; it is copied, never used."""
    desk = Desk()
    image = tmp_path_factory.mktemp("issued") / "card.img"
    build_image(image)
    board = BoardCard(image, 64)
    try:
        with board.open() as card:
            desk.personalise(card)
            card.reset()
            session = PurseSession(card)
            session.select()
            desk.load(session, BALANCE_TIYN)
    finally:
        board.close()
    return IssuedBoard(desk, image)


@pytest.fixture
def slotted(
    issued_board: IssuedBoard, vpcd: tuple[VpcdSlot, VpcdSlot], tmp_path: Path
) -> Iterator[VpcdCard]:
    """A MicroPython card for the first slot; torn out, it loses its power too."""
    board = issued_board.card(tmp_path)
    card = VpcdCard(board.open, vpcd[0], power_cut=board.cut_power)
    try:
        yield card
        card.pull()
    finally:
        board.close()
