# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the revisions over the connection that `store` hands in."""

from alembic import context

from host_bridge.bank.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The store has begun the transaction: a cut leaves the old schema or the new one.
    transactional_ddl=True,
)
context.run_migrations()
