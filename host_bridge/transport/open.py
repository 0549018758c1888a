# SPDX-License-Identifier: Apache-2.0
"""Opens a card by the name that a person gives it on the command line."""

from boards.VIRTUAL.board import BoardError
from boards.VIRTUAL.named import find_named
from host_bridge.transport.base import LinkLost, Transport, TransportError
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.pcsc_context import PcscContext, PcscError
from host_bridge.transport.ports import candidates, cards_at, find_card
from host_bridge.transport.serial_link import SerialTransport
from host_bridge.transport.trace import Traced, is_shown


def open_transport(spec: str, *, timeout_s: float = 3.0, wait_s: float = 0.0) -> Transport:
    """Open `board:NAME`, `serial[:DEVICE]`, a bare device path, `pcsc[:READER]` or `auto`.

    `serial` alone asks the ports that may have a card; `auto` takes the only card that is within
    reach of a port or a reader. timeout_s holds for serial ports; wait_s is how long a PC/SC
    reader waits for a card. Raises TransportError with a sentence for people.
    """
    transport = _open(_only_card() if spec == "auto" else spec, timeout_s, wait_s)
    return Traced(transport) if is_shown() else transport


def _open(spec: str, timeout_s: float, wait_s: float) -> Transport:
    kind, _, rest = spec.partition(":")
    if kind == "board" and rest:
        return _open_board(rest, timeout_s)
    if spec == "serial":
        return SerialTransport(find_card(), timeout_s=timeout_s)
    if kind == "serial" and rest:
        return SerialTransport(rest, timeout_s=timeout_s)
    if kind == "pcsc":
        return PcscTransport(rest, wait_s=wait_s)
    if spec.startswith("/"):
        return SerialTransport(spec, timeout_s=timeout_s)
    raise TransportError(
        f"'{spec}' names no card: use board:NAME, serial[:DEVICE], a device path, pcsc[:READER] "
        "or auto."
    )


def _only_card() -> str:
    """The card that `auto` means. Raises TransportError unless there is exactly one."""
    found = [f"serial:{device}" for device in cards_at(candidates())]
    try:
        with PcscContext() as context:
            found += [f"pcsc:{reader.name}" for reader in context.readers() if reader.has_card]
    except PcscError:
        pass  # without PC/SC there are still the ports
    if len(found) == 1:
        return found[0]
    if not found:
        raise TransportError("No card is within reach of a serial port or a PC/SC reader.")
    raise TransportError(f"Several cards are within reach, say which: {', '.join(found)}.")


def _open_board(name: str, timeout_s: float) -> SerialTransport:
    try:
        board = find_named(name)
    except BoardError as error:
        raise TransportError(str(error)) from None
    if board.port is None:
        raise TransportError(f"Board '{name}' is not running: 'qalta board start {name}'.")
    transport = SerialTransport(board.port, timeout_s=timeout_s)
    if find_named(name) != board:
        # It ended meanwhile, and its port's number may belong to another board already.
        transport.close()
        raise LinkLost(f"Board '{name}' ended while it was being opened.")
    return transport
