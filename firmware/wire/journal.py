# SPDX-License-Identifier: Apache-2.0
"""What a purse tells its bank: journal entries, their chain, and the signed statement.

Types 08, 09 and 0B are this project's own, for protocol section 5. An entry's hash takes in
the hash before it, so that a bank sees a gap, a change or a fork in a purse's history.
"""

from firmware.wire.layout import SIGNATURE_SIZE, Layout, Record, WireError, check_point, sha256
from firmware.wire.limits import MAX_PIECES
from firmware.wire.transfer import CVM_DISPLAY, Transfer

KIND_PAYMENT = 1

CHAIN_START = bytes(32)

# In range, and no key's: what stands behind a transfer's body while it is checked unsigned.
_NO_SIGNATURE = (bytes(31) + b"\x01") * 2
_TRANSFER_BODY = Transfer.LAYOUT.size - SIGNATURE_SIZE


class JournalEntry:
    """One numbered spending operation of a purse: so far, a payment.

    It holds the bodies of its transfers from the moment it is committed; their signatures
    follow, and are not part of the hash. `payee` is the RecordId of the payee's certificate.
    """

    NAME = "journal entry"
    TYPE = 9
    VERSION = 1
    HEAD = Layout(
        ("type", "B"),
        ("version", "B"),
        ("kind", "B"),
        ("pieces", "B"),
        ("counter", "I"),
        ("time", "I"),
        ("amount", "I"),
        ("purpose", "H"),
        ("cvm", "B"),
        ("reserved", "B"),
        ("payment_id", "16s"),
        ("payee", "32s"),
    )
    kind: int
    pieces: int
    counter: int
    time: int
    amount: int
    purpose: int
    cvm: int
    payment_id: bytes
    payee: bytes

    def __init__(self, body: bytes, signatures: "list[bytes]") -> None:
        self.body = body
        self.signatures = signatures
        for name, value in self.HEAD.unpack(body[: self.HEAD.size]).items():
            setattr(self, name, value)

    @classmethod
    def build(cls, fields: "dict[str, object]", bodies: "list[bytes]") -> "JournalEntry":
        """A new entry, not yet signed: `bodies` are the transfers without signatures."""
        head = dict(fields)
        head["type"] = cls.TYPE
        head["version"] = cls.VERSION
        head["pieces"] = len(bodies)
        return cls(cls.HEAD.pack(head) + b"".join(bodies), [])

    @classmethod
    def parse(cls, raw: bytes) -> "JournalEntry":
        """An entry with or without its signatures. Raises WireError for anything else."""
        try:
            return cls._parse(bytes(raw))
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None

    @classmethod
    def _parse(cls, raw: bytes) -> "JournalEntry":
        if len(raw) < cls.HEAD.size:
            raise WireError("length is %d, less than %d" % (len(raw), cls.HEAD.size))
        pieces = raw[3]
        end = cls.HEAD.size + pieces * _TRANSFER_BODY
        if raw[0] != cls.TYPE or raw[1] != cls.VERSION or pieces > MAX_PIECES:
            raise WireError("type, version or number of pieces is wrong")
        if len(raw) not in (end, end + pieces * SIGNATURE_SIZE):
            raise WireError("length is %d, which fits no %d pieces" % (len(raw), pieces))
        tail = raw[end:]
        cuts = range(0, len(tail), SIGNATURE_SIZE)
        entry = cls(raw[:end], [tail[at : at + SIGNATURE_SIZE] for at in cuts])
        entry._check()
        return entry

    def _check(self) -> None:
        if self.kind != KIND_PAYMENT:
            raise WireError("kind %d is unknown" % self.kind)
        if self.pieces == 0:
            raise WireError("a payment has at least one transfer")
        if self.amount == 0:
            raise WireError("its amount is zero")
        if self.cvm > CVM_DISPLAY:
            raise WireError("cardholder verification %d is unknown" % self.cvm)
        signatures = self.signatures or [_NO_SIGNATURE] * self.pieces
        for body, signature in zip(self.transfer_bodies, signatures):
            Transfer.parse(body + signature)

    @property
    def raw(self) -> bytes:
        """Body and, once they are there, signatures."""
        return self.body + b"".join(self.signatures)

    @property
    def is_signed(self) -> bool:
        """Whether every transfer has its signature."""
        return len(self.signatures) == self.pieces

    @property
    def transfer_bodies(self) -> "list[bytes]":
        """The bodies that are signed, one a piece."""
        first = self.HEAD.size
        starts = range(first, first + self.pieces * _TRANSFER_BODY, _TRANSFER_BODY)
        return [self.body[at : at + _TRANSFER_BODY] for at in starts]

    @property
    def parents(self) -> "list[bytes]":
        """The RecordIds of what it spends from, one a piece."""
        return [Transfer.fields_of(body)["parent"] for body in self.transfer_bodies]

    @property
    def transfers(self) -> "list[Transfer]":
        """The signed transfers; only for an entry that `is_signed`."""
        pairs = zip(self.transfer_bodies, self.signatures)
        return [Transfer.parse(body + signature) for body, signature in pairs]

    def chained(self, before: bytes) -> bytes:
        """The chain's hash behind this entry, given the one before it."""
        return sha256(before + self.body)


class Statement(Record):
    """A purse's word about its journal, signed by its identity key over a bank's challenge."""

    NAME = "statement"
    TYPE = 8
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("entries", "H"),
        ("serial", "16s"),
        ("challenge", "16s"),
        ("counter", "I"),
        ("acknowledged", "I"),
        ("anchor", "32s"),
        ("head", "32s"),
        ("policy_version", "I"),
        ("denylist_epoch", "I"),
        ("signature", "64s"),
    )
    entries: int
    serial: bytes
    challenge: bytes
    counter: int
    acknowledged: int
    anchor: bytes  # the chain's hash at `acknowledged`
    head: bytes  # the chain's hash behind the newest entry
    policy_version: int
    denylist_epoch: int


class KeyAttestation(Record):
    """A token key made in a purse's element, vouched for by its identity key."""

    NAME = "key attestation"
    TYPE = 11
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("slot", "B"),
        ("reserved", "B"),
        ("serial", "16s"),
        ("challenge", "16s"),
        ("public_key", "64s"),
        ("signature", "64s"),
    )
    slot: int
    serial: bytes
    challenge: bytes
    public_key: bytes

    def check(self) -> None:
        """A point of the curve."""
        check_point(self.public_key)
