# SPDX-License-Identifier: Apache-2.0
"""The PC/SC transport on a real pcscd: choice of reader, protocols, lengths, every absence."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from smartcard import scard
from smartcard.System import readers as pyscard_readers

from host_bridge.closing import Closing
from host_bridge.transport.base import LinkLost, Traffic, TransportError
from host_bridge.transport.open import open_transport
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.pcsc_context import (
    CardGone,
    MuteCard,
    NoCard,
    NoPermission,
    NoPyscard,
    NoReader,
    NoService,
    PcscContext,
    ReaderBusy,
    SeveralReaders,
    choose,
)
from tests.pcsc.service import PcscService, socket_path, vpcd_reader
from tests.pcsc.vpcd import ATR_T0, ATR_T1_EXTENDED, Tear, VpcdCard, VpcdSlot

OK = b"\x90\x00"
NOBODY = 65534
_CHILD_S = 60

Slots = tuple[VpcdSlot, VpcdSlot]


class EchoCard(Closing):
    """A card that answers with the very command that it got, its Le or P3 included."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def transmit(self, command: bytes) -> bytes:
        return command + OK

    def reset(self) -> str:
        return "echo"

    def close(self) -> None:
        """Nothing to let go."""


def echo(slot: VpcdSlot, atr: bytes = ATR_T1_EXTENDED) -> VpcdCard:
    return VpcdCard(EchoCard, slot, atr=atr)


def sentence(open_card: Callable[[], object], kind: type[TransportError]) -> str:
    """What people are told, in one line."""
    with pytest.raises(kind) as caught:
        open_card()
    told = str(caught.value)
    assert "\n" not in told
    assert told.endswith((".", "'.")), told
    return told


# -- what may be missing ------------------------------------------------------------------


def test_no_pyscard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smartcard", None)
    assert "pip install" in sentence(lambda: open_transport("pcsc"), NoPyscard)


def test_no_pcscd() -> None:
    assert "does not run" in sentence(lambda: open_transport("pcsc"), NoService)


def test_no_permission(tmp_path: Path, root: Path) -> None:
    """In a process of its own, which becomes a user who may not write to the socket."""
    program = (
        "import os\nfrom smartcard import scard\n"
        "from host_bridge.transport.open import open_transport\n"
        "from host_bridge.transport.pcsc_context import NoPermission\n"
        f"os.geteuid() or (os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY}))\n"
        "try:\n    open_transport('pcsc')\nexcept NoPermission as error:\n    print(error)\n"
    )
    with PcscService(tmp_path / "pcscd", []):
        socket_path().chmod(0o000)
        told = subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_CHILD_S,
            check=True,
        )
    assert told.stdout.startswith("The PC/SC service does not serve this user"), told.stderr


