# SPDX-License-Identifier: Apache-2.0
"""The till's one SQLite file: opened for this program alone, every commit on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from pos_terminal.errors import TillError

_LOCK_WAIT_S = 0.5
_MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """The books of one till, at the newest schema. Raises TillError if they cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = _engine(path)
        try:
            with self.transaction() as connection:
                _migrate(connection)
        except TillError:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of it on the disk, or nothing. Raises TillError where the disk says no."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise TillError(
                "The till's books have this entry already; is its random source broken?"
            ) from None
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            sentence = f"The till cannot use its books {self.path.name}: {reason}."
            if "locked" in str(reason):
                sentence = f"The till in {self.path.parent} is in use by another program."
            raise TillError(sentence) from None

    def close(self) -> None:
        """Let the file go."""
        self.engine.dispose()


def _engine(path: Path) -> Engine:
    """One connection, held for good: this lock keeps a second program out."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"timeout": _LOCK_WAIT_S},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below, not the driver's guesses
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _migrate(connection: Connection) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        alembic.command.upgrade(config, "head")
    except CommandError:
        raise TillError("The till's books were written by a newer program than this.") from None
