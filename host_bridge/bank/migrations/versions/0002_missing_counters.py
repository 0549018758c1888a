# SPDX-License-Identifier: Apache-2.0
"""Counters that a purse took and that its journal does not show: an older memory put back."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLE = """CREATE TABLE missing_counters (
        serial BLOB NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        head BLOB NOT NULL,
        how VARCHAR NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (serial, first, last, how),
        CONSTRAINT missing_how CHECK (how IN ('counter', 'journal', 'purse')),
        CONSTRAINT missing_order CHECK (first <= last),
        FOREIGN KEY(serial) REFERENCES purses (serial)
    )"""


def upgrade() -> None:
    """Make the table; what was seen once is never changed."""
    op.execute(_TABLE)
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER missing_counters_no_{change.lower()} BEFORE {change} "
            "ON missing_counters "
            "BEGIN SELECT RAISE(ABORT, 'missing_counters are permanent'); END"
        )
