# SPDX-License-Identifier: Apache-2.0
"""The tables of the bank as they are now; `migrations/` is how a database gets there.

Money is in tiyn, times are Unix seconds, records are kept as the very bytes that were signed.
The rules that the database itself keeps (postings balanced, sealed and never changed; no unit
of a note spent twice; children inside their parent) are triggers of the first migration.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

# One row for the whole bank: what the founding decided.
foundation = Table(
    "foundation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("currency", Integer, nullable=False),
    Column("grace_seconds", Integer, nullable=False),
)

# Issuer, notary, banks, authorities: whose certificate the root signed.
participants = Table(
    "participants",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", Integer, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("bank", String, ForeignKey("participants.name")),  # where an authority's budget is
    Column("note_caps", String, nullable=False),  # JSON, for banks
)

policies = Table(
    "policies",
    metadata,
    Column("bank", String, ForeignKey("participants.name"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", String, primary_key=True),
    Column("bank", String, ForeignKey("participants.name"), nullable=False),
    Column("name", String, nullable=False),
    Column("kyc_reference", String, nullable=False),
    Column("is_merchant", Integer, nullable=False),
    Column("mcc", Integer, nullable=False),
    Column("purposes", String, nullable=False),  # JSON list
)

# Purses and terminals, by the RecordId that transfers name.
certificates = Table(
    "certificates",
    metadata,
    Column("record_id", LargeBinary, primary_key=True),
    Column("role", Integer, nullable=False),
    Column("serial", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False, unique=True),
    Column("client_id", String, ForeignKey("clients.client_id"), nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

purses = Table(
    "purses",
    metadata,
    Column("serial", LargeBinary, ForeignKey("certificates.serial"), primary_key=True),
    Column("view_key", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    CheckConstraint("state IN ('active', 'quarantined')", name="purse_state"),
)

challenges = Table(
    "challenges",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("challenge", LargeBinary, nullable=False, unique=True),
)

notes = Table(
    "notes",
    metadata,
    Column("record_id", LargeBinary, primary_key=True),
    Column("note_id", LargeBinary, nullable=False, unique=True),
    Column("owner", LargeBinary, nullable=False, unique=True),
    Column("serial", LargeBinary, ForeignKey("purses.serial"), nullable=False),
    Column("value", Integer, nullable=False),
    Column("attestation", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

# Every genuine transfer, once. `from_purse` of its units came out of the parent, `claimed` were
# spent before and are a claim on the spender, `withheld` were the same payee's already.
transfers = Table(
    "transfers",
    metadata,
    Column("record_id", LargeBinary, primary_key=True),
    Column("note", LargeBinary, ForeignKey("notes.record_id"), nullable=False),
    Column("parent", LargeBinary, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("payee", LargeBinary, ForeignKey("certificates.record_id"), nullable=False),
    Column("payment_id", LargeBinary, nullable=False),
    Column("payer", LargeBinary, ForeignKey("purses.serial"), nullable=False),
    Column("from_purse", Integer, nullable=False),
    Column("claimed", Integer, nullable=False),
    Column("withheld", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    CheckConstraint('from_purse + claimed + withheld = "end" - start', name="transfer_parts"),
    Index("transfers_parent", "parent"),
    Index("transfers_payment", "payment_id"),
)

# Which units of a parent were paid out of it: disjoint, by trigger.
spent = Table(
    "spent",
    metadata,
    Column("parent", LargeBinary, primary_key=True),
    Column("start", Integer, primary_key=True),
    Column("end", Integer, nullable=False),
    Column("transfer", LargeBinary, ForeignKey("transfers.record_id"), nullable=False),
)

# Transfers of a journal whose parent has not been uploaded yet.
waiting = Table(
    "waiting",
    metadata,
    # Of the whole bytes: nobody knows yet whether the signature is good.
    Column("waiting_id", LargeBinary, primary_key=True),
    Column("parent", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index("waiting_parent", "parent"),
)

claims = Table(
    "claims",
    metadata,
    Column("transfer", LargeBinary, ForeignKey("transfers.record_id"), primary_key=True),
    Column("bank", String, ForeignKey("participants.name"), nullable=False),
    Column("client_id", String, ForeignKey("clients.client_id"), nullable=False),
    Column("amount", Integer, nullable=False),
)

proofs = Table(
    "proofs",
    metadata,
    Column("proof_id", LargeBinary, primary_key=True),
    Column("first", LargeBinary, ForeignKey("transfers.record_id"), nullable=False),
    Column("second", LargeBinary, ForeignKey("transfers.record_id"), nullable=False),
    Column("payer", LargeBinary, ForeignKey("purses.serial"), nullable=False),
    Column("found_at", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

denied = Table(
    "denied",
    metadata,
    Column("kind", String, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("epoch", Integer, nullable=False),
    CheckConstraint("kind IN ('key', 'note')", name="denied_kind"),
)

denylists = Table(
    "denylists",
    metadata,
    Column("epoch", Integer, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

# A purse's own history: no counter twice, and no point of the chain with two successors.
journal = Table(
    "journal",
    metadata,
    Column("serial", LargeBinary, ForeignKey("purses.serial"), primary_key=True),
    Column("counter", Integer, primary_key=True),
    Column("before", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("serial", "before"),
)

# Counters that a purse's statement does not explain. Its journal ends before `first`; up to `last`
# goes its own counter ('counter', and 'purse' if it locked itself for that, so that it is no
# jump), or what the bank has of its journal ('journal').
missing_counters = Table(
    "missing_counters",
    metadata,
    Column("serial", LargeBinary, ForeignKey("purses.serial"), primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, primary_key=True),
    Column("head", LargeBinary, nullable=False),  # the chain's hash before `first`
    Column("how", String, primary_key=True),
    Column("seen_at", Integer, nullable=False),
    CheckConstraint("how IN ('counter', 'journal', 'purse')", name="missing_how"),
    CheckConstraint("first <= last", name="missing_order"),
)

statements = Table(
    "statements",
    metadata,
    Column("record_id", LargeBinary, primary_key=True),
    Column("serial", LargeBinary, ForeignKey("purses.serial"), nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

# One for a statement; another only if entries that had no signatures yet have them by now.
acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("statement", LargeBinary, ForeignKey("statements.record_id"), primary_key=True),
    Column("counter", Integer, primary_key=True),
    Column("serial", LargeBinary, ForeignKey("purses.serial"), nullable=False),
    Column("time", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

# The journal of the books. `hash` takes in the posting before, so a change shows.
postings = Table(
    "postings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("reference", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("kind", "reference"),
)

lines = Table(
    "lines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "posting",
        Integer,
        ForeignKey("postings.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("book", String, nullable=False),
    Column("account", String, nullable=False),
    Column("debit", Integer, nullable=False),
    Column("credit", Integer, nullable=False),
    CheckConstraint("debit >= 0 AND credit >= 0", name="line_sign"),
    CheckConstraint("(debit = 0) <> (credit = 0)", name="line_side"),
    Index("lines_account", "book", "account"),
    Index("lines_posting", "posting"),
)

# Bytes that were refused, with the reason: kept for people, never believed.
evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", LargeBinary, primary_key=True),
    Column("seen_at", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("sentence", String, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seen_at", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("sentence", String, nullable=False),
    UniqueConstraint("kind", "subject", "sentence"),
)
