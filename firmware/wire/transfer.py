# SPDX-License-Identifier: Apache-2.0
"""Transfers: the front of a run of units moved to a payee (protocol sections 1 and 3)."""

from firmware.wire.layout import SIGNATURE_SIZE, Layout, Record, WireError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

CVM_NONE = 0
CVM_PIN = 1
CVM_DISPLAY = 2  # confirmed on the purse's own display

PAYMENT_ID_SIZE = 16


class Transfer(Record):
    """Units [start, end) of one parent, given to one payee, signed by the parent's holder."""

    NAME = "transfer"
    TYPE = 3
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("seq", "H"),
        ("parent", "32s"),
        ("start", "I"),
        ("end", "I"),
        ("payee", "32s"),
        ("payment_id", "16s"),
        ("time", "I"),
        ("cvm", "B"),
        ("flags", "B"),
        ("reserved", "2s"),
        ("sealed", "16s"),
        ("signature", "64s"),
    )
    seq: int
    parent: bytes
    start: int
    end: int
    payee: bytes
    payment_id: bytes
    time: int
    cvm: int
    flags: int
    sealed: bytes

    def check(self) -> None:
        """A run that is not empty, a known cardholder verification, no flags yet."""
        if self.start >= self.end:
            raise WireError("its run is empty")
        if self.cvm > CVM_DISPLAY:
            raise WireError("cardholder verification %d is unknown" % self.cvm)
        if self.flags:
            raise WireError("unknown flags are set")

    @classmethod
    def fields_of(cls, body: bytes) -> "dict[str, Any]":
        """The fields of a transfer that is not signed yet, by name."""
        return cls.LAYOUT.unpack(body + bytes(SIGNATURE_SIZE))

    @property
    def amount_tiyn(self) -> int:
        """How much it moves."""
        return self.end - self.start

    def overlaps(self, other: "Transfer") -> bool:
        """Whether both claim at least one unit of the same parent."""
        same = self.parent == other.parent
        return same and self.start < other.end and other.start < self.end


# What a transfer's `sealed` hides from all but the payer's own bank: one AES-128 block under
# the view key. The two halves of the block are the place in the purse's own journal.
SEALED = Layout(("counter", "I"), ("offline_total", "I"), ("chain", "8s"))
