# SPDX-License-Identifier: Apache-2.0
"""A board that answers no more, and a till that never syncs: on the command line alone."""

from __future__ import annotations

from tests.cli.conftest import Shell
from tests.cli.test_flow import bank_and_card

PIN = "2580"


def test_the_flash_of_a_dead_board_pays_the_merchant(qalta: Shell) -> None:
    bank_and_card(qalta)
    qalta.good("pos", "sell", "1250.50", "--card", "board:alice")
    told = qalta.bad("card", "rescue", "early.rescue", "--card", "board:alice", pin=PIN)
    assert "This card is in order" in told
    qalta.good("board", "kill", "alice")
    image = qalta.folder / "home" / "boards" / "alice" / "flash.img"
    before = image.read_bytes()
    told = qalta.good("card", "rescue", "alice.rescue", "--image", image)
    assert "3 stored records" in told
    assert "Unreadable" not in told
    assert image.read_bytes() == before
    for state in ("settled", "known already"):
        told = qalta.good("bank", "rescue", "mybank", "alice.rescue")
        assert f"Found 1 payments: {state} 1 250,50 ₸." in told
        assert "Left on this purse: 3 749,50 ₸" in told
    told = qalta.good("bank", "balances", "mybank")
    assert "1 250,50 ₸" in told and "whole" in told
    assert "clean" in qalta.good("bank", "audit", "mybank")

    # The till comes after all: its merchant is paid once.
    qalta.good("pos", "bundle", "day.bundle")
    assert "synchronised" in qalta.good("bank", "import", "mybank", "day.bundle")
    assert "1 250,50 ₸" in qalta.good("bank", "balances", "mybank")
