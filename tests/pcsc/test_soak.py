# SPDX-License-Identifier: Apache-2.0
"""Payments in a row through our reader, pcscd and libccid: nothing grows, and none is lost."""

from __future__ import annotations

from pathlib import Path

from tests.pcsc.soak import soak

TAPS = 200
_FEW_FILES = 2  # a connection that pcscd is just letting go
_LITTLE_KIB = 2_000  # a page here and there; the doubles remember what they were asked


def test_payments_in_a_row(tmp_path: Path, micropython: Path) -> None:
    """`python -m tests.pcsc.soak 10000` is the same, for longer."""
    told = soak(TAPS, tmp_path)
    print("\n".join(told.lines()))
    assert len(told.pay_ms) == TAPS
    for program in told.watched:
        assert program.more_files <= _FEW_FILES, f"{program.name} leaves files open"
        assert program.grown_kib <= _LITTLE_KIB, f"{program.name} grows"
