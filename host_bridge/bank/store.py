# SPDX-License-Identifier: Apache-2.0
"""The bank's one SQLite file: how it is opened, migrated, and changed all or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from host_bridge.sync.port import BankRefused

DATABASE = "bank.sqlite"

_BUSY_TIMEOUT_MS = 20_000  # how long one writer waits for another, also of another process
_MODE = 0o600  # it holds view keys
_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)
_READ_ONLY = "qalta_read_only"


class Store:
    """Transactions over one file. `write` is serialised, `read` sees one moment."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if it is not there, and bring its schema up to date.

        Raises BankRefused where that cannot be done.
        """
        self.path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _MODE))
        self._engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        try:
            self._migrate()
        except CommandError:
            self.close()
            raise BankRefused(f"{path} was written by a newer program than this.") from None
        except OperationalError as error:
            self.close()
            raise BankRefused(f"The file {path} cannot be used now: {error.orig}.") from None
        except DatabaseError:
            self.close()
            raise BankRefused(f"The file {path} is not a bank's database.") from None

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "host_bridge.bank:migrations")
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; rolled back if it raises."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of one moment that waits for nobody."""
        with self._engine.connect().execution_options(**{_READ_ONLY: True}) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # Python's own implicit transactions begin too late and not IMMEDIATE: switch them off.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
