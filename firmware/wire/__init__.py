# SPDX-License-Identifier: Apache-2.0
"""The one definition of the protocol: records, APDUs, status words, limits, framing.

Both interpreters import it, so a layout or a number that stands here stands nowhere else.
The byte tables for people are in `docs/protocol/`; a test compares the two.
"""
