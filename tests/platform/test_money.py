# SPDX-License-Identifier: Apache-2.0
"""Amounts as people write them (reliability case B11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_bridge.money import MAX_TIYN, AmountError, format_tiyn, parse_tiyn


@pytest.mark.parametrize(
    ("text", "tiyn"),
    [
        ("0", 0),
        ("12500", 1_250_000),
        ("12500.5", 1_250_050),
        ("12500.50", 1_250_050),
        ("12 500,50", 1_250_050),
        ("12\u00a0500,50 ₸", 1_250_050),
        (" 1 ", 100),
        ("0,01", 1),
        ("42949672.95", MAX_TIYN),
    ],
)
def test_amounts(text: str, tiyn: int) -> None:
    assert parse_tiyn(text) == tiyn


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1.234",
        "1.",
        ".5",
        "1e3",
        "1_000",
        "12 50",
        "1  000",
        "1,000.50",
        "٣",
        "１２",
        "²",
        "0x10",
        "NaN",
        "42949672.96",
        "9" * 40,
        "1\n2",
        "₸",
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(AmountError) as caught:
        parse_tiyn(text)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 120


def test_formatting() -> None:
    assert format_tiyn(1_250_000) == "12 500,00 ₸"
    assert format_tiyn(5) == "0,05 ₸"
    assert format_tiyn(-150) == "-1,50 ₸"


@given(st.integers(0, MAX_TIYN))
def test_what_is_printed_can_be_typed(tiyn: int) -> None:
    assert parse_tiyn(format_tiyn(tiyn)) == tiyn
