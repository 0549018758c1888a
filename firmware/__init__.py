# SPDX-License-Identifier: Apache-2.0
"""What runs on a board. `wire`, `crypto` and `purse` also run unchanged on CPython."""