@pytest.mark.parametrize("call", ["SCardEstablishContext", "SCardConnect"])
def test_polkit_refuses(vpcd: Slots, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Debian 12's pcscd asks no polkit, newer ones do; this is the code with which they refuse."""
    with echo(vpcd[0]):
        refused = [scard.SCARD_W_SECURITY_VIOLATION, 0, 0][: 2 + (call == "SCardConnect")]
        monkeypatch.setattr(scard, call, lambda *_: refused)
        told = sentence(lambda: open_transport("pcsc:1"), NoPermission)
        monkeypatch.undo()
    assert "org.debian.pcsc-lite.access_pcsc" in told


def test_no_reader(tmp_path: Path) -> None:
    with PcscService(tmp_path / "pcscd", []):
        assert sentence(lambda: open_transport("pcsc"), NoReader) == (
            "No PC/SC reader is plugged in."
        )


def test_a_wrong_readers_name(vpcd: Slots) -> None:
    told = sentence(lambda: open_transport("pcsc:acme"), NoReader)
    assert told.startswith("No reader is called 'acme'; there are: 1 Virtual PCD 00 00, 2 Virt")


def test_two_readers_are_never_chosen_from(vpcd: Slots) -> None:
    with echo(vpcd[0]):
        for spec in ("pcsc", "pcsc:", "pcsc:virtual"):
            told = sentence(partial(open_transport, spec), SeveralReaders)
            assert "1 Virtual PCD 00 00, 2 Virtual PCD 00 01" in told


def test_no_card(vpcd: Slots) -> None:
    told = sentence(lambda: open_transport("pcsc:2"), NoCard)
    assert told == "There is no card in the reader Virtual PCD 00 01."


def test_a_mute_card(vpcd: Slots) -> None:
    with echo(vpcd[0], b"\x00\x00"):
        assert "does not answer as a card" in sentence(lambda: open_transport("pcsc:1"), MuteCard)


def test_a_reader_in_use(vpcd: Slots) -> None:
    """By a program that lets others in, and by one that does not: our access is exclusive."""
    with echo(vpcd[0]):
        connection = pyscard_readers()[0].createConnection()
        connection.connect()
        assert "in use by another program" in sentence(lambda: PcscTransport("1"), ReaderBusy)
        connection.release()
        with PcscTransport("1"):
            assert "in use" in sentence(lambda: PcscTransport("1"), ReaderBusy)
        PcscTransport("1").close()


# -- choice ------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["2", "Virtual PCD 00 01", "virtual pcd 00 01", "00 01", " 2 "])
def test_a_reader_by_number_name_or_part(vpcd: Slots, wanted: str) -> None:
    with echo(vpcd[1]), PcscTransport(wanted) as card:
        assert card.reader == "Virtual PCD 00 01"


def test_a_name_that_is_part_of_another_one(tmp_path: Path, vpcd: Slots) -> None:
    """The whole name wins over names that it is a part of."""
    with PcscContext() as context:
        readers = context.readers()
    assert choose(readers, "VIRTUAL PCD 00 00").number == 1
    with pytest.raises(SeveralReaders):
        choose(readers, "pcd 00")


# -- the card ----------------------------------------------------------------------------


def test_exchange_reset_and_count(vpcd: Slots) -> None:
    with echo(vpcd[0]) as slotted, PcscTransport("1") as card:
        assert card.protocol == "T=1"
        assert card.transmit(b"\x00\xa4\x04\x00") == b"\x00\xa4\x04\x00" + OK
        powered = slotted.resets
        assert card.reset() == ATR_T1_EXTENDED.hex()
        assert slotted.resets == powered + 1
        assert (card.traffic.apdus, card.traffic.bytes_out, card.traffic.bytes_in) == (1, 4, 6)


def test_every_opening_is_a_new_tap(vpcd: Slots) -> None:
    """The card loses its power when it is let go: what one program showed it, it has forgotten."""
    with echo(vpcd[0]) as slotted:
        powered = []
        for _ in range(3):
            PcscTransport("1").close()
            powered.append(slotted.resets)
        assert powered[0] < powered[1] < powered[2]


@pytest.mark.parametrize("size", [24, 255, 256, 261, 1024, 60_000])
def test_l03_lengths(vpcd: Slots, size: int) -> None:
    command = bytes(index % 251 for index in range(size))
    with echo(vpcd[0]), PcscTransport("1") as card:
        assert card.extended_length
        assert card.transmit(command) == command + OK


def test_t0_carries_no_le_behind_data(vpcd: Slots) -> None:
    """ISO 7816-3: a case 1 has a P3 of zero, a case 4 keeps its answer for GET RESPONSE."""
    with echo(vpcd[0], ATR_T0) as slotted, PcscTransport("1") as card:
        assert card.protocol == "T=0"
        assert not card.extended_length
        cases = {
            "00a40400": "00a4040000",
            "00c0000010": "00c0000010",
            "8032000003aabbcc": "8032000003aabbcc",
            "8032000003aabbcc00": "8032000003aabbcc",
        }
        for command, carried in cases.items():
            assert card.transmit(bytes.fromhex(command)).hex() == carried + "9000"
            assert slotted.commands[-1].hex() == carried
        with pytest.raises(TransportError, match="cannot carry an extended APDU"):
            card.transmit(bytes.fromhex("803200000100") + bytes(256))


def test_a_command_of_impossible_length_is_not_sent(vpcd: Slots) -> None:
    with echo(vpcd[0]) as slotted, PcscTransport("1") as card:
        for command in (b"", b"\x00\xa4\x04"):
            with pytest.raises(TransportError, match="cannot be sent"):
                card.transmit(command)
        assert slotted.commands == []


def test_a_card_pulled_at_a_command_and_put_back(vpcd: Slots) -> None:
    slotted = echo(vpcd[0])
    slotted.insert(Tear(1, True))
    with PcscTransport("1") as card:
        for broken in (lambda: card.transmit(b"\x00\xa4\x04\x00"), card.reset):
            with pytest.raises(TransportError, match=r"Virtual PCD 00 00\.$"):
                broken()
    slotted.wait_until_out()
    slotted.insert()
    with PcscTransport("1") as card:
        assert card.transmit(b"\x00\xa4\x04\x00").endswith(OK)
    slotted.pull()


def test_a_pulled_card_is_a_lost_link(vpcd: Slots) -> None:
    """The till must know that the answer is lost, and not that the card refused."""
    slotted = echo(vpcd[0])
    for acted in (False, True):
        slotted.insert(Tear(1, acted))
        with PcscTransport("1") as card, pytest.raises(LinkLost) as caught:
            card.transmit(b"\x80\x32\x00\x00")
        assert isinstance(caught.value, CardGone)
        slotted.wait_until_out()


def test_pcscd_ends_in_the_middle(tmp_path: Path, unused_pair: int) -> None:
    service = PcscService(tmp_path / "pcscd", [vpcd_reader(unused_pair)])
    service.start()
    slotted = echo(VpcdSlot("Virtual PCD 00 00", unused_pair))
    slotted.insert()
    with PcscTransport("1") as card:
        service.stop()
        with pytest.raises(NoService):
            card.transmit(b"\x00\xa4\x04\x00")


# -- waiting for a card ------------------------------------------------------------------


def test_a_card_is_waited_for(vpcd: Slots) -> None:
    """It is put in while the till waits; the wait ends then, and not at its deadline."""
    slotted = echo(vpcd[1])
    inserted = threading.Thread(target=slotted.insert)
    inserted.start()
    with open_transport("pcsc:2", wait_s=60.0) as card:
        assert card.transmit(b"\x00\xa4\x04\x00").endswith(OK)
    inserted.join()
    slotted.pull()


def test_no_card_within_the_deadline(vpcd: Slots) -> None:
    assert "no card" in sentence(lambda: open_transport("pcsc:1", wait_s=0.2), NoCard)
