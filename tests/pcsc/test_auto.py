# SPDX-License-Identifier: Apache-2.0
"""`--card auto`: the only card within reach, at a port or in a reader; never one of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_bridge.demo.cards import BoardCard
from host_bridge.session.purse import PurseSession
from host_bridge.transport import open as opening
from host_bridge.transport.base import TransportError
from host_bridge.transport.open import open_transport
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.ports import Candidate
from host_bridge.transport.serial_link import SerialTransport
from provisioning.image import build_image
from tests.pcsc.test_pcsc_transport import Slots, echo


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """The ports that may be asked: none, whatever the machine has, until a test adds one."""
    ports: list[Candidate] = []
    monkeypatch.setattr(opening, "candidates", lambda: ports)
    return ports


def test_no_card_at_all(vpcd: Slots) -> None:
    with pytest.raises(TransportError, match=r"No card is within reach"):
        open_transport("auto")


def test_the_only_card_is_in_a_reader(vpcd: Slots) -> None:
    with echo(vpcd[1]), open_transport("auto") as card:
        assert isinstance(card, PcscTransport)
        assert card.reader == vpcd[1].name


def test_the_only_card_is_at_a_port(
    plugged: list[Candidate], tmp_path: Path, micropython: Path
) -> None:
    """Without pcscd, which is no error here."""
    image = tmp_path / "card.img"
    build_image(image)
    board = BoardCard(image, 64)
    try:
        with board.open() as card:
            assert isinstance(card, SerialTransport)
            plugged.append(Candidate(card.port, "CP2102"))
        with open_transport("auto") as card:
            assert PurseSession(card).select().protocol == 1
    finally:
        board.close()


def test_two_cards_are_not_chosen_from(vpcd: Slots) -> None:
    with echo(vpcd[0]), echo(vpcd[1]), pytest.raises(TransportError) as caught:
        open_transport("auto")
    assert str(caught.value) == (
        "Several cards are within reach, say which: pcsc:Virtual PCD 00 00, "
        "pcsc:Virtual PCD 00 01."
    )
