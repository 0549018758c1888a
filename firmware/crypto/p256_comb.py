# SPDX-License-Identifier: Apache-2.0
"""Lim-Lee combs of signed teeth: multiples of a point that is known beforehand.

An odd scalar k is a sum of +2^i and -2^i over all i below the comb's length: bit i of
(k + 2^length - 1) / 2 tells the sign. The comb has a tooth at every `columns`-th bit, so one look
takes as many signs as there are teeth; and it has a block of table for each `steps` columns, so
that a ladder doubles steps - 1 times only. Signs in place of bits 0 and 1 halve the table (a
negated point is free) and make every column one addition, whatever the scalar.
"""

from firmware.crypto import p256_table_high, p256_table_low
from firmware.crypto.p256_curve import ORDER, P

_ENTRY_SIZE = 64
_LANES = 8


class Comb:
    """The multiples of one point."""

    def __init__(self, teeth: int, columns: int, steps: int, blocks: "tuple[bytes, ...]") -> None:
        """Takes at most eight teeth, and a block for each `steps` columns.

        Entry j of block b, at 64 * j, is x || y of 2^(b * steps) times the sum over the teeth t of
        2^(t * columns) * point: plus for the highest tooth, and for a lower one if bit t of j is
        set, and minus otherwise.
        """
        self.teeth = teeth
        self.columns = columns
        self.steps = steps
        self.blocks = blocks
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

    def points(self, digits: bytes, step: int) -> "list[tuple[int, int]]":
        """The affine points that a step of the ladder adds: from each block one, if any."""
        points: list[tuple[int, int]] = []
        if step >= self.steps:
            return points
        entries = 1 << (self.teeth - 1)
        for column in range(step, self.columns, self.steps):
            # The table has the digits whose highest tooth is plus; the others are their
            # negatives.
            digit = digits[column]
            index = digit - entries if digit >= entries else entries - 1 - digit
            block = self.blocks[column // self.steps]
            start = index * _ENTRY_SIZE
            x = int.from_bytes(block[start : start + 32], "big")
            y = int.from_bytes(block[start + 32 : start + 64], "big")
            points.append((x, y if digit >= entries else P - y))
        return points


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
