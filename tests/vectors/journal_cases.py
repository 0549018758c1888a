# SPDX-License-Identifier: Apache-2.0
"""Vectors of journal entries, signed and not yet signed."""

import struct

from tests.vectors import craft
from tests.vectors.chain_cases import MAX_PIECES, Chain, record_id
from tests.vectors.craft import Value, invalid, pack, sha256, valid
from tests.vectors.fixed_cases import Vector, bad_signatures

ENTRY_HEAD = 68
TRANSFER_BODY = 116


def journal_entry() -> list[Vector]:
    """Journal entries with and without signatures; wrong kinds, counts, amounts, transfers."""
    return _JournalCases().vectors()


class _JournalCases:
    """Entries of one purse: payments of one to four pieces."""

    def __init__(self) -> None:
        chains = [Chain(1, number) for number in range(MAX_PIECES)]
        self.transfers = [chain.transfers[0] for chain in chains]

    def build(self, count: int, is_signed: bool = True, **changes: Value) -> bytes:
        """An entry whose transfers are the first `count` of ours."""
        transfers = self.transfers[:count]
        typical: dict[str, Value] = {"pieces": count, "amount": count * 100_000}
        body = pack(craft.JOURNAL_ENTRY, **typical | changes)
        body += b"".join(raw[:-64] for raw in transfers)
        return body + b"".join(raw[-64:] for raw in transfers if is_signed)

    def good(
        self, case: str, comment: str, count: int, is_signed: bool = True, **more: Value
    ) -> Vector:
        """A valid vector of an entry with `count` transfers."""
        raw = self.build(count, is_signed, **more)
        body = raw[: ENTRY_HEAD + TRANSFER_BODY * count]
        transfers = self.transfers[:count]
        typical: dict[str, Value] = {"pieces": count, "amount": count * 100_000}
        found = {
            name: craft.plain(value)
            for name, value in craft.fields(craft.JOURNAL_ENTRY, **typical | more).items()
            if name not in ("type", "version", "reserved")
        } | {
            "is_signed": is_signed,
            "transfer_bodies": [transfer[:-64].hex() for transfer in transfers],
            "transfers": [record_id(transfer) for transfer in transfers if is_signed],
            "signatures": [transfer[-64:].hex() for transfer in transfers if is_signed],
        }
        chained = sha256(bytes(32) + body).hex()
        return valid(f"journal_entry/{case}", comment, raw, found, chained=chained)

    def vectors(self) -> list[Vector]:
        """All of them."""
        highest = {"counter": 0xFFFFFFFF, "time": 0xFFFFFFFF, "purpose": 0xFFFF, "cvm": 2}
        return [
            self.good("typical", "one piece, signed", 1),
            self.good("unsigned", "committed, not yet signed", 1, is_signed=False),
            self.good("four-pieces", "as many as there may be", MAX_PIECES),
            self.good("four-pieces-unsigned", "not yet signed", MAX_PIECES, is_signed=False),
            self.good("lowest", "each number as low as it may be", 1, counter=0, time=0, amount=1),
            self.good("highest", "each number at its end", 2, **highest),
            *self.bad_lengths(),
            *self.bad_heads(),
            *self.bad_transfers(),
            *bad_signatures("journal_entry", self.build(1)),
        ]

    def bad_lengths(self) -> list[Vector]:
        """Cuts, and counts that do not fit the bytes."""
        one = self.build(1)
        no_fit = "which fits no"
        too_many = "number of pieces is wrong"
        cases = (
            ("empty", "no bytes at all", b"", "length is 0"),
            ("head-cut", "67 bytes", one[: ENTRY_HEAD - 1], "length is 67"),
            ("head-alone", "no transfer", one[:ENTRY_HEAD], no_fit),
            ("short-by-one", "its last byte is missing", one[:-1], no_fit),
            ("long-by-one", "a byte behind it", one + b"\0", no_fit),
            ("unsigned-short", "no signature, and a byte less", one[:-65], no_fit),
            ("half-signed", "two pieces, one signature", self.build(2)[:-64], no_fit),
            ("five-pieces", "one too many", self.build(1, pieces=5), too_many),
            ("pieces-high", "more than there are", self.build(1, pieces=2), no_fit),
            ("pieces-low", "fewer than there are", self.build(2, pieces=1), no_fit),
            ("pieces-bomb", "as many as the field says", self.build(1, pieces=255), too_many),
        )
        return [_bad_entry(*case, "length") for case in cases]

    def bad_heads(self) -> list[Vector]:
        """Fields of the head that an entry may not have."""
        wrong = "type, version or number of pieces is wrong"
        none = "a payment has at least one transfer"
        zero = "its amount is zero"
        reserved = "reserved bytes are not zero"
        cases = (
            ("type-8", "another type", self.build(1, type=8), wrong),
            ("version-0", "version 0", self.build(1, version=0), wrong),
            ("version-2", "a later version", self.build(1, version=2), wrong),
            ("reserved-01", "its reserved byte", self.build(1, reserved=1), reserved),
            ("reserved-80", "its reserved byte", self.build(1, reserved=128), reserved),
            ("kind-0", "no such kind", self.build(1, kind=0), "kind 0 is unknown"),
            ("kind-2", "no such kind", self.build(1, kind=2), "kind 2 is unknown"),
            ("no-pieces", "a payment gives something", self.build(0, amount=1), none),
            ("amount-0", "nothing", self.build(1, amount=0), zero),
            ("cvm-3", "no such verification", self.build(1, cvm=3), "verification 3"),
        )
        return [_bad_entry(*case, "field") for case in cases]

    def bad_transfers(self) -> list[Vector]:
        """Transfers inside that are none; the rest of the entry is right."""
        one = self.build(1)
        run = ENTRY_HEAD + 36  # where start and end stand
        empty_run = _patch(one, run, struct.pack(">II", 9, 9))
        last = _patch(self.build(4), ENTRY_HEAD + 3 * TRANSFER_BODY, b"\2")
        typed = _patch(one, ENTRY_HEAD, b"\2")
        cases = (
            ("transfer-type", "a note's type inside", typed, "transfer: type is 2"),
            ("fourth-type", "a note's type in the last one", last, "transfer: type is 2"),
            ("transfer-run", "an empty run inside", empty_run, "its run is empty"),
            ("unsigned-run", "the same, not yet signed", empty_run[:-64], "its run is empty"),
        )
        return [_bad_entry(*case, "field") for case in cases]


def _bad_entry(case: str, comment: str, raw: bytes, error: str, flag: str) -> Vector:
    return invalid(f"journal_entry/{case}", comment, raw, error, flag)


def _patch(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]
