# SPDX-License-Identifier: Apache-2.0
"""The tables of the till's books. A change here needs a new file in `migrations/versions`."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from host_bridge.sync.outbox import outbox_table

metadata = MetaData()

# One row a sale, written before the card is asked.
payments = Table(
    "payments",
    metadata,
    Column("number", Integer, primary_key=True),  # 1, 2, 3…: the cheque's number on this till
    Column("payment_id", LargeBinary(16), nullable=False, unique=True),
    Column("state", Text, nullable=False, index=True),
    Column("amount_tiyn", Integer, nullable=False),
    Column("purpose", Integer, nullable=False),
    Column("time", Integer, nullable=False),  # Unix seconds, as PAY carries it
    Column("cheque", LargeBinary, nullable=False),
    Column("salt", LargeBinary(16), nullable=False, unique=True),  # a repeat fails closed
    Column("payee", LargeBinary(200), nullable=False),  # the certificate that PAY carries
    Column("answer", LargeBinary, nullable=False, server_default=""),  # the card's last word
    Column("reason", Text, nullable=False, server_default=""),
    Column("apdus", Integer, nullable=False, server_default="0"),
    Column("bytes_out", Integer, nullable=False, server_default="0"),
    Column("bytes_in", Integer, nullable=False, server_default="0"),
    Column("wall_us", Integer, nullable=False, server_default="0"),
    CheckConstraint("amount_tiyn > 0"),
)

# Every step of every payment, never changed: what the merchant shows in a dispute.
steps = Table(
    "steps",
    metadata,
    Column("step", Integer, primary_key=True),
    Column("payment_id", ForeignKey("payments.payment_id"), nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("time", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

# Transfers of accepted payments: a run that overlaps one of them was spent before.
taken = Table(
    "taken",
    metadata,
    Column("record_id", LargeBinary(32), primary_key=True),
    Column("parent", LargeBinary(32), nullable=False, index=True),
    Column("transfer", LargeBinary, nullable=False),
    Column("payment_id", ForeignKey("payments.payment_id"), nullable=False),
)

# Certificates under the root, newer ones than those that the till was installed with too.
certificates = Table(
    "certificates",
    metadata,
    Column("key_id", LargeBinary(8), primary_key=True),
    Column("not_before", Integer, nullable=False),
    Column("certificate", LargeBinary(200), nullable=False),
)

denylists = Table(
    "denylists",
    metadata,
    Column("epoch", Integer, primary_key=True),
    Column("denylist", LargeBinary, nullable=False),
)

# Acknowledgements that wait for their card to come back.
carried = Table(
    "carried",
    metadata,
    Column("serial", LargeBinary(16), primary_key=True),
    Column("acknowledgement", LargeBinary, nullable=False),
    Column("policy", LargeBinary),
)

catalogue = Table(
    "catalogue",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price_tiyn", Integer, nullable=False),
)

outbox = outbox_table(metadata)
