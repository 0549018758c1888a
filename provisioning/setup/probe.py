# SPDX-License-Identifier: Apache-2.0
"""Run by a MicroPython interpreter: does it have all that a card needs?

Prints `ok`, the width of a machine word in bits and the version on one line; what is missing
shows as an ImportError or a sentence, and the exit code is not zero.
"""

import binascii
import hashlib
import os
import select
import sys

import cryptolib
import ffi
import uctypes
import vfs

# The ROM file system, from which a card executes its firmware in place, came with 1.25.
_MIN_VERSION = (1, 25)
_SMALL_INT_BITS_32 = 31


def check() -> str:
    """Use each thing once and return the line to print."""
    if sys.implementation.name != "micropython":
        raise SystemExit("this is not MicroPython")
    if sys.implementation.version[:2] < _MIN_VERSION:
        raise SystemExit("older than 1.25")
    for system in ("VfsLfs2", "VfsRom"):
        if not hasattr(vfs, system):
            raise SystemExit(f"built without {system}")
    if not (hasattr(ffi, "open") and hasattr(uctypes, "bytearray_at")):
        raise SystemExit("built without what maps a file into memory (ffi, uctypes)")
    if not hasattr(cryptolib.aes(bytes(16), 1), "encrypt"):
        raise SystemExit("built without AES (cryptolib)")
    if len(hashlib.sha256(b"").digest()) != 32 or len(os.urandom(4)) != 4:
        raise SystemExit("SHA-256 or os.urandom does not work")
    if binascii.crc32(b"123456789") != 0xCBF43926:
        raise SystemExit("binascii.crc32 does not work")
    select.poll()
    bits = 32 if sys.maxsize < 1 << _SMALL_INT_BITS_32 else 64
    return "ok {} {}.{}.{}".format(bits, *sys.implementation.version[:3])


if __name__ == "__main__":
    print(check())
