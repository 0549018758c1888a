# SPDX-License-Identifier: Apache-2.0
"""A double of pyscard: one PC/SC service with named readers, and a card that echoes.

Written from pyscard's documented interface. Install it with `install(monkeypatch, service)`.
"""

import sys
from types import ModuleType

import pytest


class SmartcardException(Exception):
    """Base class of pyscard's errors about cards and readers."""


class NoCardException(SmartcardException):
    """There is no card in the reader."""


class BaseSCardException(Exception):
    """Base class of pyscard's errors about the PC/SC service; no SmartcardException."""


class Service:
    """readers: their names. card_present: whether each holds a card."""

    def __init__(self, readers: list[str]) -> None:
        self.names = readers
        self.running = True
        self.card_present = True
        self.powered = 0  # how often a card was powered

    def readers(self) -> list["Reader"]:
        if not self.running:
            raise BaseSCardException("Failed to establish context")
        return [Reader(self, name) for name in self.names]


class Reader:
    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name

    def __str__(self) -> str:
        return self.name

    def createConnection(self) -> "Connection":
        return Connection(self.service)


class Connection:
    def __init__(self, service: Service) -> None:
        self.service = service

    def connect(self) -> None:
        self._need_card()
        self.service.powered += 1

    def disconnect(self) -> None:
        self._need_card()

    def getATR(self) -> list[int]:
        self._need_card()
        return [0x3B, 0x80, 0x01]

    def transmit(self, command: list[int]) -> tuple[list[int], int, int]:
        self._need_card()
        return command, 0x90, 0x00

    def _need_card(self) -> None:
        if not self.service.card_present:
            raise NoCardException("Unable to connect")


def install(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """Put the double where `import smartcard` will find it."""
    package, system, errors, pcsc, scard_errors = (
        ModuleType(name)
        for name in (
            "smartcard",
            "smartcard.System",
            "smartcard.Exceptions",
            "smartcard.pcsc",
            "smartcard.pcsc.PCSCExceptions",
        )
    )
    vars(system)["readers"] = service.readers
    vars(errors).update(SmartcardException=SmartcardException, NoCardException=NoCardException)
    vars(scard_errors)["BaseSCardException"] = BaseSCardException
    vars(pcsc)["PCSCExceptions"] = scard_errors
    vars(package).update(System=system, Exceptions=errors, pcsc=pcsc, __path__=[])
    for module in (package, system, errors, pcsc, scard_errors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
