# SPDX-License-Identifier: Apache-2.0
"""How older books become new ones: Alembic, run each time that a till is opened."""
