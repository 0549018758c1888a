# SPDX-License-Identifier: Apache-2.0
"""Small processors of APDUs, one upon another: what a link cannot carry whole goes in parts.

`chain(transport)` is the usual one: response chaining over command chaining over the link.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from firmware.wire import status
from firmware.wire.apdu import (
    CLA_CHAINED,
    CLA_ISO,
    INS_GET_RESPONSE,
    MAX_SHORT_ANSWER,
    MAX_SHORT_DATA,
    Command,
    split_answer,
)
from firmware.wire.layout import WireError
from host_bridge.transport.base import Transport

MAX_ANSWER = 65_536  # bytes that one command may be answered with, GET RESPONSE included
MAX_RESPONSES = MAX_ANSWER // MAX_SHORT_ANSWER
MAX_EXTENDED = 65_535  # bytes of data in an extended APDU
_WRONG_LE = 0x6C00  # 6Cxx: nothing was done; the same command again, with Le = xx (ISO 7816-4)


@runtime_checkable
class OffersExtended(Protocol):
    """A transport that knows whether card and link take extended APDUs."""

    @property
    def extended_length(self) -> bool:
        """Whether they do."""
        ...


class Processor(Protocol):
    """Sends commands. Raises WireError for what is no answer, and the link's TransportError."""

    def send(self, command: Command) -> tuple[bytes, int]:
        """Data and status word of the answer to `command`."""
        ...


class Link:
    """The lowest processor: one command, one APDU."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def extended_length(self) -> bool:
        """Whether the transport takes extended APDUs; one that does not tell takes none."""
        transport = self._transport
        return isinstance(transport, OffersExtended) and transport.extended_length

    def send(self, command: Command) -> tuple[bytes, int]:
        """One APDU there and back."""
        is_short = len(command.data) <= MAX_SHORT_DATA and (command.le or 0) <= MAX_SHORT_ANSWER
        raw = command.raw if is_short else _extended(command)
        return split_answer(self._transport.transmit(raw))


class CommandChaining:
    """Sends much data as one extended APDU where they are offered, else as a chain of short ones.

    piece: bytes of data in each APDU of a chain (ISO 7816-4, 5.3.3). A part that is refused ends
    the chain, and its status word is the answer.
    """

    def __init__(self, below: Link, piece: int = MAX_SHORT_DATA) -> None:
        self._below = below
        self._piece = piece

    def send(self, command: Command) -> tuple[bytes, int]:
        """The answer to the whole command."""
        if len(command.data) <= self._piece or self._below.extended_length:
            return self._below.send(command)
        *parts, last = self._parts(command)
        for part in parts:
            answer = self._below.send(part)
            if answer[1] != status.OK:
                return answer
        return self._below.send(last)

    def _parts(self, command: Command) -> list[Command]:
        cuts = range(0, len(command.data), self._piece)
        pieces = [command.data[at : at + self._piece] for at in cuts]
        chained = command.cla | CLA_CHAINED
        parts = [Command(chained, command.ins, command.p1, command.p2, piece) for piece in pieces]
        parts[-1].cla = command.cla
        parts[-1].le = command.le
        return parts


class ResponseChaining:
    """Collects an answer that comes by `61xx` and GET RESPONSE; asks again, once, after `6Cxx`.

    Raises WireError for an answer that does not end (reliability case L08).
    """

    def __init__(self, below: Processor) -> None:
        self._below = below

    def send(self, command: Command) -> tuple[bytes, int]:
        """The whole answer and its last status word."""
        data, word = self._ask(command)
        collected = [data]
        while word & 0xFF00 == status.MORE_DATA:
            if len(collected) > MAX_RESPONSES:
                raise WireError("apdu: the answer does not end")
            le = word & 0xFF or MAX_SHORT_ANSWER
            data, word = self._ask(Command(CLA_ISO, INS_GET_RESPONSE, le=le))
            collected.append(data)
        return b"".join(collected), word

    def _ask(self, command: Command) -> tuple[bytes, int]:
        data, word = self._below.send(command)
        if word & 0xFF00 != _WRONG_LE:
            return data, word
        le = word & 0xFF or MAX_SHORT_ANSWER
        again = Command(command.cla, command.ins, command.p1, command.p2, command.data, le)
        return self._below.send(again)


def chain(transport: Transport, piece: int = MAX_SHORT_DATA) -> Processor:
    """The processors that carry any command over `transport`."""
    return ResponseChaining(CommandChaining(Link(transport), piece))


def _extended(command: Command) -> bytes:
    """The command with Lc and Le of two bytes (ISO 7816-4, 5.1). Raises WireError if too long."""
    if len(command.data) > MAX_EXTENDED:
        raise WireError("apdu: more data than an extended command holds")
    head = bytes([command.cla, command.ins, command.p1, command.p2, 0])
    body = len(command.data).to_bytes(2, "big") + command.data if command.data else b""
    tail = b"" if command.le is None else (command.le & 0xFFFF).to_bytes(2, "big")
    return head + body + tail
