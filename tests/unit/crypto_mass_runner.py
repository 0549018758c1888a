# SPDX-License-Identifier: Apache-2.0
"""Run many ECDSA cases, under MicroPython and CPython alike: the arguments are files of cases.

A case is a line of words in hex: `sign PRIVATE_KEY DIGEST SIGNATURE`, `public PRIVATE_KEY
PUBLIC_KEY`, `base SCALAR PUBLIC_KEY` for the bare ladder, or `verify` or `prepared` with
PUBLIC_KEY DIGEST SIGNATURE and 1 or 0. Prints what failed and exits with 1, or how many passed.
"""

import sys

sys.path.insert(0, ".")

from firmware.crypto import p256, p256_ladder


class Runner:
    """Keeps the last prepared key: cases of one key stand in a row."""

    def __init__(self):
        self.key = b""
        self.prepared = None

    def passes(self, name, words):
        """Whether one case gives what it should."""
        data = [bytes.fromhex(word) for word in words[:3]]
        if name == "sign":
            return p256.sign(data[0], data[1]) == data[2]
        if name == "public":
            return p256.public_key(data[0]) == data[1]
        if name == "base":
            x, y = p256_ladder.multiply_base(int.from_bytes(data[0], "big"))
            return x.to_bytes(32, "big") + y.to_bytes(32, "big") == data[1]
        if name == "prepared":
            if data[0] != self.key:
                self.prepared = p256.prepare(data[0])
                self.key = data[0]
            return self.prepared.verify(data[1], data[2]) == (words[3] == "1")
        return p256.verify(data[0], data[1], data[2]) == (words[3] == "1")


def main(paths):
    """Run every case of the files; the exit code."""
    runner = Runner()
    passed = 0
    failed = 0
    for path in paths:
        with open(path) as file:
            for line in file:
                words = line.split()
                if runner.passes(words[0], words[1:]):
                    passed += 1
                else:
                    failed += 1
                    print("fails:", line.strip())
    print(passed, "cases passed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
