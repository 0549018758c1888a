# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: migrate over the connection that `pos_terminal.database` hands in."""

from alembic import context

from pos_terminal.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
