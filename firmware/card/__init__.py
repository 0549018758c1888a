# SPDX-License-Identifier: Apache-2.0
"""The ISO 7816 application: one command, one file; dispatch; secure channel."""
