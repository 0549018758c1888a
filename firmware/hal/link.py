# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="attr-defined"
"""The board's end of the serial link: frames in, frames out, and the loop that serves a card.

On a board and on the unix port alike the link is `sys.stdin.buffer` and `sys.stdout.buffer`.
`readinto` of n bytes blocks until all n have come, and a frame does not say its length first, so
bytes are read one at a time into a buffer that is allocated once.

Streams and applications are known by the methods that they have (`object` in the signatures):
MicroPython has no protocol classes, and its `gc` and `sys` have functions that CPython lacks.
"""

import gc
import sys

import micropython

from firmware.wire import frame as wire

_NO_INTERRUPT = -1


class SerialLink:
    """Frames over two raw byte streams.

    source: has `readinto(buffer) -> int`, blocking; 0 or None means end of file.
    sink: has `write(bytes)`.
    """

    def __init__(self, source: "object", sink: "object") -> None:
        self._source = source
        self._sink = sink
        self._byte = bytearray(1)
        self._decoder = wire.Decoder()
        if hasattr(micropython, "kbd_intr"):
            # On a board 0x03 on stdin would raise KeyboardInterrupt in the middle of a payment.
            micropython.kbd_intr(_NO_INTERRUPT)

    def receive(self) -> "wire.Frame | None":
        """Wait for the next good frame and return it, or None at the end of the stream."""
        while self._source.readinto(self._byte):
            frame = self._decoder.feed(self._byte[0])
            if frame is not None:
                return frame
        return None

    def write(self, encoded: bytes) -> None:
        """Write a frame that is already encoded."""
        self._sink.write(encoded)

    def send(self, kind: int, sequence: int, payload: bytes) -> None:
        """Encode a frame and write it."""
        self.write(wire.encode(kind, sequence, payload))


def serve(link: SerialLink, application: "object", hello: bytes = wire.HELLO) -> None:
    """Answer frames until the stream ends.

    application: has `reset()`, which clears the session state, and
    `process(command: bytes) -> bytes`, which returns response data and status word.
    """
    dispatcher = _Dispatcher(application, hello)
    while True:
        frame = link.receive()
        if frame is None:
            return
        link.write(dispatcher.answer(frame))
        # Between the answer and the next command nobody waits: the place to clean up, and to
        # erase flash ahead, a sector at a time.
        dispatcher.tidy()


class _Dispatcher:
    """One answer for one frame, and the same bytes again for the same frame.

    A host that saw no answer sends its frame once more; executing it twice could pay twice.
    """

    def __init__(self, application: "object", hello: bytes) -> None:
        self._application = application
        self._hello = hello
        self._last = (-1, -1)
        self._last_answer = b""
        self._heap_peak = 0

    def answer(self, frame: wire.Frame) -> bytes:
        identity = (frame.sequence, frame.check)
        if identity != self._last:
            self._last_answer = self._execute(frame)
            self._last = identity
        return self._last_answer

    def _execute(self, frame: wire.Frame) -> bytes:
        try:
            kind, payload = self._act(frame)
            return wire.encode(kind, frame.sequence, payload)
        except Exception as error:  # MemoryError too: the card must answer whatever happened
            self._recover(error)
            return _error(frame, wire.ERROR_APPLICATION_FAILED)

    def _act(self, frame: wire.Frame) -> "tuple[int, bytes]":
        if frame.kind == wire.COMMAND_APDU:
            response = self._application.process(frame.payload)
            if len(response) > wire.MAX_PAYLOAD:
                return wire.ERROR, bytes((wire.ERROR_TOO_LONG,))
            return wire.RESPONSE_APDU, response
        if frame.kind == wire.RESET:
            self._application.reset()
            return wire.READY, self._hello + frame.payload[: wire.NONCE_SIZE]
        if frame.kind == wire.STATS:
            return wire.STATS_ANSWER, self._stats()
        return wire.ERROR, bytes((wire.ERROR_BAD_KIND,))

    def _recover(self, error: Exception) -> None:
        gc.collect()
        report(error)
        try:
            self._application.reset()
        except Exception as second:  # the next RESET will say so again
            report(second)

    def _stats(self) -> bytes:
        used = gc.mem_alloc()
        counts = (used, max(used, self._heap_peak), used + gc.mem_free())
        return b"".join([count.to_bytes(4, "big") for count in counts])

    def tidy(self) -> None:
        """Note how much heap the command left behind, then collect.

        The peak is a lower bound where the heap ran full and was collected inside a command.
        """
        self._application.rest()
        self._heap_peak = max(self._heap_peak, gc.mem_alloc())
        gc.collect()


def _error(frame: wire.Frame, code: int) -> bytes:
    return wire.encode(wire.ERROR, frame.sequence, bytes((code,)))


def report(error: Exception) -> None:
    """Says on a PC's log what failed in the card."""
    # On a board stderr is the link itself; only on a PC it is a log.
    if sys.platform == "linux":
        sys.print_exception(error, sys.stderr)
