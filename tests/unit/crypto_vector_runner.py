# SPDX-License-Identifier: Apache-2.0
"""Walk the vectors of `firmware.crypto`, under MicroPython and CPython alike.

A vector file is a JSON list with one vector a line, so that a small heap never holds the whole:
{"id", "comment", "flags", "input", "result"}. `input` names the function and its arguments, byte
strings in hex. `result` is what it returns, bytes in hex, or the name of the exception.

As a program: the arguments are vector files; prints what failed and exits with 1, or how many
passed.
"""

import binascii
import json
import sys

sys.path.insert(0, ".")

from firmware.crypto import aes, cmac, compare, hkdf, hmac, p256

FUNCTIONS = {
    "aes.cbc_decrypt": aes.cbc_decrypt,
    "aes.cbc_encrypt": aes.cbc_encrypt,
    "aes.decrypt_block": aes.decrypt_block,
    "aes.encrypt_block": aes.encrypt_block,
    "cmac.aes_cmac": cmac.aes_cmac,
    "compare.equal": compare.equal,
    "hkdf.hkdf_sha256": hkdf.hkdf_sha256,
    "hmac.hmac_sha256": hmac.hmac_sha256,
    "p256.on_curve": p256.on_curve,
    "p256.public_key": p256.public_key,
    "p256.sign": p256.sign,
    "p256.verify": p256.verify,
}


def vectors(path):
    """The vectors of a file, one at a time."""
    with open(path) as file:
        for line in file:
            line = line.strip().rstrip(",")
            if line.startswith("{"):
                yield json.loads(line)


def outcome(vector, functions=FUNCTIONS):
    """What the function of a vector does, in the form of the vector's `result`."""
    arguments = {}
    for name, value in vector["input"].items():
        if name != "function":
            arguments[name] = bytes.fromhex(value) if isinstance(value, str) else value
    try:
        result = functions[vector["input"]["function"]](**arguments)
    except ValueError:
        return "ValueError"
    # Not `result.hex()`, which gives b"" for no bytes on MicroPython.
    return binascii.hexlify(result).decode() if isinstance(result, bytes) else result


def main(paths):
    """Run every vector of the files; the exit code."""
    passed = 0
    failed = 0
    for path in paths:
        for vector in vectors(path):
            found = outcome(vector)
            if found == vector["result"]:
                passed += 1
            else:
                failed += 1
                print(path, vector["id"], vector["comment"], "gives", found)
    print(passed, "vectors passed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
