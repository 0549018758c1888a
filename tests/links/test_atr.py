# SPDX-License-Identifier: Apache-2.0
"""What a card's answer to reset offers, and answers that are none (ISO 7816-3 and -4)."""

from __future__ import annotations

import pytest

from host_bridge.transport.atr import (
    AtrError,
    historical_bytes,
    offers_chaining,
    offers_extended_length,
)

# Answers of cards that people have; the last bytes of each are as printed by pcsc_scan's list.
CARDS = {
    "contactless, no historical bytes": ("3b80800101", "", False, False),
    "YubiKey 5 NFC": ("3bfd1300008131fe158073c021c057597562694b657940", None, True, True),
    "OpenPGP card 2.1": ("3bda18ff81b1fe751f030031c573c001400590000c", None, True, False),
    "T=0 alone": ("3b00", "", False, False),
    "inverse convention": ("3f00", "", False, False),
    "capabilities of two bytes": ("3b0480720000", "80720000", False, False),
}


@pytest.mark.parametrize("name", CARDS)
def test_offers(name: str) -> None:
    text, historical, extended, chaining = CARDS[name]
    atr = bytes.fromhex(text)
    if historical is not None:
        assert historical_bytes(atr) == bytes.fromhex(historical)
    assert (offers_extended_length(atr), offers_chaining(atr)) == (extended, chaining)


def test_interface_bytes_are_passed_over() -> None:
    """TA1 TB1 TC1 TD1, TD2, TA3 TB3 TC3, then three historical bytes."""
    atr = bytes.fromhex("3bf3" + "11223380" + "80" + "71" + "445566" + "aabbcc" + "00")
    assert historical_bytes(atr) == bytes.fromhex("aabbcc")


@pytest.mark.parametrize(
    "text", ["", "3b", "0000", "3b85", "3bf0", "3b80", "3b808080", "3b0100" + "00" * 40]
)
def test_bytes_that_are_no_answer_to_reset(text: str) -> None:
    atr = bytes.fromhex(text)
    if text == "3b808080":
        atr = bytes.fromhex("3b80" + "80" * 31)  # each byte announces one more
    with pytest.raises(AtrError):
        historical_bytes(atr)


def test_no_bytes_break_it() -> None:
    """Every first three bytes, with anything behind them: an answer, or AtrError."""
    for first in range(0x10000):
        atr = b"\x3b" + first.to_bytes(2, "big") + b"\x80\x73\x00\x00\xc0"
        try:
            offers_extended_length(atr)
        except AtrError:
            continue
