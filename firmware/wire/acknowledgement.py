# SPDX-License-Identifier: Apache-2.0
"""Acknowledgements: a bank's word that it holds a purse's journal (protocol sections 3, 5)."""

from firmware.wire.layout import Layout, Record


class Acknowledgement(Record):
    """Frees the purse's journal up to `counter` and with it the offline totals."""

    NAME = "acknowledgement"
    TYPE = 5
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("reserved", "2s"),
        ("serial", "16s"),
        ("bank", "8s"),
        ("counter", "I"),
        ("time", "I"),
        ("policy_version", "I"),
        ("chain", "32s"),
        ("signature", "64s"),
    )
    serial: bytes
    bank: bytes
    counter: int
    time: int
    policy_version: int
    chain: bytes  # the journal's hash at `counter`, so that it fits this history and no fork
