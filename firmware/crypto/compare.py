# SPDX-License-Identifier: Apache-2.0
"""Comparison of MACs and PINs in a time that does not depend on where they differ."""


def equal(a: bytes, b: bytes) -> bool:
    """Whether two byte strings are the same. Only a difference in length is told early."""
    if len(a) != len(b):
        return False
    difference = 0
    for index in range(len(a)):
        difference |= a[index] ^ b[index]
    return difference == 0
