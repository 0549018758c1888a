# SPDX-License-Identifier: Apache-2.0
"""The PC/SC transport against a double of pyscard: choice of reader, and every absence."""

import sys

import pytest

from host_bridge.transport.base import LinkLost, TransportError
from host_bridge.transport.open import open_transport
from tests.doubles import smartcard as double

SELECT = bytes.fromhex("00a4040007f051414c544101")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> double.Service:
    service = double.Service(["ACME Slot 0", "Gemalto PC Twin"])
    double.install(monkeypatch, service)
    return service


def test_exchange_and_reset(service: double.Service) -> None:
    with open_transport("pcsc:twin") as card:
        assert card.transmit(SELECT) == SELECT + b"\x90\x00"
        assert card.traffic.bytes_in == len(SELECT) + 2
        assert card.reset() == "3b8001"
    assert service.powered == 2


def test_a_card_taken_away(service: double.Service) -> None:
    with open_transport("pcsc") as card:
        service.card_present = False
        with pytest.raises(LinkLost, match="left the reader"):
            card.transmit(SELECT)
        with pytest.raises(LinkLost, match="left the reader"):
            card.reset()


def test_what_may_be_missing(service: double.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransportError, match="No reader is called 'x'; there are: ACME Slot 0, G"):
        open_transport("pcsc:x")
    service.card_present = False
    with pytest.raises(TransportError, match="no card in the reader ACME Slot 0"):
        open_transport("pcsc:acme")
    service.names.clear()
    with pytest.raises(TransportError, match="No PC/SC reader is plugged in"):
        open_transport("pcsc")
    service.running = False
    with pytest.raises(TransportError, match="service does not answer"):
        open_transport("pcsc")
    monkeypatch.setitem(sys.modules, "smartcard", None)
    with pytest.raises(TransportError, match="PC/SC readers need pyscard"):
        open_transport("pcsc")
