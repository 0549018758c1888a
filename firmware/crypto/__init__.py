# SPDX-License-Identifier: Apache-2.0
"""The cryptography of the card in pure Python: the same modules run on MicroPython and CPython."""
