# SPDX-License-Identifier: Apache-2.0
"""Tests; `make test` runs them all. tests/README.md tells what each folder holds."""
