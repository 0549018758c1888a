# SPDX-License-Identifier: Apache-2.0
"""A field machine for 32-bit boards: arithmetic modulo P on limbs, as viper code.

An element is 20 signed limbs of 13 bits in Montgomery form (times 2^260), in words of a memory
that is cut into slots of 32 words; the words above the limbs stay 0. A program is four bytes an
instruction: operation, target slot, and two source slots. A product's column is at most
20 * 2^26 and so fits a word with its sign; -1/P is 1 modulo 2^96, so a digit of the reduction
costs shifts and no multiplication. A sum is brought near to [0, P) by its bits from 2^256 up, so
that no chain of operations lets an element grow.

The code is text, which the board compiles once, when it starts: bytecode runs on every board from
one image, native code does not. The lines that repeat are written out here by a loop.
"""

import struct

try:
    import micropython
except ImportError:
    micropython = None

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any


# The parts of the code, in the order in which `source` puts the repeated lines between them.
_TEXT = (
    """
@micropython.viper
def run(t: ptr32, b: ptr32, w: ptr32, code: ptr8, left: int):
    while left:
        x = code[0]
        a = ptr32(int(w) + (code[2] << 7))
        b = ptr32(int(w) + (code[3] << 7))
        t = w
        if x > 1:
            y = (x & 15) - 8
            x >>= 4
            t = ptr32(int(t) + 80)
            bound = int(t) + 80
            while int(t) != bound:
                t[0] = a[0] * x + b[0] * y
                t[1] = a[1] * x + b[1] * y
                t = ptr32(int(t) + 8)
                a = ptr32(int(a) + 8)
                b = ptr32(int(b) + 8)
            t = ptr32(int(w) + 80)
            x = t[19] >> 9
            t[19] = t[19] & 511
            t[0] = t[0] + x
            t[7] = t[7] - (x << 5)
            t[14] = t[14] - (x << 10)
            t[17] = t[17] + (x << 3)
        else:
            bound = int(a) + 80
            if x:
                while int(a) != bound:
                    x0 = a[0]
                    x1 = a[1]
                    x2 = a[2]
                    x3 = a[3]
""",
    """                    t = ptr32(int(t) + 16)
                    a = ptr32(int(a) + 16)
            else:
                b = a
                while int(b) != bound:
                    x0 = b[0]
                    x1 = b[1]
                    t[0] = x0 * x0 + t[0]
                    x0 += x0
                    t[1] = x1 * x0 + t[1]
                    y0 = b[2]
                    t[2] = y0 * x0 + x1 * x1 + t[2]
                    x1 += x1
""",
    """                    if int(b) - bound < -40:
""",
    """                    t = ptr32(int(t) + 16)
                    b = ptr32(int(b) + 8)
            t = w
            bound = int(t) + 80
            while int(t) != bound:
                x = t[0]
                t[0] = 0
                t[1] = (x >> 13) + t[1]
                x &= 8191
                t[7] = (x << 5) + t[7]
                t[14] = (x << 10) + t[14]
                t[17] = t[17] - (x << 3)
                t[19] = (x << 9) + t[19]
                t = ptr32(int(t) + 4)
        b = ptr32(int(w) + (code[1] << 7))
        t = ptr32(int(w) + 80)
        bound = int(b) + 80
        x = 0
        while int(b) != bound:
""",
    """            x = (x >> 13) + t[%d]
            b[%d] = x & 8191
            t[%d] = 0
""",
    """            t = ptr32(int(t) + 16)
            b = ptr32(int(b) + 16)
        b = ptr32(int(b) - 4)
        b[0] = x
        code = ptr8(int(code) + 4)
        left -= 1

@micropython.viper
def load(w: ptr32, slot: int, data: ptr8):
    w = ptr32(int(w) + (slot << 7))
    bound = int(w) + 80
    x = 0
    bit = 0
    while int(w) != bound:
        while bit < 13:
            x |= data[0] << bit
            bit += 8
            data = ptr8(int(data) + 1)
        w[0] = x & 8191
        x >>= 13
        bit -= 13
        w = ptr32(int(w) + 4)
""",
)


def source() -> str:
    """The text of `run(w, w, w, program, instructions)` and of `load(w, slot, 33 bytes)`.

    A product takes four limbs of one factor at a time along the other, a square two; the limbs
    of the other that are needed again wait in local variables.
    """
    head, square, long, reduce, carry, tail = _TEXT
    row = " " * 20
    lines = [head]
    for k in range(23):
        if k < 20:
            lines.append("%sy%d = b[%d]\n" % (row, k & 3, k))
        terms = ["y%d * x%d" % (k - limb & 3, limb) for limb in range(4) if 0 <= k - limb < 20]
        lines.append("%st[%d] = %s + t[%d]\n" % (row, k, " + ".join(terms), k))
    lines.append(square)
    for k in range(3, 21):
        if k == 10 + 1:
            lines.append(long)
            row += "    "
        lines.append("%sy%d = b[%d]\n" % (row, k & 1, k))
        lines.append("%st[%d] = y%d * x0 + y%d * x1 + t[%d]\n" % (row, k, k & 1, ~k & 1, k))
    lines.append(reduce)
    lines += [carry % (k, k, k) for k in range(4)]
    lines.append(tail)
    return "".join(lines)


def build() -> "tuple[Any, Any]":
    """The machine's two functions, compiled. Raises ImportError where they cannot be."""
    names: "dict[str, Any]" = {"micropython": micropython}
    if micropython is None or struct.calcsize("P") != 4:
        raise ImportError("no machine words of 32 bits")
    try:
        exec(source(), names)
    except (SyntaxError, MemoryError):
        raise ImportError("no viper code") from None
    return names["run"], names["load"]
