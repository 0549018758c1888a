# SPDX-License-Identifier: Apache-2.0
"""Which serial ports are asked for a card: by their USB ids, never one that is not listed."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from boards.VIRTUAL.board import VirtualBoard
from host_bridge.transport.base import TransportError
from host_bridge.transport.ports import (
    USB_SERIAL,
    ListPorts,
    NoPort,
    SeveralPorts,
    candidates,
    find_card,
    ports_of_pcscd,
)
from host_bridge.transport.serial_link import SerialTransport

CP2102 = (0x10C4, 0xEA60)
ESP32_S3 = (0x303A, 0x1001)
MODEM = (0x0E8D, 0x0003)
ANSWER_S = 0.2  # of ports where nothing answers


@dataclass(frozen=True)
class Port:
    """A port as pyserial lists it."""

    device: str
    vid: int | None = None
    pid: int | None = None


class Line:
    """A serial port at whose far end the test listens."""

    def __init__(self) -> None:
        self.far_end, self._near_end = os.openpty()
        tty.setraw(self._near_end)
        os.set_blocking(self.far_end, False)
        self.device = os.ttyname(self._near_end)

    def heard(self) -> bytes:
        """What was sent to it."""
        try:
            return os.read(self.far_end, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.far_end)
        os.close(self._near_end)


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.close()


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """An /etc whose pcscd has no port."""
    folder = tmp_path / "etc"
    (folder / "reader.conf.d").mkdir(parents=True)
    return folder


def listing(*ports: Port) -> ListPorts:
    return lambda: ports


def test_candidates_are_known_by_their_usb_ids(nowhere: Path) -> None:
    known = [Port(f"/dev/ttyUSB{n}", *ids) for n, ids in enumerate(USB_SERIAL)]
    others = [Port("/dev/ttyACM7", *MODEM), Port("/dev/ttyS0"), Port("/dev/ttyS1", 0x10C4)]
    found = candidates(listing(*others, *reversed(known)), nowhere)
    assert [port.device for port in found] == [port.device for port in known]
    assert found[0].chip == "Silicon Labs CP210x"


def test_the_card_is_found_among_ports(board: VirtualBoard, line: Line, nowhere: Path) -> None:
    """A modem is not asked; a board where nothing answers is, and passed over."""
    with_modem = Line()
    try:
        ports = listing(
            Port(with_modem.device, *MODEM),
            Port(line.device, *CP2102),
            Port(board.port, *ESP32_S3),
        )
        assert find_card(ports, nowhere, ANSWER_S) == board.port
        assert with_modem.heard() == b"", "it has no business with us"
        assert line.heard() != b"", "it was asked"
    finally:
        with_modem.close()


def test_a_port_of_pcscd_is_not_asked(line: Line, nowhere: Path) -> None:
    """A reader that pcscd talks to would take our frame for noise in the middle of its own."""
    link = nowhere.parent / "qalta-reader"
    link.symlink_to(line.device)
    conf = nowhere / "reader.conf.d"
    (conf / "qalta").write_text(f'FRIENDLYNAME "Q"\nDEVICENAME {link}:GemPCTwin\n')
    (conf / "commented").write_text("#DEVICENAME /dev/ttyS0:GemPCTwin\n")
    (conf / "vpcd").write_text("DEVICENAME   /dev/null:0x8C7B\n")
    assert ports_of_pcscd(nowhere) == {Path(line.device), Path("/dev/null")}
    with pytest.raises(NoPort, match="No serial port with the USB ids"):
        find_card(listing(Port(line.device, *CP2102)), nowhere, ANSWER_S)
    assert line.heard() == b""


def test_two_cards_are_not_chosen_from(
    board: VirtualBoard, nowhere: Path, tmp_path: Path, image: Path
) -> None:
    other = tmp_path / "other.img"
    other.write_bytes(image.read_bytes())
    with VirtualBoard(other) as second:
        ports = listing(Port(board.port, *CP2102), Port(second.port, *ESP32_S3))
        with pytest.raises(SeveralPorts) as caught:
            find_card(ports, nowhere, ANSWER_S)
        told = str(caught.value)
        assert f"serial:{board.port}" in told and f"serial:{second.port}" in told


def test_no_ports_at_all(nowhere: Path) -> None:
    with pytest.raises(NoPort, match="No serial port with the USB ids"):
        find_card(listing(), nowhere)
    with pytest.raises(NoPort, match="No serial port with the USB ids"):
        find_card(listing(Port("/dev/ttyACM7", *MODEM)), nowhere)


def test_no_card_behind_the_ports(line: Line, nowhere: Path) -> None:
    with pytest.raises(NoPort, match=f"No card answers at {line.device}"):
        find_card(listing(Port(line.device, *CP2102)), nowhere, ANSWER_S)


def test_what_is_wrong_with_the_only_port_is_said(board: VirtualBoard, nowhere: Path) -> None:
    ports = listing(Port(board.port, *CP2102))
    with (
        SerialTransport(board.port),
        pytest.raises(TransportError, match="in use by another program"),
    ):
        find_card(ports, nowhere, ANSWER_S)
