# SPDX-License-Identifier: Apache-2.0
"""A card in vsmartcard's virtual reader: from a transport to the TCP port of its driver.

The driver (vpcd) listens, the card connects. A message is its length, u16 big-endian, and its
bytes; one byte is a control (vsmartcard's documentation, "Virtual PCD"), more are an APDU.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from host_bridge.closing import Closing
from host_bridge.transport.base import Transport, TransportError
from host_bridge.transport.pcsc_context import PcscContext, ReaderInfo

# Direct convention; the first names T=0 with T=1 behind it, as PC/SC part 3 gives a contactless
# card, the second T=0 alone. Both without historical bytes.
ATR_CONTACTLESS = bytes.fromhex("3b80800101")
ATR_T0 = bytes.fromhex("3b00")
# T=1 alone; historical bytes: category 80, card capabilities 73 with extended length (40).
ATR_T1_EXTENDED = bytes.fromhex("3b85018073000040") + bytes([0x85 ^ 0x01 ^ 0x80 ^ 0x73 ^ 0x40])

_OFF, _ON, _RESET, _ATR = 0, 1, 2, 4
_FAILED = b"\x6f\x00"  # never no bytes at all: the driver would take that for an error of its own
_CONNECT_S = 10.0
_NOTICE_S = 10.0  # pcscd looks into its readers every 0.4 s
_RETRY_S = 0.02
_FIRST_PORT = 20_000
_PORTS = 10_000


def free_port_pair() -> int:
    """A TCP port which is free, as is the one behind it: the driver's two slots.

    Below the ports that Linux gives to whoever asks for any (32768), and of each process others.
    """
    start = os.getpid() * 2 % _PORTS
    for offset in range(0, _PORTS, 2):
        port = _FIRST_PORT + (start + offset) % _PORTS
        with socket.socket() as first, socket.socket() as second:
            for listener in (first, second):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                first.bind(("", port))
                second.bind(("", port + 1))
                return port
    raise AssertionError("no two TCP ports in a row are free")


@dataclass(frozen=True)
class VpcdSlot:
    """One of the driver's slots: the reader's name for PC/SC, and the port where a card goes."""

    name: str
    port: int

    def events(self) -> int:
        """How often pcscd has noticed that a card came or went."""
        with PcscContext() as context:
            return self._found(context.readers()).events

    def wait_for_event(self, before: int) -> int:
        """`events`, once there are others than `before`."""
        deadline = time.monotonic() + _NOTICE_S
        with PcscContext() as context:
            while True:
                readers = context.readers()
                now = self._found(readers).events
                if now != before:
                    return now
                assert time.monotonic() < deadline, f"pcscd notices nothing in {self.name}"
                context.wait_for_change(readers, _NOTICE_S)

    def _found(self, readers: list[ReaderInfo]) -> ReaderInfo:
        return next(reader for reader in readers if reader.name == self.name)


@dataclass(frozen=True)
class Tear:
    """Where the card is pulled: at which command, from 1, and whether it has acted on it."""

    command: int
    acted: bool


class VpcdCard(Closing):
    """A card that is put into a slot and pulled out of it, or torn out at `tear`.

    open_card: opens the card itself, at each `insert`. power_cut: what it loses when it is torn.
    `commands` are those since the last `insert`.
    """

    def __init__(
        self,
        open_card: Callable[[], Transport],
        slot: VpcdSlot,
        *,
        atr: bytes = ATR_CONTACTLESS,
        power_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self.slot = slot
        self.commands: list[bytes] = []
        self.answers: list[bytes] = []
        self.tear: Tear | None = None
        self.resets = 0
        self._atr = atr
        self._open_card = open_card
        self._power_cut = power_cut
        self._line: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._events = 0

    def insert(self, tear: Tear | None = None) -> None:
        """Puts the card into the slot and waits until pcscd has noticed it."""
        assert self._thread is None, "the card is in the slot already"
        self.commands, self.answers, self.tear = [], [], tear
        before = self.slot.events()
        self._line = _connect(self.slot.port)
        arguments = (self._line, self._open_card())
        self._thread = threading.Thread(target=self._serve, args=arguments, daemon=True)
        self._thread.start()
        self._events = self.slot.wait_for_event(before)

    def pull(self) -> None:
        """Takes the card out, and waits as `wait_until_out` does."""
        if self._line is not None:
            with contextlib.suppress(OSError):  # torn out already
                self._line.shutdown(socket.SHUT_RDWR)
        self.wait_until_out()

    def wait_until_out(self) -> None:
        """Until the card is out, however it came out, and pcscd has noticed it.

        Another card that came before would pass for the same one.
        """
        if self._thread is None:
            return
        self._thread.join(_CONNECT_S)
        assert not self._thread.is_alive(), "the card does not leave the slot"
        self._thread = self._line = None
        self._events = self.slot.wait_for_event(self._events)

    def __enter__(self) -> Self:
        self.insert()
        return self

    def close(self) -> None:
        """The end of a `with`."""
        self.pull()

    def _serve(self, line: socket.socket, card: Transport) -> None:
        with line, card, contextlib.suppress(OSError, EOFError):
            while True:
                answer = self._answer(card, _receive(line))
                if answer is None:
                    self._power_cut()
                    break
                if answer:
                    line.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, card: Transport, message: bytes) -> bytes | None:
        """What goes back, nothing for most controls; None: the card was torn out."""
        if len(message) == 1:
            return self._control(card, message[0])
        self.commands.append(message)
        number = len(self.commands)
        if self.tear == Tear(number, False):
            return None
        try:
            answer = card.transmit(message)
        except TransportError:
            answer = _FAILED
        self.answers.append(answer)
        return None if self.tear == Tear(number, True) else answer

    def _control(self, card: Transport, control: int) -> bytes:
        if control in (_ON, _RESET):
            self.resets += 1
            card.reset()
        return self._atr if control == _ATR else b""


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            line = socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"no vpcd listens at port {port}"
            threading.Event().wait(_RETRY_S)
            continue
        line.settimeout(None)
        return line


def _receive(line: socket.socket) -> bytes:
    size = int.from_bytes(_exactly(line, 2), "big")
    return _exactly(line, size)


def _exactly(line: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        # Without it the driver's next message waits for a delayed acknowledgement, 40 ms each.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = line.recv(size - len(got))
        if not part:
            raise EOFError
        got += part
    return got
