# SPDX-License-Identifier: Apache-2.0
"""What may be wrong with a machine: small checks over facts, each with the command that mends."""
