# SPDX-License-Identifier: Apache-2.0
"""Lim-Lee combs of signed teeth: multiples of a point that is known beforehand.

An odd scalar k is a sum of +2^i and -2^i over all i below the comb's length: bit i of
(k + 2^length - 1) / 2 tells the sign. The comb has a tooth at every `columns`-th bit, so one look
takes as many signs as there are teeth; and it has a block of table for each `steps` columns, so
that a ladder doubles steps - 1 times only. Signs in place of bits 0 and 1 halve the table (a
negated point is free) and make every column one addition, whatever the scalar.
"""

from firmware.crypto import p256_table_high, p256_table_low
from firmware.crypto.p256_curve import ORDER

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ENTRY_SIZE = 64
_LANES = 8


class Comb:
    """The multiples of one point."""

    def __init__(
        self, teeth: int, columns: int, steps: int, blocks: "tuple[bytes, ...]", kept: bool = False
    ) -> None:
        """Takes at most eight teeth, and a block for each `steps` columns.

        Entry j of block b, at 64 * j, is x || y of 2^(b * steps) times the sum over the teeth t of
        2^(t * columns) * point: plus for the highest tooth, and for a lower one if bit t of j is
        set, and minus otherwise. `kept` says that x and y are in the engine's own form.
        """
        self.teeth = teeth
        self.columns = columns
        self.steps = steps
        self.blocks = blocks
        self.kept = kept
        self.length = teeth * columns

    def recode(self, scalar: int) -> bytes:
        """The digits of a scalar in [0, 2^length), a byte a column: bit t is tooth t's sign."""
        odd = scalar if scalar & 1 else scalar - ORDER
        signs = (odd + (1 << self.length) - 1) >> 1
        size = (self.columns + 7) >> 3
        mask = (1 << self.columns) - 1
        rows = b""
        for _ in range(self.teeth):
            rows += (signs & mask).to_bytes(size, "little")
            signs >>= self.columns
        rows += bytes(size * (_LANES - self.teeth))
        return _transposed(rows, size)[: self.columns]

    def entries(
        self, digits: bytes, step: int, take: "Callable[[bytes, int, int, bool], Any]"
    ) -> "list[Any]":
        """What a step of the ladder adds: what `take` gives of each block, if it has a column."""
        found: "list[Any]" = []
        if step >= self.steps:
            return found
        half = 1 << (self.teeth - 1)
        for block in self.blocks:
            if step < self.columns:
                # The table has the digits whose highest tooth is plus; the others are their
                # negatives.
                digit = digits[step]
                if digit >= half:
                    found.append(take(block, (digit - half) * _ENTRY_SIZE, 1, self.kept))
                else:
                    found.append(take(block, (half - 1 - digit) * _ENTRY_SIZE, -1, self.kept))
            step += self.steps
        return found


def _transposed(rows: bytes, size: int) -> bytes:
    """Eight rows of `size` bytes of bits to 8 * size columns of eight bits.

    All squares of eight by eight are turned at once: single bits, then squares of two by two and
    four by four change places across their diagonal.
    """
    squares = bytes([rows[row * size + square] for square in range(size) for row in range(_LANES)])
    bits = int.from_bytes(squares, "little")
    ones = ((1 << 64 * size) - 1) // ((1 << 64) - 1)
    swap = (bits ^ bits >> 7) & ones * 0x00AA00AA00AA00AA
    bits ^= swap ^ swap << 7
    swap = (bits ^ bits >> 14) & ones * 0x0000CCCC0000CCCC
    bits ^= swap ^ swap << 14
    swap = (bits ^ bits >> 28) & ones * 0x00000000F0F0F0F0
    bits ^= swap ^ swap << 28
    return bits.to_bytes(8 * size, "little")


# Long enough for a scalar of 256 bits that is blinded by 63 bits times the order.
BASE = Comb(8, 40, 20, (p256_table_low.BLOCK, p256_table_high.BLOCK))
