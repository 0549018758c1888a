# SPDX-License-Identifier: Apache-2.0
"""The serial line to the computer: no read and no write takes longer than it is given."""

import select

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

_WRITE_MS = 1000  # a computer that takes nothing for so long has gone
_ROOM = 512  # bytes read at once: more than a frame


class Line:
    """Bytes over a source and a sink.

    source: has `readinto(buffer)`; sink: has `write(data) -> int | None`. Both can be polled.
    whole_reads: `readinto` waits until the buffer is full (MicroPython's sys.stdin on a board), so
    that it is given one byte at a time; a UART gives what it has.
    """

    def __init__(self, source: "Any", sink: "Any", whole_reads: bool = False) -> None:
        self._source = source
        self._sink = sink
        self._buffer = memoryview(bytearray(1 if whole_reads else _ROOM))
        self._readable = select.poll()
        self._readable.register(source, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sink, select.POLLOUT)

    def read(self, wait_ms: int) -> "memoryview | None":
        """What has come, once something comes within this time; empty if nothing does.

        None at the end of the line. The bytes stand until the next read.
        """
        if not self._readable.poll(wait_ms):
            return self._buffer[:0]
        try:
            size = self._source.readinto(self._buffer)
        except OSError:
            return None  # a pseudo-terminal whose other side is gone
        if size == 0:
            return None
        return self._buffer[: size or 0]

    def write(self, data: bytes) -> None:
        """Sends bytes; those that the computer does not take in time are lost."""
        left = memoryview(data)
        while left and self._writable.poll(_WRITE_MS):
            left = left[self._sink.write(left) or 0 :]
