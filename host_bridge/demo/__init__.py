# SPDX-License-Identifier: Apache-2.0
"""Scenarios: a small world from a TOML file, played on real cards, tills and a bank."""
