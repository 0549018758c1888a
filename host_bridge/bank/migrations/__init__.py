# SPDX-License-Identifier: Apache-2.0
"""How a bank's database gets from any older form to the present one (Alembic)."""
