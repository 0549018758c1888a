# SPDX-License-Identifier: Apache-2.0
"""Multiples of the base point with a Lim-Lee comb of signed teeth.

An odd scalar k is a sum of +2^i and -2^i over all i below LENGTH: bit i of (k + 2^LENGTH - 1) / 2
tells the sign. The comb has a tooth at every COLUMNS-th bit, so one look takes TEETH signs, and a
block of table for each STEPS columns, so the ladder doubles STEPS - 1 times only. Signs in place
of bits 0 and 1 halve the table (a negated point is free) and make every column one addition,
whatever the secret.
"""

from firmware.crypto.p256_curve import ORDER, P
from firmware.crypto.p256_table import BLOCKS

TEETH = 7
COLUMNS = 37
STEPS = 19
LENGTH = TEETH * COLUMNS

_ENTRIES = 1 << (TEETH - 1)
_ENTRY_SIZE = 64


def recode(scalar: int) -> bytes:
    """The comb's digits of a scalar in [0, ORDER), one byte a column: bit t is tooth t's sign."""
    odd = scalar if scalar & 1 else scalar - ORDER
    signs = (odd + (1 << LENGTH) - 1) >> 1
    digits = bytearray(COLUMNS)
    for tooth in range(TEETH):
        row = signs >> tooth * COLUMNS & (1 << COLUMNS) - 1
        for column in range(COLUMNS):
            digits[column] |= (row & 1) << tooth
            row >>= 1
    return bytes(digits)


def base_multiple(digits: bytes, column: int) -> tuple[int, int]:
    """The affine point that a column adds; the ladder's step is column % STEPS."""
    digit = digits[column]
    positive = digit >= _ENTRIES
    # The table has the digits whose highest tooth is plus; the others are their negatives.
    entry = digit - _ENTRIES if positive else _ENTRIES - 1 - digit
    block = BLOCKS[column // STEPS]
    start = entry * _ENTRY_SIZE
    x = int.from_bytes(block[start : start + 32], "big")
    y = int.from_bytes(block[start + 32 : start + 64], "big")
    return x, y if positive else P - y
