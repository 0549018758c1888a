# SPDX-License-Identifier: Apache-2.0
"""The merchant's till: it sells with no network, keeps what it took, and settles later."""
