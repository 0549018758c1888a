# SPDX-License-Identifier: Apache-2.0
"""A card in a PC/SC reader, through pyscard, which is imported only when a reader is opened."""

import time
from contextlib import suppress
from typing import Any

from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, Traffic, TransportError


class PcscTransport(Closing):
    """The card in a PC/SC reader.

    reader: a part of the reader's name, in any case; empty takes the only reader, or the first.
    Raises TransportError if pyscard, the service, the reader or the card is missing.
    """

    def __init__(self, reader: str = "") -> None:
        self.traffic = Traffic()
        self._scard = _import_pyscard()
        self._errors = self._error_types()
        self._connection = self._connect(reader)

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU and return the response with its status word."""
        started = time.monotonic()
        try:
            data, sw1, sw2 = self._connection.transmit(list(command))
        except self._errors as error:
            raise LinkLost(f"The card left the reader: {error}.") from None
        response = bytes(data) + bytes((sw1, sw2))
        self.traffic.count(command, response, (time.monotonic() - started) * 1000)
        return response

    def reset(self) -> str:
        """Take the card's power away and give it back; return its answer to reset, in hex."""
        try:
            self._connection.disconnect()  # unpowers the card: pyscard's default disposition
            self._connection.connect()
            return bytes(self._connection.getATR()).hex()
        except self._errors as error:
            raise LinkLost(f"The card left the reader: {error}.") from None

    def close(self) -> None:
        """Let the reader go."""
        with suppress(*self._errors):  # card or reader gone: nothing is left to let go
            self._connection.disconnect()

    def _connect(self, part: str) -> Any:
        try:
            readers = self._scard.System.readers()
        except self._errors as error:
            raise TransportError(f"The PC/SC service does not answer: {error}.") from None
        names = [str(reader) for reader in readers]
        chosen = [reader for reader in readers if part.lower() in str(reader).lower()]
        if not names:
            raise TransportError("No PC/SC reader is plugged in.")
        if not chosen:
            raise TransportError(f"No reader is called '{part}'; there are: {', '.join(names)}.")
        try:
            connection = chosen[0].createConnection()
            connection.connect()
        except self._scard.Exceptions.NoCardException:
            raise TransportError(f"There is no card in the reader {chosen[0]}.") from None
        except self._errors as error:
            raise TransportError(f"The reader {chosen[0]} fails: {error}.") from None
        return connection

    def _error_types(self) -> tuple[type[Exception], ...]:
        return (
            self._scard.Exceptions.SmartcardException,
            self._scard.pcsc.PCSCExceptions.BaseSCardException,
        )


def _import_pyscard() -> Any:
    try:
        import smartcard
        import smartcard.Exceptions
        import smartcard.pcsc.PCSCExceptions
        import smartcard.System
    except ImportError:
        raise TransportError(
            "PC/SC readers need pyscard: install it with `pip install -e '.[pcsc]'`."
        ) from None
    return smartcard
