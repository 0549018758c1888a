# SPDX-License-Identifier: Apache-2.0
"""The till's first books."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    _payments()
    _trust()
    op.create_table(
        "catalogue",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price_tiyn", sa.Integer, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("item", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("payment_id", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("amount_tiyn", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Integer, nullable=False),
        sa.Column("time", sa.Integer, nullable=False),
        sa.Column("cheque", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("payee", sa.LargeBinary(200), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("apdus", sa.Integer, nullable=False, server_default="0"),
        sa.Column("bytes_out", sa.Integer, nullable=False, server_default="0"),
        sa.Column("bytes_in", sa.Integer, nullable=False, server_default="0"),
        sa.Column("wall_us", sa.Integer, nullable=False, server_default="0"),
        sa.CheckConstraint("amount_tiyn > 0"),
    )
    payment = sa.ForeignKey("payments.payment_id")
    op.create_table(
        "steps",
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("payment_id", sa.LargeBinary(16), payment, nullable=False, index=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("time", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    payment = sa.ForeignKey("payments.payment_id")
    op.create_table(
        "taken",
        sa.Column("record_id", sa.LargeBinary(32), primary_key=True),
        sa.Column("parent", sa.LargeBinary(32), nullable=False, index=True),
        sa.Column("transfer", sa.LargeBinary, nullable=False),
        sa.Column("payment_id", sa.LargeBinary(16), payment, nullable=False),
    )


def _trust() -> None:
    op.create_table(
        "certificates",
        sa.Column("key_id", sa.LargeBinary(8), primary_key=True),
        sa.Column("not_before", sa.Integer, nullable=False),
        sa.Column("certificate", sa.LargeBinary(200), nullable=False),
    )
    op.create_table(
        "denylists",
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("denylist", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "carried",
        sa.Column("serial", sa.LargeBinary(16), primary_key=True),
        sa.Column("acknowledgement", sa.LargeBinary, nullable=False),
        sa.Column("policy", sa.LargeBinary),
    )
