# SPDX-License-Identifier: Apache-2.0
"""Running the API: uvicorn on the loopback address, in the foreground or beside a test."""

from __future__ import annotations

import ipaddress
import socket
import threading
from pathlib import Path
from types import TracebackType

import uvicorn

from host_bridge.bank.api import build_app
from host_bridge.bank.founding import read_token
from host_bridge.bank.reference import ReferenceBank
from host_bridge.sync.port import BankRefused

START_SECONDS = 10.0

_MAX_CONNECTIONS = 64
_KEEP_ALIVE_SECONDS = 5


class BankServer:
    """One bank on one port. `run` stays in the foreground; `with` runs it in a thread.

    The port is bound when the object is made: with port 0, `url` says which one it became.
    """

    def __init__(
        self,
        bank: ReferenceBank,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        beyond_loopback: bool = False,
    ) -> None:
        """Raises BankRefused for an address that is not loopback, unless that is asked for."""
        app = build_app(bank, read_token(folder))
        self._socket = _bind(host, port, beyond_loopback)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._server = _Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until interrupted."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def __enter__(self) -> BankServer:
        self._thread = threading.Thread(target=self.run, name="bank", daemon=True)
        self._thread.start()
        if not self._server.is_up.wait(START_SECONDS):
            raise BankRefused("The bank's server did not start.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(START_SECONDS)


class _Server(uvicorn.Server):
    """Says when it is up, so that nobody has to guess."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.is_up.set()


def _bind(host: str, port: int, beyond_loopback: bool) -> socket.socket:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise BankRefused(f"'{host}' is not an IPv4 address such as 127.0.0.1.") from None
    if not address.is_loopback and not beyond_loopback:
        raise BankRefused(
            f"{host} is not this machine alone; say --beyond-loopback if that is meant."
        )
    if not 0 <= port <= 65_535:
        raise BankRefused(f"{port} is not a port.")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise BankRefused(f"{host}:{port} cannot be used: {error.strerror}.") from None
    return found
