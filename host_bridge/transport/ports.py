# SPDX-License-Identifier: Apache-2.0
"""Serial ports that a card may be behind: told by their USB ids, then asked.

Nothing is ever sent to a port whose USB ids are not listed here, nor to one that pcscd uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serial.tools import list_ports

from host_bridge.pcscd.entry import ETC, entries
from host_bridge.transport.base import LinkTimeout, TransportError
from host_bridge.transport.serial_link import SerialTransport

# (vendor, product): the chip or firmware, from its maker's documents
USB_SERIAL = {
    (0x10C4, 0xEA60): "Silicon Labs CP210x",
    (0x1A86, 0x7523): "WCH CH340",
    (0x1A86, 0x55D3): "WCH CH343",
    (0x1A86, 0x55D4): "WCH CH9102",
    (0x0403, 0x6001): "FTDI FT232R",
    (0x0403, 0x6015): "FTDI FT231X",
    (0x303A, 0x1001): "ESP32-S3 or C3, its own USB",
    (0x303A, 0x4001): "ESP32-S2 or S3, MicroPython's USB",
}

_ANSWER_S = 1.0  # a card that is there answers in milliseconds; one that boots, within this


class UsbPort(Protocol):
    """A serial port as pyserial lists it."""

    @property
    def device(self) -> str:
        """Its path."""
        ...

    @property
    def vid(self) -> int | None:
        """The vendor's USB id; None where it is no USB device."""
        ...

    @property
    def pid(self) -> int | None:
        """The product's USB id."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A port that may be asked. `chip` names what is between USB and the board."""

    device: str
    chip: str


ListPorts = Callable[[], Iterable[UsbPort]]


class NoPort(TransportError):
    """No card answers at any port that may be asked."""


class SeveralPorts(TransportError):
    """More than one card answers."""


def candidates(ports: ListPorts = list_ports.comports, etc: Path = ETC) -> list[Candidate]:
    """The ports with the USB ids of such boards, without those that pcscd uses, by name."""
    taken = ports_of_pcscd(etc)
    return sorted(
        (
            Candidate(port.device, USB_SERIAL[port.vid, port.pid])
            for port in ports()
            if port.vid is not None
            and port.pid is not None
            and (port.vid, port.pid) in USB_SERIAL
            and Path(port.device).resolve() not in taken
        ),
        key=lambda candidate: candidate.device,
    )


def ports_of_pcscd(etc: Path = ETC) -> set[Path]:
    """The ports that pcscd's entries give to its drivers: before the first colon, as libccid."""
    return {Path(name.partition(":")[0]).resolve() for _, name in entries(etc)}


def cards_at(ports: Iterable[Candidate], timeout_s: float = _ANSWER_S) -> list[str]:
    """The devices, of these ports, behind which a card answers."""
    found = []
    for port in ports:
        with suppress(TransportError), SerialTransport(port.device, timeout_s=timeout_s):
            found.append(port.device)
    return found


def find_card(
    ports: ListPorts = list_ports.comports,
    etc: Path = ETC,
    timeout_s: float = _ANSWER_S,
) -> str:
    """The device of the only card. Raises NoPort, SeveralPorts, or why the only port fails."""
    asked = candidates(ports, etc)
    if not asked:
        raise NoPort("No serial port with the USB ids of a card's board is plugged in.")
    found = cards_at(asked, timeout_s)
    if len(found) == 1:
        return found[0]
    if found:
        raise SeveralPorts(f"Several cards answer, say which: {_listed(found)}.")
    if len(asked) == 1:
        # What is wrong with it is better said than that nothing was found.
        with suppress(LinkTimeout):
            SerialTransport(asked[0].device, timeout_s=timeout_s).close()
            return asked[0].device
    raise NoPort(f"No card answers at {', '.join(port.device for port in asked)}.")


def _listed(devices: Iterable[str]) -> str:
    return ", ".join(f"serial:{device}" for device in devices)
