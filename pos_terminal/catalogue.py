# SPDX-License-Identifier: Apache-2.0
"""The catalogue: what the merchant sells, read from a CSV file of code, name and price."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from sqlalchemy import delete, select

from host_bridge.money import AmountError, parse_tiyn
from pos_terminal.cheque import ONE, Line
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.schema import catalogue

MAX_ITEMS = 20_000
_COLUMNS = ["code", "name", "price"]
_QUANTITY = re.compile(r"([0-9]{1,6})(?:[.,]([0-9]{1,3}))?")


class Catalogue:
    """The merchant's items, in the till's books."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, path: Path) -> int:
        """Replaces the catalogue by the CSV file, all of it or not at all; returns its length.

        The file has the columns code, name, price (in tenge). Raises TillError naming the line.
        """
        lines = read_catalogue(path)
        rows = [
            {"code": line.code, "name": line.name, "price_tiyn": line.price_tiyn} for line in lines
        ]
        with self._database.transaction() as connection:
            connection.execute(delete(catalogue))
            connection.execute(catalogue.insert(), rows)
        return len(rows)

    def line(self, text: str) -> Line:
        """The cheque's line for `CODE` or `CODE:QUANTITY`. Raises TillError."""
        code, _, quantity = text.partition(":")
        query = select(catalogue).where(catalogue.c.code == code)
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise TillError(f"The catalogue has no item '{code}'.")
        milli = parse_quantity(quantity) if quantity else ONE
        return Line(row.name, row.price_tiyn, milli, code)


def parse_quantity(text: str) -> int:
    """A quantity such as "2" or "0.350", in thousandths. Raises TillError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise TillError(f"'{text}' is not a quantity such as 2 or 0.350.")
    return int(match[1]) * ONE + int((match[2] or "").ljust(3, "0"))


def read_catalogue(path: Path) -> list[Line]:
    """The items of a catalogue file. Raises TillError naming the line that is wrong."""
    lines: dict[str, Line] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            if [column.strip() for column in next(rows, [])] != _COLUMNS:
                raise TillError(f"{path} has not the columns {', '.join(_COLUMNS)}.")
            for row in rows:
                if not row:
                    continue
                line = _line(row, f"{path}, line {rows.line_num}")
                if line.code in lines:
                    raise TillError(f"{path}, line {rows.line_num}: '{line.code}' stands twice.")
                lines[line.code] = line
                if len(lines) > MAX_ITEMS:
                    raise TillError(f"{path} has more than {MAX_ITEMS} items.")
    except OSError as error:
        raise TillError(f"{path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError):
        raise TillError(f"{path} is not a CSV file in UTF-8.") from None
    if not lines:
        raise TillError(f"{path} has no items.")
    return list(lines.values())


def _line(row: list[str], where: str) -> Line:
    if len(row) != len(_COLUMNS) or not row[0].strip() or ":" in row[0]:
        raise TillError(f"{where}: an item is a code without ':', a name and a price.")
    code, name, price = (cell.strip() for cell in row)
    try:
        return Line(name, parse_tiyn(price), code=code)
    except (AmountError, TillError) as error:
        raise TillError(f"{where}: {error}") from None
