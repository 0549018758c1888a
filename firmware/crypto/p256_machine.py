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
def run(t: ptr32, x: int, b: ptr32, w: ptr32, code: ptr8, left: int):
    while left:
        b = ptr32(int(w) + (code[2] << 7))
        a = ptr32(int(w) + (code[3] << 7))
        x = code[0]
        if x > 1:
            y = (x & 15) - 8
            x >>= 4
            t = ptr32(int(w) + 80)
            bound = int(t) + 80
            while int(t) != bound:
                t[0] = x * b[0] + a[0] * y
                t[1] = x * b[1] + a[1] * y
                t[2] = x * b[2] + a[2] * y
                t[3] = x * b[3] + a[3] * y
                t = ptr32(int(t) + 16)
                a = ptr32(int(a) + 16)
                b = ptr32(int(b) + 16)
            t = ptr32(int(w) + 80)
            x = t[19] >> 9
            t[19] = t[19] & 511
            t[0] = x + t[0]
            t[7] = t[7] - (x << 5)
            t[14] = t[14] - (x << 10)
            t[17] = (x << 3) + t[17]
        else:
            t = w
            if x:
                bound = int(a) + 80
                while int(a) != bound:
""",
    """                    t = ptr32(int(t) + %d)
                    a = ptr32(int(a) + %d)
            else:
                bound = int(b) + 80
                while True:
""",
    """                    a = t
                    b = ptr32(int(b) + %d)
                    if int(b) == bound:
                        break
                    c = b
                    while int(c) <= bound:
                        t = ptr32(int(t) + %d)
""",
    """                        c = ptr32(int(c) + %d)
                    t = ptr32(int(a) + %d)
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
def load(w: ptr32, x: int, slot: int, data: ptr8, start: int, sign: int):
    w = ptr32(int(w) + (slot << 7))
    data = ptr8(int(data) + start)
    slot = 2
    while slot:
        slot -= 1
        left = 32
        bit = 0
        x = 0
        while left:
            left -= 1
            x |= data[left] << bit
            bit += 8
            if bit >= 13:
                w[0] = x & 8191
                x >>= 13
                bit -= 13
                w = ptr32(int(w) + 4)
        w[0] = x
        w = ptr32(int(w) + 52)
        data = ptr8(int(data) + 32)
    if sign < 0:
        w = ptr32(int(w) - 128)
        bound = int(w) + 80
        while int(w) != bound:
            w[0] = 0 - w[0]
            w = ptr32(int(w) + 4)

@micropython.viper
def store(w: ptr32, slot: int, data: ptr8):
    w = ptr32(int(w) + (slot << 7))
    bound = int(w) + 76
    data = ptr8(int(data) + 31)
    x = 0
    bit = 0
    while int(w) != bound:
        x |= w[0] << bit
        bit += 13
        while bit >= 8:
            data[0] = x
            x >>= 8
            bit -= 8
            data = ptr8(int(data) - 1)
        w = ptr32(int(w) + 4)
    data[0] = x
""",
)
# So many limbs of a factor wait in local variables while they go along the other.
_ROWS = 4


def source() -> str:
    """The text of three functions.

    `run(w, 0, w, w, program, instructions)`; `load(w, 0, slot, table, start, sign)`, which
    takes two elements of 32 bytes, big-endian, the second with a sign of 1 or -1; and
    `store(w, slot, 32 bytes)`, which gives what stands below the highest limb.

    A product takes a few limbs of one factor at a time along the other, and so does a square,
    but for what stands below its diagonal; it goes on into the zeros above the last limb. The
    first two variables are those that live in registers.
    """
    head, row, square, long, carry, tail = _TEXT
    rows = _ROWS
    taken = ["x%d = %%s[%d]\n" % (limb, limb) for limb in range(rows)]
    indent = " " * 20
    lines = [head]
    lines += [indent + line % "a" for line in taken]
    for k in range(20 + rows - 1):
        if k < 20:
            lines.append("%sy%d = b[%d]\n" % (indent, k % rows, k))
        lines.append(_column(indent, k, max(0, k - 19), min(rows, k + 1)))
    lines.append(row % (4 * rows, 4 * rows))
    lines += [indent + line % "b" for line in taken]
    for k in range(2 * rows - 1):
        pairs = [(k - i, i) for i in range(rows) if i <= k - i < rows]
        products = " + ".join(["x%d * x%d" % pair for pair in pairs])
        lines.append("%st[%d] = %s + t[%d]\n" % (indent, k, products, k))
        if k % 2 == 0:
            # From here on it stands for two products.
            lines.append("%sx%d += x%d\n" % (indent, k // 2, k // 2))
    lines += ["%sy%d = 0\n" % (indent, limb) for limb in range(1, rows)]
    lines.append(square % (4 * rows, 4 * rows))
    indent += "    "
    for k in range(rows):
        lines.append("%sy%d = c[%d]\n" % (indent, k, k))
        lines.append(_column(indent, k, 0, rows))
    lines.append(long % (4 * rows, 8 * rows))
    lines += [carry % (k, k, k) for k in range(4)]
    lines.append(tail)
    return "".join(lines)


def _column(indent: str, k: int, first: int, last: int) -> str:
    """A line that adds to column k what the waiting limbs from `first` to before `last` give."""
    products = ["y%d * x%d" % ((k - limb) % _ROWS, limb) for limb in range(first, last)]
    return "%st[%d] = %s + t[%d]\n" % (indent, k, " + ".join(products), k)


def build() -> "tuple[Any, Any, Any]":
    """The machine's three functions, compiled. Raises ImportError where they cannot be."""
    names: "dict[str, Any]" = {"micropython": micropython}
    if micropython is None or struct.calcsize("P") != 4:
        raise ImportError("no machine words of 32 bits")
    try:
        exec(source(), names)
    except (SyntaxError, MemoryError):
        raise ImportError("no viper code") from None
    return names["run"], names["load"], names["store"]
