# SPDX-License-Identifier: Apache-2.0
"""Cards, readers and pcscd itself come and go, and whoever watches learns of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from smartcard import scard

from firmware.wire import status
from firmware.wire.apdu import Command
from host_bridge.transport import pcsc_context
from host_bridge.transport.base import LinkLost, LinkTimeout
from host_bridge.transport.monitor import ReaderMonitor
from host_bridge.transport.open import open_transport
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.pcsc_context import NoReader, NoService, ReaderBusy, ReaderInfo
from host_bridge.transport.processors import chain
from tests.pcsc.service import PcscService, twin_reader, vpcd_reader
from tests.pcsc.test_pcsc_transport import Slots, echo
from tests.pcsc.twin import EchoAntenna, TwinReader
from tests.pcsc.vpcd import ATR_T1_EXTENDED, VpcdSlot

WAIT_S = 20.0
QUESTIONS = 8  # to pcscd in a wait in which nothing happens
NOTICED_S = 2.0  # the goal for a reader that is unplugged
ECHO = Command(0x80, 0x32, data=b"echo", le=256)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[TwinReader]:
    """A reader at a port; it is plugged in."""
    with TwinReader(tmp_path / "port") as reader:
        yield reader


def has_card(readers: list[ReaderInfo]) -> bool:
    return any(reader.has_card for reader in readers)


def test_a_card_comes_and_goes(vpcd: Slots) -> None:
    slotted = echo(vpcd[1])
    with ReaderMonitor() as monitor:
        assert [reader.has_card for reader in monitor.readers] == [False, False]
        slotted.insert()
        first, second = monitor.wait_until(has_card, WAIT_S)
        assert (first.has_card, second.has_card) == (False, True)
        assert (second.number, second.name, second.atr) == (2, vpcd[1].name, ATR_T1_EXTENDED)
        slotted.pull()
        monitor.wait_until(lambda readers: not has_card(readers), WAIT_S)


def test_a_card_that_was_exchanged_quickly_is_noticed(vpcd: Slots) -> None:
    """It is there before and after; only the number of its events tells."""
    slotted = echo(vpcd[0])
    slotted.insert()
    with ReaderMonitor() as monitor:
        slotted.pull()
        slotted.insert()
        before = monitor.readers[0]
        after = monitor.wait_for_change(WAIT_S)[0]
        assert before.has_card and after.has_card
        assert after.events > before.events
    slotted.pull()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The milliseconds of each question to pcscd about what is in its readers."""
    asked: list[int] = []
    status_change = scard.SCardGetStatusChange

    def counted(context: object, timeout_ms: int, states: object) -> object:
        asked.append(timeout_ms)
        return status_change(context, timeout_ms, states)

    monkeypatch.setattr(scard, "SCardGetStatusChange", counted)
    return asked


def test_whoever_waits_sleeps(vpcd: Slots, asked: list[int]) -> None:
    """One question that ends at an event or at the deadline, not one after another."""
    with echo(vpcd[0]), ReaderMonitor() as monitor:
        asked.clear()
        assert has_card(monitor.wait_for_change(0.3))
        assert len(asked) <= QUESTIONS


def test_nothing_happens_until_the_deadline(vpcd: Slots) -> None:
    with ReaderMonitor() as monitor:
        before = monitor.readers
        assert monitor.wait_for_change(0.1) == before
        with pytest.raises(LinkTimeout):
            monitor.wait_until(has_card, 0.1)


def test_there_must_be_a_service_to_begin_with() -> None:
    with pytest.raises(NoService):
        ReaderMonitor()


def test_pcscd_is_started_anew(tmp_path: Path, unused_pair: int) -> None:
    """Without it there are no readers; with it they are back, and nobody had to ask."""
    with PcscService(tmp_path / "pcscd", []) as service, ReaderMonitor() as monitor:
        assert monitor.readers == []
        service.stop()
        service.configure([vpcd_reader(unused_pair)])
        assert monitor.wait_for_change(0.3) == []
        service.start()
        assert len(monitor.wait_until(bool, WAIT_S)) == 2
        service.stop()
        assert monitor.wait_for_change(WAIT_S) == []
        service.start()
        slotted = echo(VpcdSlot("Virtual PCD 00 00", unused_pair))
        slotted.insert()
        assert monitor.wait_for_card("1", WAIT_S).has_card
        slotted.pull()


