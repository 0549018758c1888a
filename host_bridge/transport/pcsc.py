# SPDX-License-Identifier: Apache-2.0
"""A card in a PC/SC reader: exclusive access, T=0 and T=1, every absence a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from firmware.wire.apdu import MAX_SHORT_DATA
from host_bridge.closing import Closing
from host_bridge.pcscd.service import find_service
from host_bridge.transport.atr import AtrError, offers_extended_length
from host_bridge.transport.base import LinkTimeout, Traffic, TransportError
from host_bridge.transport.monitor import ReaderMonitor
from host_bridge.transport.overdue import Caller, Overdue
from host_bridge.transport.pcsc_context import CardGone, PcscContext

_SHORTEST_COMMAND = 4
_SHORTEST_RESPONSE = 2
_HEADER = 5  # CLA INS P1 P2 P3
_ANSWER_S = 30.0  # libccid itself gives a card of our reader 23 s


class PcscTransport(Closing):
    """The card in a PC/SC reader, which no other program can use until this is closed.

    reader: its number, name, or a part of the name in any case; empty takes the only reader.
    wait_s: how long to wait for a card; answer_s: how long for an answer of the service, after
    which this is good for nothing more. Raises one of pcsc_context's PcscErrors.
    """

    def __init__(
        self, reader: str = "", *, wait_s: float = 0.0, answer_s: float = _ANSWER_S
    ) -> None:
        self.traffic = Traffic()
        self._card: Any = None
        with ReaderMonitor() as monitor:
            self.reader = monitor.wait_for_card(reader, wait_s).name
        self._context = PcscContext()
        self._caller = Caller(answer_s)
        try:
            self._card, self._protocol = self._called(lambda: self._context.connect(self.reader))
            self.atr = self._read_atr()
        except TransportError:
            self.close()
            raise

    @property
    def extended_length(self) -> bool:
        """Whether the card says that it takes extended APDUs, and the protocol can carry them."""
        try:
            return not self._is_t0 and offers_extended_length(self.atr)
        except AtrError:
            return False

    @property
    def protocol(self) -> str:
        """`T=0` or `T=1`, as it was agreed with the card."""
        return "T=0" if self._is_t0 else "T=1"

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU and return the response with its status word.

        Raises CardGone when the card or the reader is pulled, LinkTimeout when the service does
        not come back: what the card did is then not known.
        """
        if len(command) < _SHORTEST_COMMAND:
            raise TransportError(f"A command of {len(command)} bytes cannot be sent.")
        scard = self._context.scard
        started = time.monotonic()
        pci = scard.SCARD_PCI_T0 if self._is_t0 else scard.SCARD_PCI_T1
        sent = _as_t0(command) if self._is_t0 else command
        code, answer = self._called(lambda: scard.SCardTransmit(self._card, pci, list(sent)))
        self._context.check(code, self.reader)
        response = bytes(answer)
        if not response:  # so some drivers tell that the card went while it was asked
            raise CardGone(f"The card left the reader {self.reader}.")
        if len(response) < _SHORTEST_RESPONSE:
            raise TransportError("The card answered without a status word.")
        self.traffic.count(command, response, (time.monotonic() - started) * 1000)
        return response

    def reset(self) -> str:
        """Take the card's power away and give it back; return its answer to reset, in hex."""
        scard = self._context.scard
        code, self._protocol = self._called(
            lambda: scard.SCardReconnect(
                self._card,
                scard.SCARD_SHARE_EXCLUSIVE,
                scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1,
                scard.SCARD_UNPOWER_CARD,
            )
        )
        self._context.check(code, self.reader)
        self.atr = self._read_atr()
        return self.atr.hex()

    def close(self) -> None:
        """Take the card's power away and let the reader go, at the latest when it comes back."""
        card, self._card = self._card, None
        scard = self._context.scard

        def let_go() -> None:
            if card is not None:
                # Whatever it answers: card or reader may be gone, and nothing is left to do.
                scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD)
            self._context.close()

        self._caller.end(let_go)

    def _called(self, act: Callable[[], Any]) -> Any:
        try:
            return self._caller.call(act)
        except Overdue:
            raise LinkTimeout(
                f"The reader {self.reader} does not come back from its last command: "
                f"'{find_service().restart_command}'."
            ) from None

    @property
    def _is_t0(self) -> bool:
        return bool(self._protocol == self._context.scard.SCARD_PROTOCOL_T0)

    def _read_atr(self) -> bytes:
        scard = self._context.scard
        code, _, _, _, atr = self._called(lambda: scard.SCardStatus(self._card))
        self._context.check(code, self.reader)
        return bytes(atr)


def _as_t0(command: bytes) -> bytes:
    """A short APDU as T=0 carries it (ISO 7816-3, 12.2): a case 1 gets its P3, a case 4 loses Le.

    What the card has to say to a case 4 it keeps for GET RESPONSE. Raises TransportError for an
    extended APDU, which T=0 cannot carry.
    """
    size = len(command)
    if size == _SHORTEST_COMMAND:
        return command + b"\x00"
    if size == _HEADER:
        return command
    data = command[_HEADER - 1]
    if data == 0 or size > _HEADER + MAX_SHORT_DATA + 1:
        raise TransportError("T=0 cannot carry an extended APDU.")
    return command[: _HEADER + data]
