# SPDX-License-Identifier: Apache-2.0
"""How a payment lies in the journal's log: four kinds of record (docs/storage.md).

INTENT is everything that the payment will be, in as few bytes as its entry can be made of again:
what the purse knows anyway (the rest of a note's RecordId, what every piece repeats) is left out.
COMMIT says that the counter was taken, SIGNED holds the signatures, VOID ends an intent whose
counter was never taken. One payment from one note takes 177 bytes, so that 23 fit in a sector.
"""

from firmware.wire.journal import KIND_PAYMENT, JournalEntry
from firmware.wire.layout import SIGNATURE_SIZE, Layout, WireError
from firmware.wire.limits import MAX_PIECES
from firmware.wire.transfer import Transfer

INTENT = 1  # _HEAD, then _PIECE for each note that pays
COMMIT = 2  # by how much the counter then stood above the intent's, u8
SIGNED = 3  # how many payments ago, u8; then the signatures, one a piece
VOID = 4  # what the element's counter stands at, u32; the intent before it, if any, is none
DONE = 7  # payment_ids whose payments are gone; only from a card of storage version 1

COMMIT_SIZE = 1
VOID_SIZE = 4

_HEAD = Layout(
    ("counter", "I"),
    ("time", "I"),
    ("purpose", "H"),
    ("cvm", "B"),
    ("payment_id", "16s"),
    ("payee", "32s"),
    ("sealed", "16s"),
)
_PIECE = Layout(
    ("slot", "B"),
    ("parent", "4s"),
    ("start", "I"),
    ("end", "I"),
    ("seq", "H"),
)
_IN_EACH = ("payment_id", "payee", "time", "cvm", "sealed")  # of a payment's transfers
PREFIX_SIZE = 4  # of a note's RecordId: with the slot it says which note


def intent_of(entry: JournalEntry, slots: "list[int]") -> bytes:
    """The INTENT of an entry that spends from the notes in these slots."""
    bodies = [Transfer.fields_of(body) for body in entry.transfer_bodies]
    head = {
        "counter": entry.counter,
        "time": entry.time,
        "purpose": entry.purpose,
        "cvm": entry.cvm,
        "payment_id": entry.payment_id,
        "payee": entry.payee,
        "sealed": bodies[0]["sealed"],
    }
    parts = [_HEAD.pack(head)]
    for slot, body in zip(slots, bodies):
        piece = {name: body[name] for name in ("start", "end", "seq")}
        piece["slot"] = slot
        piece["parent"] = body["parent"][:PREFIX_SIZE]
        parts.append(_PIECE.pack(piece))
    return b"".join(parts)


def intent_size(pieces: int) -> int:
    """How long the INTENT of a payment from so many notes is."""
    return _HEAD.size + _PIECE.size * pieces


def signed_size(pieces: int) -> int:
    """How long the SIGNED of a payment from so many notes is."""
    return 1 + SIGNATURE_SIZE * pieces


class StoredPayment:
    """An INTENT, read again. Raises WireError for bytes that are none.

    pieces: of each note its `slot`, the first bytes of its RecordId as `parent`, and what was
    spent of it: `start`, `end`, `seq`.
    """

    def __init__(self, payload: bytes) -> None:
        more, rest = divmod(len(payload) - _HEAD.size, _PIECE.size)
        if rest or not 1 <= more <= MAX_PIECES:
            raise WireError("the length of a stored payment is %d" % len(payload))
        self._head = _HEAD.unpack(payload[: _HEAD.size])
        self.counter: int = self._head["counter"]
        self.payment_id: bytes = self._head["payment_id"]
        self.payee: bytes = self._head["payee"]
        self.cvm: int = self._head["cvm"]
        starts = range(_HEAD.size, len(payload), _PIECE.size)
        self.pieces = [_PIECE.unpack(payload[at : at + _PIECE.size]) for at in starts]

    @property
    def amount(self) -> int:
        """Tiyn that all its pieces move."""
        return sum([piece["end"] - piece["start"] for piece in self.pieces])

    def entry(self, parents: "list[bytes]", signatures: "list[bytes]") -> JournalEntry:
        """The journal entry, given the whole RecordIds of its notes. Raises WireError."""
        common = {name: self._head[name] for name in _IN_EACH}
        common["flags"] = 0
        bodies = []
        for piece, parent in zip(self.pieces, parents):
            fields = dict(common)
            fields["parent"] = parent
            for name in ("start", "end", "seq"):
                fields[name] = piece[name]
            bodies.append(Transfer.body_of(fields))
        head = {name: self._head[name] for name in ("counter", "time", "purpose", "cvm")}
        head["kind"] = KIND_PAYMENT
        head["amount"] = self.amount
        head["payment_id"] = self.payment_id
        head["payee"] = self.payee
        entry = JournalEntry.build(head, bodies)
        entry.signatures = signatures
        return entry


def signatures_of(payload: bytes) -> "tuple[int, list[bytes]]":
    """How many payments ago a SIGNED is for, and its signatures. Raises WireError."""
    if len(payload) % SIGNATURE_SIZE != 1:
        raise WireError("the length of stored signatures is %d" % len(payload))
    cuts = range(1, len(payload), SIGNATURE_SIZE)
    return payload[0], [payload[at : at + SIGNATURE_SIZE] for at in cuts]
