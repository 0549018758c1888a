# SPDX-License-Identifier: Apache-2.0
"""Bounds of protocol version 1 that are fixed in code. What a bank may change is in a policy."""

PROTOCOL_VERSION = 1

MAX_PIECES = 4  # tokens that one PAY may give: more notes than this are not combined
MAX_HOPS = 8  # transfers in one chain; a note's own hop_limit is usually lower
MAX_CHAINED = 1024  # bytes of data that command chaining may gather

JOURNAL_CAPACITY = 64  # entries that wait for an acknowledgement; a full journal refuses to pay
PAYMENTS_KEPT = 72  # acknowledged payments for which there is always room beside a full journal
TOKEN_KEYS = 16  # slots for notes on one purse, each with a key of its own
KNOWN_CERTIFICATES = 16  # bank, issuer and authority certificates that a purse remembers

COUNTER_JUMP = 16  # how far a chip's counter may run ahead of an intent where its power failed

PIN_TRIES = 3
PUK_TRIES = 10
PIN_MIN = 4  # digits
PIN_MAX = 12
PUK_SIZE = 8  # digits

VIEW_KEY_SIZE = 16
CHALLENGE_SIZE = 16
