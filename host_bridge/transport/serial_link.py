# SPDX-License-Identifier: Apache-2.0
"""A card behind a serial port, real or pseudo: frames of firmware.wire.frame over pyserial."""

import errno
import os
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

import serial

from firmware.wire import frame as wire
from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, LinkTimeout, Traffic, TransportError

_BAUD = 115_200  # 8N1
_ATTEMPTS = 2  # the frame, and once more if nothing came back
_POLL_S = 0.05  # how late a deadline may be noticed
_SHORTEST_COMMAND = 4
_SHORTEST_RESPONSE = 2
_STATS_SIZE = 12  # three u32
_GREETING = "qalta-card "

_PORT_SENTENCES = {
    errno.ENOENT: "There is no serial port {port}.",
    errno.ENXIO: "There is no device behind {port}.",
    errno.EIO: "There is no device behind {port}.",
    errno.EACCES: "No permission to use {port}: add yourself to the group that owns it.",
    errno.EAGAIN: "{port} is in use by another program.",
    errno.EBUSY: "{port} is in use by another program.",
}
_CARD_SENTENCES = {
    wire.ERROR_BAD_KIND: "The card does not know this kind of frame.",
    wire.ERROR_TOO_LONG: "The card's response is too long for the link.",
    wire.ERROR_APPLICATION_FAILED: "The card application failed and was reset.",
}


Wanted = Callable[[wire.Frame], bool]


@dataclass(frozen=True)
class HeapStats:
    """The card's heap, in bytes. The peak is what was in use after the hungriest command."""

    used_now: int
    peak: int
    total: int


class SerialTransport(Closing):
    """A card at a serial port, which it holds for itself until closed.

    port: device path. timeout_s: how long one attempt waits for an answer.
    Opening it resets the card. Raises TransportError if the port cannot be opened or no card
    answers there.
    """

    def __init__(self, port: str, *, timeout_s: float = 3.0) -> None:
        self.port = port
        self.traffic = Traffic()
        self._timeout_s = timeout_s
        self._sequence = 0
        self._decoder = wire.Decoder()
        self._line = _open_port(port, timeout_s)
        try:
            self.hello = self.reset()
        except LinkTimeout:
            self.close()
            raise LinkTimeout(f"No card answers at {port}.") from None
        except TransportError:
            self.close()
            raise

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU and return the response with its status word.

        Without an answer the same frame is sent once more; the card does not execute it twice.
        """
        if not _SHORTEST_COMMAND <= len(command) <= wire.MAX_PAYLOAD:
            raise TransportError(f"A command of {len(command)} bytes cannot be sent.")
        started = time.monotonic()
        response = self._exchange(wire.COMMAND_APDU, command, _is_kind(wire.RESPONSE_APDU))
        if len(response) < _SHORTEST_RESPONSE:
            raise TransportError("The card answered without a status word.")
        self.traffic.count(command, response, (time.monotonic() - started) * 1000)
        return response

    def reset(self) -> str:
        """Begin a new tap and return the card's greeting.

        Whatever the card still answers to an earlier host comes before this answer, and is
        passed over: the nonce tells.
        """
        nonce = os.urandom(wire.NONCE_SIZE)
        ready = self._exchange(wire.RESET, nonce, lambda frame: _is_ready(frame, nonce))
        greeting = ready[: -wire.NONCE_SIZE].decode("ascii", "replace")
        if not greeting.startswith(_GREETING):
            raise TransportError(f"What answers at {self.port} is not a Qalta card.")
        return greeting

    def stats(self) -> HeapStats:
        """Ask the card how much of its heap it uses."""
        answer = self._exchange(wire.STATS, b"", _is_kind(wire.STATS_ANSWER))
        if len(answer) != _STATS_SIZE:
            raise TransportError("The card's heap figures are not readable.")
        now, peak, total = (int.from_bytes(answer[at : at + 4], "big") for at in (0, 4, 8))
        return HeapStats(now, peak, total)

    def close(self) -> None:
        """Let the port go."""
        self._line.close()

    def _exchange(self, kind: int, payload: bytes, is_wanted: Wanted) -> bytes:
        self._sequence = (self._sequence + 1) % 256
        request = wire.encode(kind, self._sequence, payload)
        try:
            for _ in range(_ATTEMPTS):
                self._line.write(request)
                answer = self._wait_for(is_wanted)
                if answer is not None:
                    return _payload_of(answer)
        except serial.SerialTimeoutException:
            pass  # nobody takes our bytes: as silent as a card that does not answer
        except OSError:  # pyserial's errors are OSErrors too
            raise LinkLost(f"The card at {self.port} is gone.") from None
        raise LinkTimeout(f"The card at {self.port} did not answer in time.")

    def _wait_for(self, is_wanted: Wanted) -> wire.Frame | None:
        """Return the answer to the current request, or None at the deadline.

        Late answers to earlier requests, and noise, are passed over.
        """
        deadline = time.monotonic() + self._timeout_s
        answer = None
        while answer is None and time.monotonic() < deadline:
            for byte in self._line.read(max(1, self._line.in_waiting)):
                frame = self._decoder.feed(byte)
                if frame and frame.sequence == self._sequence and is_wanted(frame):
                    answer = frame
        return answer


def _is_kind(kind: int) -> Wanted:
    """Whether a frame is of this kind, or says that there will be none."""
    return lambda frame: frame.kind in (kind, wire.ERROR)


def _is_ready(frame: wire.Frame, nonce: bytes) -> bool:
    return frame.kind == wire.READY and frame.payload.endswith(nonce)


def _open_port(port: str, timeout_s: float) -> serial.Serial:
    try:
        return serial.Serial(port, _BAUD, timeout=_POLL_S, write_timeout=timeout_s, exclusive=True)
    except (OSError, ValueError, termios.error) as error:
        # pyserial lets termios.error through, which is no OSError and has its number in args.
        number = error.args[0] if isinstance(error, termios.error) else getattr(error, "errno", 0)
        sentence = _PORT_SENTENCES.get(number, "{port} is not a serial port.")
        raise TransportError(sentence.format(port=port)) from None


def _payload_of(answer: wire.Frame) -> bytes:
    if answer.kind == wire.ERROR:
        code = answer.payload[0] if answer.payload else 0
        raise TransportError(_CARD_SENTENCES.get(code, "The card reports an unknown error."))
    return answer.payload
