# SPDX-License-Identifier: Apache-2.0
"""Opens a card by the name that a person gives it on the command line."""

from boards.VIRTUAL.board import BoardError
from boards.VIRTUAL.named import find_named
from host_bridge.transport.base import LinkLost, Transport, TransportError
from host_bridge.transport.pcsc import PcscTransport
from host_bridge.transport.serial_link import SerialTransport


def open_transport(spec: str, *, timeout_s: float = 3.0) -> Transport:
    """Open `board:NAME`, `serial:DEVICE`, a bare device path, `pcsc` or `pcsc:READER`.

    timeout_s holds for serial ports. Raises TransportError with a sentence for people.
    """
    kind, _, rest = spec.partition(":")
    if kind == "board" and rest:
        return _open_board(rest, timeout_s)
    if kind == "serial" and rest:
        return SerialTransport(rest, timeout_s=timeout_s)
    if kind == "pcsc":
        return PcscTransport(rest)
    if spec.startswith("/"):
        return SerialTransport(spec, timeout_s=timeout_s)
    raise TransportError(
        f"'{spec}' names no card: use board:NAME, serial:DEVICE, a device path or pcsc:READER."
    )


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