def test_a_card_is_waited_for_through_a_restart_of_pcscd(tmp_path: Path, unused_pair: int) -> None:
    """As our udev rule restarts it when the reader is plugged in."""
    slotted = echo(VpcdSlot("Virtual PCD 00 00", unused_pair))
    with PcscService(tmp_path / "pcscd", [vpcd_reader(unused_pair)]) as service:

        def restarted_and_inserted() -> None:
            service.restart()
            slotted.insert()

        with ReaderMonitor() as monitor:
            meanwhile = threading.Thread(target=restarted_and_inserted)
            meanwhile.start()
            try:
                assert monitor.wait_for_card("1", WAIT_S).name == slotted.slot.name
            finally:
                meanwhile.join()  # before the service is stopped, or it would start it again
        slotted.pull()


def test_whoever_waits_for_an_unplugged_reader_sleeps(
    twin: TwinReader, tmp_path: Path, asked: list[int]
) -> None:
    """pcscd keeps the name of a reader that went, and wakes us at each of its own looks."""
    service = PcscService(tmp_path / "pcscd", [twin_reader(twin.port)])
    with service, ReaderMonitor() as monitor:
        monitor.wait_until(has_card, WAIT_S)
        twin.unplug()
        monitor.wait_until(lambda readers: not readers, NOTICED_S)
        asked.clear()
        assert monitor.wait_for_change(0.3) == []
        assert len(asked) <= QUESTIONS


def test_an_unplugged_reader_is_noticed_and_comes_back(twin: TwinReader, tmp_path: Path) -> None:
    """Through libccid's own serial driver. What comes back needs a pcscd that looks for it."""
    service = PcscService(tmp_path / "pcscd", [twin_reader(twin.port)])
    with service, ReaderMonitor() as monitor:
        monitor.wait_until(has_card, WAIT_S)
        for _ in range(2):
            twin.unplug()
            unplugged = time.monotonic()
            monitor.wait_until(lambda readers: not readers, NOTICED_S)
            print(f"noticed after {time.monotonic() - unplugged:.2f} s")
            with pytest.raises(NoReader):
                open_transport("pcsc")
            twin.plug()
            service.restart()
            monitor.wait_until(has_card, WAIT_S)
            with open_transport("pcsc:qalta") as card:
                assert chain(card).send(ECHO) == (b"echo", status.OK)


def test_a_reader_unplugged_while_the_till_uses_it(twin: TwinReader, tmp_path: Path) -> None:
    """A lost link, at once: what the card did is not known, and the till does not hang."""
    with (
        PcscService(tmp_path / "pcscd", [twin_reader(twin.port)]),
        open_transport("pcsc", wait_s=WAIT_S) as card,
    ):
        assert chain(card).send(ECHO) == (b"echo", status.OK)
        twin.unplug()
        with pytest.raises(LinkLost):
            chain(card).send(ECHO)


class SlowAntenna(EchoAntenna):
    """A card that answers when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()

    def transmit(self, command: bytes) -> bytes:
        assert self.let.wait(WAIT_S)
        return super().transmit(command)


def is_free(reader: str) -> bool:
    try:
        PcscTransport(reader).close()
    except ReaderBusy:
        return False
    return True


def test_a_reader_that_never_answers_does_not_hold_the_till(tmp_path: Path) -> None:
    """L06: libccid reads for ever where its reader was unplugged within a command."""
    antenna = SlowAntenna()
    with (
        TwinReader(tmp_path / "port", antenna) as twin,
        PcscService(tmp_path / "pcscd", [twin_reader(twin.port)]),
        ReaderMonitor() as monitor,
    ):
        name = monitor.wait_for_card("", WAIT_S).name
        card = PcscTransport(name, answer_s=0.3)
        with pytest.raises(LinkTimeout, match=r"does not come back.*restart"):
            card.transmit(bytes.fromhex("8032000001aa"))
        with pytest.raises(LinkTimeout):
            card.transmit(bytes.fromhex("8032000001aa"))
        with pytest.raises(ReaderBusy):
            PcscTransport(name, answer_s=0.3)
        card.close()
        antenna.let.set()
        deadline = time.monotonic() + WAIT_S
        while not is_free(name):
            assert time.monotonic() < deadline, "what came back late still holds the reader"


def test_a_pcscd_that_listens_and_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, not ended: nobody waits for it for ever, and the command that mends it is told."""
    monkeypatch.setattr(pcsc_context, "_SERVICE_S", 0.3)
    with PcscService(tmp_path / "pcscd", []) as service:
        os.kill(service.pid, signal.SIGSTOP)
        try:
            with pytest.raises(NoService, match=r"does not answer: 'sudo .*restart"):
                open_transport("pcsc")
        finally:
            os.kill(service.pid, signal.SIGCONT)
        with pytest.raises(NoReader):
            open_transport("pcsc")
