# SPDX-License-Identifier: Apache-2.0
"""The first schema: tables as SQL, frozen, and the rules that the database itself keeps."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """CREATE TABLE challenges (
        id INTEGER NOT NULL,
        challenge BLOB NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (challenge)
    )""",
    """CREATE TABLE denied (
        kind VARCHAR NOT NULL,
        id BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        PRIMARY KEY (kind, id),
        CONSTRAINT denied_kind CHECK (kind IN ('key', 'note'))
    )""",
    """CREATE TABLE denylists (
        epoch INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (epoch)
    )""",
    """CREATE TABLE evidence (
        evidence_id BLOB NOT NULL,
        seen_at INTEGER NOT NULL,
        reason VARCHAR NOT NULL,
        sentence VARCHAR NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (evidence_id)
    )""",
    """CREATE TABLE findings (
        id INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        kind VARCHAR NOT NULL,
        subject VARCHAR NOT NULL,
        sentence VARCHAR NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (kind, subject, sentence)
    )""",
    """CREATE TABLE foundation (
        id INTEGER NOT NULL,
        root BLOB NOT NULL,
        currency INTEGER NOT NULL,
        grace_seconds INTEGER NOT NULL,
        PRIMARY KEY (id)
    )""",
    """CREATE TABLE participants (
        name VARCHAR NOT NULL,
        role INTEGER NOT NULL,
        certificate BLOB NOT NULL,
        bank VARCHAR,
        note_caps VARCHAR NOT NULL,
        PRIMARY KEY (name),
        FOREIGN KEY(bank) REFERENCES participants (name)
    )""",
    """CREATE TABLE postings (
        id INTEGER NOT NULL,
        time INTEGER NOT NULL,
        kind VARCHAR NOT NULL,
        reference BLOB NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (kind, reference)
    )""",
    """CREATE TABLE waiting (
        waiting_id BLOB NOT NULL,
        parent BLOB NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (waiting_id)
    )""",
    "CREATE INDEX waiting_parent ON waiting (parent)",
    """CREATE TABLE clients (
        client_id VARCHAR NOT NULL,
        bank VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        kyc_reference VARCHAR NOT NULL,
        is_merchant INTEGER NOT NULL,
        mcc INTEGER NOT NULL,
        purposes VARCHAR NOT NULL,
        PRIMARY KEY (client_id),
        FOREIGN KEY(bank) REFERENCES participants (name)
    )""",
    """CREATE TABLE lines (
        id INTEGER NOT NULL,
        posting INTEGER NOT NULL,
        book VARCHAR NOT NULL,
        account VARCHAR NOT NULL,
        debit INTEGER NOT NULL,
        credit INTEGER NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT line_sign CHECK (debit >= 0 AND credit >= 0),
        CONSTRAINT line_side CHECK ((debit = 0) <> (credit = 0)),
        FOREIGN KEY(posting) REFERENCES postings (id) DEFERRABLE INITIALLY DEFERRED
    )""",
    "CREATE INDEX lines_account ON lines (book, account)",
    "CREATE INDEX lines_posting ON lines (posting)",
    """CREATE TABLE policies (
        bank VARCHAR NOT NULL,
        version INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (bank, version),
        FOREIGN KEY(bank) REFERENCES participants (name)
    )""",
    """CREATE TABLE certificates (
        record_id BLOB NOT NULL,
        role INTEGER NOT NULL,
        serial BLOB NOT NULL,
        public_key BLOB NOT NULL,
        client_id VARCHAR NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (record_id),
        UNIQUE (serial),
        UNIQUE (public_key),
        FOREIGN KEY(client_id) REFERENCES clients (client_id)
    )""",
    """CREATE TABLE purses (
        serial BLOB NOT NULL,
        view_key BLOB NOT NULL,
        state VARCHAR NOT NULL,
        PRIMARY KEY (serial),
        CONSTRAINT purse_state CHECK (state IN ('active', 'quarantined')),
        FOREIGN KEY(serial) REFERENCES certificates (serial)
    )""",
    """CREATE TABLE journal (
        serial BLOB NOT NULL,
        counter INTEGER NOT NULL,
        "before" BLOB NOT NULL,
        chain BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (serial, counter),
        UNIQUE (serial, "before"),
        FOREIGN KEY(serial) REFERENCES purses (serial)
    )""",
    """CREATE TABLE notes (
        record_id BLOB NOT NULL,
        note_id BLOB NOT NULL,
        owner BLOB NOT NULL,
        serial BLOB NOT NULL,
        value INTEGER NOT NULL,
        attestation BLOB NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (record_id),
        UNIQUE (note_id),
        UNIQUE (owner),
        FOREIGN KEY(serial) REFERENCES purses (serial)
    )""",
    """CREATE TABLE statements (
        record_id BLOB NOT NULL,
        serial BLOB NOT NULL,
        policy_version INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (record_id),
        FOREIGN KEY(serial) REFERENCES purses (serial)
    )""",
    """CREATE TABLE acknowledgements (
        statement BLOB NOT NULL,
        counter INTEGER NOT NULL,
        serial BLOB NOT NULL,
        time INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (statement, counter),
        FOREIGN KEY(statement) REFERENCES statements (record_id),
        FOREIGN KEY(serial) REFERENCES purses (serial)
    )""",
    """CREATE TABLE transfers (
        record_id BLOB NOT NULL,
        note BLOB NOT NULL,
        parent BLOB NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        payee BLOB NOT NULL,
        payment_id BLOB NOT NULL,
        payer BLOB NOT NULL,
        from_purse INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        withheld INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (record_id),
        CONSTRAINT transfer_parts CHECK (from_purse + claimed + withheld = "end" - start),
        FOREIGN KEY(note) REFERENCES notes (record_id),
        FOREIGN KEY(payee) REFERENCES certificates (record_id),
        FOREIGN KEY(payer) REFERENCES purses (serial)
    )""",
    "CREATE INDEX transfers_parent ON transfers (parent)",
    "CREATE INDEX transfers_payment ON transfers (payment_id)",
    """CREATE TABLE claims (
        transfer BLOB NOT NULL,
        bank VARCHAR NOT NULL,
        client_id VARCHAR NOT NULL,
        amount INTEGER NOT NULL,
        PRIMARY KEY (transfer),
        FOREIGN KEY(transfer) REFERENCES transfers (record_id),
        FOREIGN KEY(bank) REFERENCES participants (name),
        FOREIGN KEY(client_id) REFERENCES clients (client_id)
    )""",
    """CREATE TABLE proofs (
        proof_id BLOB NOT NULL,
        first BLOB NOT NULL,
        second BLOB NOT NULL,
        payer BLOB NOT NULL,
        found_at INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (proof_id),
        FOREIGN KEY(first) REFERENCES transfers (record_id),
        FOREIGN KEY(second) REFERENCES transfers (record_id),
        FOREIGN KEY(payer) REFERENCES purses (serial)
    )""",
    """CREATE TABLE spent (
        parent BLOB NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        transfer BLOB NOT NULL,
        PRIMARY KEY (parent, start),
        FOREIGN KEY(transfer) REFERENCES transfers (record_id)
    )""",
)

# Signed or posted once means for ever: nothing is changed or deleted.
_PERMANENT = (
    "notes",
    "transfers",
    "spent",
    "claims",
    "proofs",
    "denylists",
    "policies",
    "journal",
    "statements",
    "acknowledgements",
    "postings",
    "lines",
    "evidence",
)

_RULES = (
    # The posting's row comes behind its lines and seals them; deferred foreign keys allow it.
    """CREATE TRIGGER posting_balances AFTER INSERT ON postings
    WHEN EXISTS (SELECT 1 FROM lines WHERE posting = NEW.id
                 GROUP BY book HAVING sum(debit) <> sum(credit))
      OR NOT EXISTS (SELECT 1 FROM lines WHERE posting = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the posting does not balance'); END""",
    """CREATE TRIGGER posting_sealed BEFORE INSERT ON lines
    WHEN EXISTS (SELECT 1 FROM postings WHERE id = NEW.posting)
    BEGIN SELECT RAISE(ABORT, 'the posting is sealed'); END""",
    # No unit of a parent is paid out twice (invariant I1).
    """CREATE TRIGGER spent_once BEFORE INSERT ON spent
    WHEN EXISTS (SELECT 1 FROM spent WHERE parent = NEW.parent
                 AND start < NEW."end" AND "end" > NEW.start)
    BEGIN SELECT RAISE(ABORT, 'the units are spent'); END""",
    # A child lies within its parent, be that a transfer or the note.
    """CREATE TRIGGER transfer_inside BEFORE INSERT ON transfers
    WHEN NOT EXISTS (SELECT 1 FROM transfers WHERE record_id = NEW.parent
                     AND start <= NEW.start AND "end" >= NEW."end")
     AND NOT EXISTS (SELECT 1 FROM notes WHERE record_id = NEW.parent AND value >= NEW."end")
    BEGIN SELECT RAISE(ABORT, 'the transfer is outside its parent'); END""",
)


def upgrade() -> None:
    """Make every table and rule."""
    for statement in _TABLES:
        op.execute(statement)
    for table in _PERMANENT:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are permanent'); END"
            )
    for rule in _RULES:
        op.execute(rule)
