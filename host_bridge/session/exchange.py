# SPDX-License-Identifier: Apache-2.0
"""From commands to answers: status words as exceptions, over a chain of processors."""

from __future__ import annotations

from firmware.wire import status
from firmware.wire.apdu import Command
from firmware.wire.layout import WireError
from host_bridge.transport.base import Transport
from host_bridge.transport.processors import Processor, chain


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
    """Sends commands over a transport and gives back the data of their answers.

    processor: how a command that is too long for one APDU goes; `chain(transport)` by default.
    """

    def __init__(self, transport: Transport, processor: Processor | None = None) -> None:
        self.transport = transport
        self._processor = processor or chain(transport)

    def send(self, command: Command) -> bytes:
        """The whole answer to `command`, without its status word.

        Raises CardRefused, CardMisbehaved, or the transport's own TransportError.
        """
        try:
            data, word = self._processor.send(command)
        except WireError as error:
            raise CardMisbehaved(f"the card answered nonsense: {error}") from None
        if word != status.OK:
            raise CardRefused(word, command)
        return data
