# SPDX-License-Identifier: Apache-2.0
"""One log level, TRAFFIC, that prints APDUs; PINs, PUKs, keys and secure channels never.

What may be printed is listed; whatever is not in the list, of this protocol or another, is
withheld. A withheld command shows its header, its answer its status word.
"""

from __future__ import annotations

import logging
from typing import TextIO

from firmware.wire import apdu
from firmware.wire.apdu import CLA_CHAINED, CLA_ISO, CLA_QALTA, COMMAND_NAMES
from host_bridge.closing import Closing
from host_bridge.transport.base import Traffic, Transport, TransportError

TRAFFIC = 5  # below logging.DEBUG: only who asks for it gets it
LOGGER = "qalta.traffic"

_WITHHELD = "[withheld]"  # not how long it is: a PIN's length is half of a guess
_HEADER = 4
_STATUS_WORD = 2
_GET_RESPONSE_SIZE = 5
_READ_BINARY = 0xB0  # ISO 7816-4: files that a card shows to anybody
_READ_RECORD = 0xB2
_GET_DATA = 0xCA
_OPEN_CLASSES = frozenset({CLA_ISO, CLA_QALTA})  # without secure messaging, on the basic channel
_OPEN = frozenset(
    {
        apdu.INS_SELECT,
        apdu.INS_PRESENT_CERTIFICATE,
        apdu.INS_PAY,
        apdu.INS_RECOVER,
        apdu.INS_GET_BALANCE,
        apdu.INS_LOAD,
        apdu.INS_EXPORT,
        apdu.INS_ACKNOWLEDGE,
        apdu.INS_SET_POLICY,
        apdu.INS_GENERATE_KEY,
        _READ_BINARY,
        _READ_RECORD,
        _GET_DATA,
    }
)


class Redactor:
    """What of a conversation may be printed; one for each transport, since answers follow."""

    def __init__(self) -> None:
        self._is_open = False  # whether the answer that GET RESPONSE fetches may be shown

    def command(self, command: bytes) -> str:
        """A command in hex, without what is secret in it."""
        # GET RESPONSE belongs to the command before it, and has no data of its own.
        if len(command) == _GET_RESPONSE_SIZE and command[1] == apdu.INS_GET_RESPONSE:
            return command.hex()
        self._is_open = may_be_shown(command)
        return redacted(command)

    def response(self, response: bytes) -> str:
        """The answer to the last command, in hex: its data if they are no secret, the word."""
        data, word = response[:-_STATUS_WORD], response[-_STATUS_WORD:].hex()
        if not data:
            return word
        return f"{data.hex() if self._is_open else _WITHHELD} {word}"

    def reset(self) -> None:
        """A new tap: no answer waits."""
        self._is_open = False


class Traced(Closing):
    """A transport whose APDUs are logged at TRAFFIC."""

    def __init__(self, transport: Transport, logger: logging.Logger | None = None) -> None:
        self._transport = transport
        self._logger = logger or logging.getLogger(LOGGER)
        self._redactor = Redactor()

    @property
    def traffic(self) -> Traffic:
        """The transport's own."""
        return self._transport.traffic

    @property
    def extended_length(self) -> bool:
        """The transport's own; False where it does not tell."""
        return bool(getattr(self._transport, "extended_length", False))

    def transmit(self, command: bytes) -> bytes:
        """Passes one command on."""
        name = COMMAND_NAMES.get(command[1], "") if len(command) > 1 else ""
        self._log("> %s %s", self._redactor.command(command), name)
        try:
            response = self._transport.transmit(command)
        except TransportError as error:
            self._log("! %s", error)
            raise
        self._log("< %s", self._redactor.response(response))
        return response

    def reset(self) -> str:
        """Begins a new tap."""
        self._redactor.reset()
        greeting = self._transport.reset()
        self._log("reset: %s", greeting)
        return greeting

    def close(self) -> None:
        """Lets the card go."""
        self._transport.close()

    def _log(self, form: str, *what: object) -> None:
        self._logger.log(TRAFFIC, form, *what)


def show_traffic(stream: TextIO) -> logging.Handler:
    """From now on every transport that `open_transport` opens prints its APDUs to `stream`.

    Returns the handler, for whoever wants to take it away again.
    """
    logging.addLevelName(TRAFFIC, "TRAFFIC")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(relativeCreated)7d ms %(message)s"))
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(TRAFFIC)
    logger.propagate = False
    return handler


def is_shown() -> bool:
    """Whether anybody listens at TRAFFIC."""
    return logging.getLogger(LOGGER).isEnabledFor(TRAFFIC)


def may_be_shown(command: bytes) -> bool:
    """Whether the data of this command and of its answer are no secret."""
    if len(command) < _HEADER:
        return False
    return command[0] & ~CLA_CHAINED in _OPEN_CLASSES and command[1] in _OPEN


def redacted(command: bytes) -> str:
    """A command in hex; its data only if they are no secret."""
    if len(command) <= _HEADER or may_be_shown(command):
        return command.hex()
    return f"{command[:_HEADER].hex()} {_WITHHELD}"
