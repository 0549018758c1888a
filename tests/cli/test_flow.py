# SPDX-License-Identifier: Apache-2.0
"""From nothing to a settled sale, on the command line alone, on a real MicroPython."""

from __future__ import annotations

from tests.cli.conftest import Shell

PIN = "2580"


def bank_and_card(qalta: Shell) -> None:
    """A bank with a client and a merchant, a loaded card, and a till."""
    qalta.good("bank", "found", "mybank")
    qalta.good("bank", "client", "add", "mybank", "asel", "Asel", "--bank=bank-a", "--kyc=K1")
    qalta.good("bank", "merchant", "add", "mybank", "shop", "Abai", "--bank=bank-b", "--kyc=K2")
    qalta.good("bank", "open-books", "mybank", "bank-a", "--correspondent", "100000")
    qalta.good("bank", "issue", "mybank", "bank-a", "50000")
    qalta.good("bank", "deposit", "mybank", "asel", "20000")
    card = ("--card", "board:alice", "--bank", "mybank", "--bank-name", "bank-a")
    assert "/dev/" in qalta.good("board", "start", "alice")
    assert "blank" in qalta.good("card", "info", "--card", "board:alice")
    assert "PUK" in qalta.good("card", "personalise", *card, "--client", "asel", pin=PIN)
    assert "5 000,00 ₸" in qalta.good("card", "load", "5000", *card, pin=PIN)
    qalta.good("bank", "till", "mybank", "shop", "package")
    qalta.good("pos", "init", "till", "package")


def test_a_sale_from_nothing_to_the_books(qalta: Shell) -> None:
    bank_and_card(qalta)
    receipt = qalta.good("pos", "sell", "1250.50", "--card", "board:alice")
    assert "PAID, awaiting synchronisation" in receipt

    # Pulling the power changes nothing for the money.
    qalta.good("board", "kill", "alice")
    qalta.good("board", "start", "alice")
    assert "3 749,50 ₸" in qalta.good("card", "balance", "--card", "board:alice", pin=PIN)

    # By USB stick: the bundle is verified by the root's key alone, then settled, twice the same.
    assert "1 in it" in qalta.good("pos", "bundle", "day.bundle")
    qalta.good("bank", "root", "mybank", "root.pub")
    assert "token: 1 250,50 ₸" in qalta.good("verify", "day.bundle", "--root", "root.pub")
    for _ in range(2):
        assert "synchronised" in qalta.good("bank", "import", "mybank", "day.bundle")
    told = qalta.good("bank", "balances", "mybank")
    assert "1 250,50 ₸" in told
    assert "whole" in told
    assert "clean" in qalta.good("bank", "audit", "mybank")

    # One payment's tokens, for whoever doubts it.
    qalta.good("pos", "token", "1", "one.token")
    assert "token: 1 250,50 ₸" in qalta.good("verify", "one.token", "--root", "root.pub")
    assert "2" in qalta.bad("pos", "token", "2", "two.token")

    spoiled = bytearray((qalta.folder / "day.bundle").read_bytes())
    spoiled[-100] ^= 1
    (qalta.folder / "spoiled.bundle").write_bytes(spoiled)
    assert "not to be believed" in qalta.bad("verify", "spoiled.bundle", "--root", "root.pub")


def test_refusals_on_the_way(qalta: Shell) -> None:
    bank_and_card(qalta)
    sell = ("pos", "sell", "--card", "board:alice")
    assert "Not enough money" in qalta.bad(*sell, "6000")
    assert "wrong PIN, 2 tries left" in qalta.bad(
        "card", "balance", "--card", "board:alice", pin="0000"
    )
    unblocked = qalta.good("card", "change-pin", "--card", "board:alice", typed="2580\n13579\n")
    assert "new PIN" in unblocked
    assert "wrong PIN, 2 tries left" in qalta.bad(
        "card", "change-pin", "--card", "board:alice", typed="2580\n2580\n"
    )
    qalta.good("card", "change-pin", "--card", "board:alice", typed=f"13579\n{PIN}\n")
    assert "wrong PUK, 9 tries left" in qalta.bad(
        "card", "unblock", "--card", "board:alice", typed="00000000\n2580\n"
    )
    assert "a PIN has 4 to 12 digits" in qalta.bad(
        "card", "balance", "--card", "board:alice", pin="12x4"
    )
    again = ("card", "personalise", "--card", "board:alice", "--bank", "mybank")
    assert "not in a state that allows this" in qalta.bad(
        *again, "--bank-name", "bank-a", "--client", "asel", pin=PIN
    )
    assert "already" in qalta.bad("board", "start", "alice")
    assert "There is a till in" in qalta.bad("pos", "init", "till", "package")
    told = qalta.good("card", "balance", "--card", "board:alice", pin=PIN)
    assert "5 000,00 ₸" in told, "nothing was lost"
