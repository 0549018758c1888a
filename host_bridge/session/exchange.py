# SPDX-License-Identifier: Apache-2.0
"""From commands to answers: command chaining, `61xx` collection, status words as exceptions."""

from __future__ import annotations

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
_MAX_RESPONSES = MAX_ANSWER // MAX_SHORT_ANSWER


class CardError(Exception):
    """The card did not do what was asked. The message is one sentence for people."""


class CardRefused(CardError):
    """The card answered with a status word other than 9000; nothing happened on it."""

    def __init__(self, word: int, command: Command) -> None:
        super().__init__(f"{status.sentence(word)} ({word:04X})")
        self.word = word
        self.ins = command.ins

    @property
    def is_final(self) -> bool:
        """Whether the same command can never succeed."""
        return status.is_final(self.word)


class CardMisbehaved(CardError):
    """The card's answer is not what the protocol allows; its bytes are not believed."""


class Exchange:
    """Sends commands over a transport and gives back the data of their answers."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def send(self, command: Command) -> bytes:
        """The whole answer to `command`, without its status word.

        Raises CardRefused, CardMisbehaved, or the transport's own TransportError.
        """
        *chained, last = _chain(command)
        for part in chained:
            _, word = self._once(part)
            if word != status.OK:
                raise CardRefused(word, command)
        data, word = self._once(last)
        collected = [data]
        for _ in range(_MAX_RESPONSES):
            if word & 0xFF00 != status.MORE_DATA:
                break
            le = word & 0xFF or MAX_SHORT_ANSWER
            data, word = self._once(Command(CLA_ISO, INS_GET_RESPONSE, le=le))
            collected.append(data)
        else:
            raise CardMisbehaved("the card's answer does not end")
        if word != status.OK:
            raise CardRefused(word, command)
        return b"".join(collected)

    def _once(self, command: Command) -> tuple[bytes, int]:
        try:
            return split_answer(self.transport.transmit(command.raw))
        except WireError as error:
            raise CardMisbehaved(f"the card answered nonsense: {error}") from None


def _chain(command: Command) -> list[Command]:
    """`command` as it goes out: itself, or its data in pieces, the last one the command."""
    if len(command.data) <= MAX_SHORT_DATA:
        return [command]
    cuts = range(0, len(command.data), MAX_SHORT_DATA)
    pieces = [command.data[at : at + MAX_SHORT_DATA] for at in cuts]
    chained = command.cla | CLA_CHAINED
    parts = [Command(chained, command.ins, command.p1, command.p2, piece) for piece in pieces]
    parts[-1].cla = command.cla
    parts[-1].le = command.le
    return parts
