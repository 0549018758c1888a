# SPDX-License-Identifier: Apache-2.0
"""Chains of transfers, and the vectors of tokens."""

from tests.vectors import craft
from tests.vectors.craft import Key, Value, invalid, sha256, signed, valid
from tests.vectors.fixed_cases import Vector, bad_signatures

MAX_HOPS = 8
MAX_PIECES = 4


def record_id(raw: bytes) -> str:
    """The RecordId of a signed record, in hex."""
    return sha256(raw[:-64]).hex()


def payee_certificate(number: int) -> bytes:
    """The certificate of test payee `number`, a purse."""
    key = craft.PAYEES[number]
    serial = craft.filler(f"payee {number}", 16)
    changes: dict[str, Value] = {"role": 5, "mcc": 0, "purposes": (0,) * 4, "label": bytes(24)}
    return signed(craft.CERTIFICATE, craft.BANK, serial=serial, public_key=key.public, **changes)


class Chain:
    """A note and a chain of properly linked transfers: each payee spends the front of its run."""

    def __init__(self, hops: int, number: int = 0) -> None:
        label = f"chain note {number}"
        self.note = signed(
            craft.NOTE, craft.ISSUER, note_id=craft.filler(label, 16), hop_limit=MAX_HOPS
        )
        self.certificates = [payee_certificate(hop) for hop in range(hops)]
        self.transfers: list[bytes] = []
        parent, signer = self.note, craft.TOKEN_KEY
        for hop, certificate in enumerate(self.certificates):
            raw = self.transfer(signer, parent, certificate, 100_000 - 1_000 * hop)
            self.transfers.append(raw)
            parent, signer = raw, craft.PAYEES[hop]

    @staticmethod
    def transfer(signer: Key, parent: bytes, payee: bytes, end: int, start: int = 0) -> bytes:
        """Units [start, end) of `parent`, given to the holder of `payee`."""
        return signed(
            craft.TRANSFER,
            signer,
            seq=0,
            parent=sha256(parent[:-64]),
            start=start,
            end=end,
            payee=sha256(payee[:-64]),
            payment_id=craft.filler(f"{end}", 16),
        )

    @property
    def records(self) -> list[bytes]:
        """The records of the token, in the order of the wire."""
        pairs = zip(self.certificates[:-1], self.transfers[:-1], strict=True)
        return [self.note, *(raw for pair in pairs for raw in pair), self.transfers[-1]]

    @property
    def raw(self) -> bytes:
        """The token."""
        return b"".join(self.records)

    @property
    def found(self) -> list[object]:
        """The token as the vectors say it: note, hops, newest transfer, by RecordId."""
        pairs = zip(self.certificates[:-1], self.transfers[:-1], strict=True)
        hops = [[record_id(certificate), record_id(transfer)] for certificate, transfer in pairs]
        return [record_id(self.note), hops, record_id(self.transfers[-1])]

    @property
    def amount(self) -> int:
        """How much the newest transfer moves."""
        return 100_000 - 1_000 * (len(self.transfers) - 1)


def token() -> list[Vector]:
    """Answers of PAY: from one token of one hop to four of eight; wrong order, cuts, too many."""
    one, two, three = Chain(1), Chain(2, 1), Chain(3, 2)
    longest = [Chain(MAX_HOPS, number) for number in range(MAX_PIECES)]
    return [
        _good("one-hop", "a note and its transfer, 360 bytes", one),
        _good("two-hops", "740 bytes", two),
        _good("eight-hops", "as many as there may be", longest[0]),
        _good("two-pieces", "two tokens of different length", one, three),
        _good("four-pieces", "as many as there may be", one, two, three, Chain(1, 4)),
        _good("longest", "four tokens of eight hops each", *longest),
        *_bad_lengths(one, two, longest[0]),
        *_bad_order(two),
        *bad_signatures("token", one.raw),
    ]


def _good(case: str, comment: str, *chains: Chain) -> Vector:
    found = {
        "tokens": [chain.found for chain in chains],
        "amounts": [chain.amount for chain in chains],
    }
    return valid(f"token/{case}", comment, b"".join(chain.raw for chain in chains), found)


def _bad_lengths(one: Chain, two: Chain, longest: Chain) -> list[Vector]:
    raw = one.raw
    note, certificate, _, _ = two.records
    cases = (
        ("empty", "no bytes at all", b"", "it is empty"),
        ("note-alone", "no transfer", one.note, "transfer: length is 0"),
        ("short-by-one", "cut in the transfer", raw[:-1], "transfer: length is 179"),
        ("long-by-one", "a byte behind it", raw + b"\2", "note: length is 1"),
        ("cut-in-note", "99 bytes", note[:99], "note: length is 99"),
        ("cut-in-hop", "cut in a hop", note + certificate[:9], "certificate: length is 9"),
        ("five-pieces", "one too many", raw * (MAX_PIECES + 1), "more than 4 tokens"),
        ("nine-hops", "one too many", _with_one_hop_more(longest), "more than 8 hops"),
    )
    return [invalid(f"token/{case}", *rest, "length") for case, *rest in cases]


def _bad_order(two: Chain) -> list[Vector]:
    note, certificate, first, second = two.records
    cases: tuple[tuple[str, str, tuple[bytes, ...], str], ...] = (
        ("no-note", "a transfer alone", (first,), "note: type is 3"),
        ("certificate-first", "no note", (certificate, first), "note: "),
        ("hop-swapped", "a transfer first", (note, first, certificate, second), "note: "),
        ("no-newest", "a hop alone", (note, certificate, first), "transfer: length is 0"),
        ("two-certificates", "no transfer", (note, certificate, certificate), "transfer: "),
        ("two-transfers", "no certificate", (note, first, second), "note: type is 3"),
        ("two-notes", "no transfer behind the first", (note, note), "transfer: "),
        ("unknown-record", "a policy's type", (note, b"\4" + first[1:]), "transfer: type is 4"),
    )
    return [
        invalid(f"token/{case}", comment, b"".join(records), error, "order")
        for case, comment, records, error in cases
    ]


def _with_one_hop_more(chain: Chain) -> bytes:
    newest = chain.certificates[-1]
    extra = Chain.transfer(craft.PAYEES[MAX_HOPS - 1], chain.transfers[-1], newest, 5)
    return b"".join([*chain.records[:-1], newest, chain.transfers[-1], extra])
