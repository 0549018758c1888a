# SPDX-License-Identifier: Apache-2.0
"""`qalta pos` sells through a PC/SC reader, in processes of its own, as a shop runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from host_bridge.transport.serial_link import SerialTransport
from tests.cli.conftest import Shell
from tests.cli.test_flow import PIN, bank_and_card
from tests.doubles.pn532_isodep_card import IsoDepCard
from tests.pcsc.reader_rig import ReaderRig
from tests.pcsc.vpcd import Tear, VpcdCard, VpcdSlot

TILL_TORN = 3  # exit code


@pytest.fixture
def shop(tmp_path: Path, micropython: Path) -> Iterator[Shell]:
    """A bank, a till, and a personalised card on the board `alice`."""
    shell = Shell(tmp_path)
    try:
        bank_and_card(shell)
        yield shell
    finally:
        shell("board", "stop", "alice")


def test_sold_torn_and_recovered_over_pcsc(shop: Shell, vpcd: tuple[VpcdSlot, VpcdSlot]) -> None:
    """T02, I3: the card's balance is read over PC/SC too, and shows each sale once."""
    port = (shop.folder / "home" / "boards" / "alice" / "port").readlink()
    card = VpcdCard(lambda: SerialTransport(str(port)), vpcd[0])
    sell = ("pos", "sell", "1250.50", "--card")
    assert "say which by its number: 1 Virtual PCD" in shop.bad(*sell, "pcsc")
    with card:
        assert "PAID, awaiting synchronisation" in shop.good(*sell, "pcsc:00 00")
    card.insert(Tear(2, True))
    torn = shop(*sell, "pcsc:1")
    assert torn.returncode == TILL_TORN
    assert "Hold the card again: 'qalta pos recover 3'" in torn.stderr
    card.wait_until_out()
    with card:
        assert "PAID" in shop.good("pos", "recover", "3", "--card", "pcsc:virtual pcd 00 00")
        balance = shop("--traffic", "card", "balance", "--card", "pcsc:1", pin=PIN)
        assert "2 499,00 ₸" in balance.stdout, "5,000 less two sales"
        assert "00200081 [withheld] VERIFY" in balance.stderr
        assert PIN.encode().hex() not in balance.stdout + balance.stderr, "P04"


def test_sold_through_our_reader(shop: Shell) -> None:
    """The card lies on the PN532 of a reader whose firmware runs in MicroPython."""
    port = (shop.folder / "home" / "boards" / "alice" / "port").readlink()
    with ReaderRig(shop.folder / "rig") as rig:
        sell = ("pos", "sell", "1250.50", "--card", "pcsc:qalta", "--wait")
        assert "There is no card in the reader Qalta Reader" in shop.bad(*sell, "0.1")
        with SerialTransport(str(port)) as card:
            rig.lay(IsoDepCard(card))
            assert "PAID, awaiting synchronisation" in shop.good(*sell, "20")
            balance = shop.good("card", "balance", "--card", "pcsc:qalta", pin=PIN)
            assert "3 749,50 ₸" in balance, "5,000 less a sale"
