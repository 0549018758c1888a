# SPDX-License-Identifier: Apache-2.0
"""A payment on the purse: everything that may refuse it first, then its five steps.

intent → counter → commit → sign → answer (protocol section 4). A cut before the counter moves
leaves the state before; a cut after it leaves the state after, for RECOVER to answer.
"""

from firmware.crypto.aes import encrypt_block
from firmware.purse import caps
from firmware.purse.held import Held, Wish, choose
from firmware.purse.ports import StorageDamaged
from firmware.purse.trust import Rejected, UnknownSigner
from firmware.purse.verify import check_terminal
from firmware.wire import status
from firmware.wire.apdu import LIFECYCLE_ACTIVE, PAY_DATA
from firmware.wire.certificate import Certificate
from firmware.wire.journal import KIND_PAYMENT, JournalEntry
from firmware.wire.layout import WireError, sha256
from firmware.wire.status import Refusal
from firmware.wire.transfer import CVM_NONE, CVM_PIN, SEALED, Transfer

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.purse.purse import Purse
    from firmware.purse.stored import StoredPayment


class Request:
    """The data of a PAY, parsed."""

    def __init__(self, raw: bytes) -> None:
        fields = PAY_DATA.unpack(raw)
        self.amount: int = fields["amount"]
        self.currency: int = fields["currency"]
        self.purpose: int = fields["purpose"]
        self.payment_id: bytes = fields["payment_id"]
        self.time: int = fields["time"]
        try:
            self.payee = Certificate.parse(fields["payee"])
        except WireError:
            raise Refusal(status.PAYEE_CERTIFICATE) from None
        if self.amount == 0:
            raise Refusal(status.WRONG_DATA)


def pay(purse: "Purse", raw: bytes, with_pin: bool) -> bytes:
    """The tokens that pay `raw`; the same request twice gives the same answer, paid once.

    Raises Refusal before anything has changed.
    """
    request = Request(raw)
    purse.require(LIFECYCLE_ACTIVE)
    now = purse.now(request.time)
    _check_payee(purse, request, now)
    known = purse.journal.find(request.payment_id)
    if known is not None:
        if known.payee != request.payee.record_id or known.amount != request.amount:
            raise Refusal(status.WRONG_DATA)  # a till whose random numbers repeat
        return answer_again(purse, known)
    policy = purse.profile.policy
    journal = purse.journal
    caps.check(policy, journal.since, request.amount, now, purse.last_sync, with_pin)
    wish = Wish(request.amount, request.purpose, request.payee, now)
    pieces = choose(purse.held, wish, policy)
    if purse.check_counter() >= purse.element.COUNTER_END:
        raise Refusal(status.COUNTER_EXHAUSTED)
    for held, _ in pieces:
        if not purse.element.has_key(held.slot):
            raise StorageDamaged("the key of slot %d" % held.slot)
    entry = _plan(purse, request, pieces, with_pin)
    if not purse.journal.has_room(entry):
        raise Refusal(status.JOURNAL_FULL)
    return _carry_out(purse, entry, [held.slot for held, _ in pieces])


def _check_payee(purse: "Purse", request: Request, now: int) -> None:
    if request.currency != purse.profile.currency:
        raise Refusal(status.WRONG_CURRENCY)
    try:
        check_terminal(purse.profile.trust, request.payee, now)
    except UnknownSigner:
        raise Refusal(status.NOT_FOUND) from None  # the till presents its bank, then asks again
    except Rejected:
        raise Refusal(status.PAYEE_CERTIFICATE) from None
    if not request.payee.valid_at(request.time):  # no bank would pay out what is dated so
        raise Refusal(status.PAYEE_CERTIFICATE)
    if request.payee.currency != request.currency:
        raise Refusal(status.WRONG_CURRENCY)


def _plan(
    purse: "Purse", request: Request, pieces: "list[tuple[Held, int]]", with_pin: bool
) -> JournalEntry:
    """The entry that this payment will be, its transfers not yet signed."""
    counter = purse.journal.explained + 1  # `check_counter` has compared it
    sealed = {
        "counter": counter,
        "offline_total": purse.journal.since.total + request.amount,
        "chain": purse.journal.head[:8],
    }
    common = {
        "payee": request.payee.record_id,
        "payment_id": request.payment_id,
        "time": request.time,
        "cvm": CVM_PIN if with_pin else CVM_NONE,
        "flags": 0,
        "sealed": encrypt_block(purse.profile.view_key, SEALED.pack(sealed)),
    }
    bodies = []
    for held, amount in pieces:
        fields = dict(common)
        fields["parent"] = held.parent
        fields["seq"] = held.seq
        fields["start"] = held.start
        fields["end"] = held.start + amount
        bodies.append(Transfer.body_of(fields))
    head = {
        "kind": KIND_PAYMENT,
        "counter": counter,
        "time": request.time,
        "amount": request.amount,
        "purpose": pieces[0][0].purpose,
        "cvm": common["cvm"],
        "payment_id": request.payment_id,
        "payee": common["payee"],
    }
    return JournalEntry.build(head, bodies)


def _carry_out(purse: "Purse", entry: JournalEntry, slots: "list[int]") -> bytes:
    """intent → counter → commit → sign → answer."""
    purse.journal.write_intent(entry, slots)
    taken = purse.element.advance()
    if taken != entry.counter:
        # A chip's counter may jump where its power failed; the entry must carry the number
        # that was taken, so nothing is paid and the till asks again.
        purse.journal.void_intent(taken)
        raise Refusal(status.FAILURE)
    purse.journal.commit(taken)
    return answer(purse, entry)


def with_signatures(purse: "Purse", entry: JournalEntry) -> JournalEntry:
    """The entry with its signatures, made and stored now if a power cut came before them."""
    return _signed(purse, entry, entry.parents)


def _signed(purse: "Purse", entry: JournalEntry, parents: "list[bytes]") -> JournalEntry:
    if not entry.is_signed:
        entry.signatures = []
        for parent, body in zip(parents, entry.transfer_bodies):
            slot, _ = purse.note_of(parent)
            entry.signatures.append(purse.element.sign(slot, sha256(body)))
        purse.journal.keep_signatures(entry)
    return entry


def answer_again(purse: "Purse", known: "StoredPayment") -> bytes:
    """The tokens of a payment that was made before. Raises Refusal(6985) if its note is gone."""
    for piece in known.pieces:
        if not any(held.prefix == piece["parent"] for held in purse.held):
            raise Refusal(status.CONDITIONS_NOT_MET)
    return answer(purse, purse.journal.at(known.counter))


def answer(purse: "Purse", entry: JournalEntry) -> bytes:
    """The tokens of a committed entry: note and transfer, one pair a piece."""
    parts: "list[bytes]" = []
    parents = entry.parents
    entry = _signed(purse, entry, parents)
    for parent, body, signature in zip(parents, entry.transfer_bodies, entry.signatures):
        _, note = purse.note_of(parent)
        parts.extend((note, body, signature))
    return b"".join(parts)
