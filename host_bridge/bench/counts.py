# SPDX-License-Identifier: Apache-2.0
"""What a card does for one command, by name, and the watch that sees the firmware do it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import firmware
from firmware.crypto import aes, p256
from firmware.wire import layout

_FIRMWARE = str(Path(str(firmware.__file__)).parent)
_CRYPTO = str(Path(_FIRMWARE, "crypto"))
# The driver's polling runs while the chip works: it takes no time of its own.
_POLLING = tuple(str(Path(_FIRMWARE, "hal", f"atecc608_{name}.py")) for name in ("power", "bus"))
_PACKETS = str(Path(_FIRMWARE, "hal", "atecc608_packet.py"))
_HASH_BLOCK = 64
_HASH_TAIL = 9  # bytes that SHA-256 adds at the least: a one bit and the length
_AES_BLOCK = 16

Trace = Callable[[FrameType, str, Any], Any]


class Counts:
    """Counters by name: sign, verify, point, hash, hash_block, aes_block, read, read_byte,
    program, program_byte, record, erase, bytecode, packet_bytecode, i2c for each transaction with
    a chip, i2c_open for each time that its bus was opened, and `chip.NAME` for each of its
    commands and each time that it was woken."""

    def __init__(self) -> None:
        self._counter: Counter[str] = Counter()

    def add(self, name: str, many: int = 1) -> None:
        """So many more of this."""
        self._counter[name] += many

    def read(self, size: int) -> None:
        """One read of the flash."""
        self.add("read")
        self.add("read_byte", size)

    def program(self, size: int) -> None:
        """One program of the flash."""
        self.add("program")
        self.add("program_byte", size)

    def taken(self) -> Counter[str]:
        """What was counted since the last call."""
        taken, self._counter = self._counter, Counter()
        return taken


class Watch:
    """Sees which functions of the firmware run, and how many bytecodes of it.

    It uses the interpreter's own trace, so that the firmware is the one that is shipped. Bytecodes
    are CPython's, which are not MicroPython's; those of `firmware/crypto` are left out, for their
    work is counted as signatures, hashes and blocks, and those that wait for a chip. Those of the
    chip's packets are counted apart: packet_bytecode.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._seen: dict[CodeType, Callable[[int], None]] = {
            layout.sha256.__code__: self._hash,
            aes.cbc_encrypt.__code__: self._aes,
            aes.cbc_decrypt.__code__: self._aes,
            p256.sign.__code__: lambda size: counts.add("sign"),
            p256.on_curve.__code__: lambda size: counts.add("point"),
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts while the body runs."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Trace | None:
        code = frame.f_code
        seen = self._seen.get(code)
        if seen is not None:
            seen(len(frame.f_locals.get("data", b"")))
        file = code.co_filename
        if not file.startswith(_FIRMWARE) or file.startswith(_CRYPTO) or file in _POLLING:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._packed if file == _PACKETS else self._stepped

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Trace:
        if event == "opcode":
            self._counts.add("bytecode")
        return self._stepped

    def _packed(self, frame: FrameType, event: str, argument: Any) -> Trace:
        if event == "opcode":
            self._counts.add("packet_bytecode")
        return self._packed

    def _hash(self, size: int) -> None:
        self._counts.add("hash")
        self._counts.add("hash_block", (size + _HASH_TAIL + _HASH_BLOCK - 1) // _HASH_BLOCK)

    def _aes(self, size: int) -> None:
        self._counts.add("aes_block", size // _AES_BLOCK)
