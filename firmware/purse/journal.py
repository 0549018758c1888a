# SPDX-License-Identifier: Apache-2.0
"""The purse's journal: numbered, hash-chained payments that wait for the bank (section 5).

It lies in a log of its own (`stored`). What is left of each note and what counts against the
caps follows from the entries alone; of each one a few numbers are kept at hand.
"""

from array import array

from firmware.purse import stored
from firmware.purse.caps import Since
from firmware.purse.held import Held
from firmware.purse.ports import LOST, Log, StorageDamaged
from firmware.purse.state import State
from firmware.purse.stored import StoredPayment
from firmware.wire import status
from firmware.wire.journal import JournalEntry
from firmware.wire.status import Refusal
from firmware.wire.transfer import CVM_NONE, PAYMENT_ID_SIZE

_ID_PREFIX = 4  # bytes of a payment_id that are kept in memory, to look for it
_MAX_BACK = 255


class Journal:
    """The entries in a log. `held` are the purse's notes, which the entries spend from."""

    def __init__(self, log: Log, state: State, held: "list[Held]") -> None:
        """Reads it all. Raises WireError or StorageDamaged."""
        self._log = log
        self._state = state
        self._held = held
        self.is_whole = True  # whether every payment that the bank lacks is here
        self.has_gap = False  # records were lost behind the newest payment that is here
        self.anchor: bytes = state["anchor"]  # the chain's hash at `acknowledged`
        self.head: bytes = self.anchor  # the chain's hash behind the newest entry
        self.since = Since()
        self._counters = array("I")  # of every entry that is kept, the oldest first
        self._places = array("I")  # where each one's INTENT lies
        self._signed = array("I")  # where its SIGNED lies; 0: it has none
        self._ids = array("I")  # how its payment_id begins
        self._done = b""  # payment_ids that an older storage knew, and no more of the payments
        self._taken = 0  # what the newest COMMIT or VOID says that the counter stood at
        self._explains = 0  # where that, or the INTENT before it, lies
        self._open: "tuple[int, StoredPayment] | None" = None  # an INTENT not yet ended
        log.load(self._see)
        self._keep()

    # -- reading -----------------------------------------------------------------------------

    def _see(self, place: int, kind: int, payload: bytes) -> None:
        if kind == stored.INTENT:
            if self._open is not None and self._open[1].counter > self.acknowledged:
                self.is_whole = False  # what ended it is lost
            self._open = (place, StoredPayment(payload))
        elif kind == stored.COMMIT and self._open is not None:
            self._check_follows(self._open[1].counter)
            self._count_in(payload[0])
        elif kind == stored.SIGNED:
            back, _ = stored.signatures_of(payload)
            # Behind a gap it may be another payment's; what has none is signed once more.
            if back < len(self._signed) and not self.has_gap:
                self._signed[len(self._signed) - 1 - back] = place
        elif kind == stored.VOID:
            counter = int.from_bytes(payload, "big")
            if self.has_gap and counter > self.explained:
                self.is_whole = False  # the payments that the counter was taken for are lost
            self._end_at(place, counter)
        elif kind == LOST:
            self.has_gap = True  # unless a payment with the very next counter follows
        elif kind == stored.DONE:
            self._done += payload

    def _check_follows(self, counter: int) -> None:
        """Between this payment and what came before it no number may be missing."""
        before = max(self._taken, self.acknowledged)
        if counter > self.acknowledged and counter != before + 1:
            self.is_whole = False

    def _count_in(self, jump: int) -> None:
        """The open intent is the newest entry from here on."""
        assert self._open is not None
        place, payment = self._open
        self.has_gap = False
        self._end_at(place, payment.counter + jump)
        self._counters.append(payment.counter)
        self._places.append(place)
        self._signed.append(0)
        self._ids.append(_begin(payment.payment_id))
        for piece in payment.pieces:
            for held in self._held:
                if held.slot == piece["slot"] and held.prefix == piece["parent"]:
                    held.spent_to(piece["end"], piece["seq"])
        if payment.counter > self.acknowledged:
            self._count_waiting(payment)

    def _end_at(self, place: int, counter: int) -> None:
        """No intent is open, and what lies here says what the element's counter stood at."""
        self._open = None
        self._taken = counter
        self._explains = place

    def _count_waiting(self, payment: StoredPayment) -> None:
        self.head = self._entry(payment, []).chained(self.head)
        self.since.add(payment.amount, payment.cvm != CVM_NONE)

    def _entry(self, payment: StoredPayment, signatures: "list[bytes]") -> JournalEntry:
        """The entry of a payment whose notes are all held. Raises StorageDamaged."""
        return payment.entry([self._parent(piece) for piece in payment.pieces], signatures)

    def _parent(self, piece: "dict[str, object]") -> bytes:
        for held in self._held:
            if held.slot == piece["slot"] and held.prefix == piece["parent"]:
                return held.parent
        raise StorageDamaged("a note that was spent from")

    @property
    def acknowledged(self) -> int:
        """The counter up to which the bank has everything."""
        counter: int = self._state["acknowledged"]
        return counter

    @property
    def last_sync(self) -> int:
        """The bank's time at that acknowledgement."""
        time: int = self._state["last_sync"]
        return time

    @property
    def counters(self) -> "list[int]":
        """Of every entry that is kept, the oldest first."""
        return list(self._counters)

    @property
    def waiting(self) -> "list[int]":
        """The counters of the entries that no bank has acknowledged."""
        return [counter for counter in self._counters if counter > self.acknowledged]

    @property
    def explained(self) -> int:
        """What the element's counter must stand at: the newest entry, or a jump on record."""
        return max(self._taken, self.acknowledged)

    def find(self, payment_id: bytes) -> "StoredPayment | None":
        """A payment that is kept; None if there was no such payment.

        Raises Refusal(6985) for one of which nothing but the payment_id is known: it was made,
        and a PAY that comes again must not make it twice.
        """
        begin = _begin(payment_id)
        for index in range(len(self._ids)):
            if self._ids[index] == begin:
                payment = self._at(index)
                if payment.payment_id == payment_id:
                    return payment
        for at in range(0, len(self._done), PAYMENT_ID_SIZE):
            if self._done[at : at + PAYMENT_ID_SIZE] == payment_id:
                raise Refusal(status.CONDITIONS_NOT_MET)
        return None

    def payment(self, counter: int) -> StoredPayment:
        """The payment with this counter, as it lies; there must be one."""
        return self._at(self._index(counter))

    def at(self, counter: int) -> JournalEntry:
        """The entry with this counter, with its signatures if it has them; there must be one.

        Raises StorageDamaged if one of its notes is not held any more.
        """
        index = self._index(counter)
        signatures: "list[bytes]" = []
        if self._signed[index]:
            _, signatures = stored.signatures_of(self._log.read(self._signed[index])[1])
        return self._entry(self._at(index), signatures)

    def _index(self, counter: int) -> int:
        for index in range(len(self._counters) - 1, -1, -1):
            if self._counters[index] == counter:
                return index
        raise StorageDamaged("journal entry %d" % counter)

    def _at(self, index: int) -> StoredPayment:
        return StoredPayment(self._log.read(self._places[index])[1])

    # -- a payment's steps -------------------------------------------------------------------

    def has_room(self, entry: JournalEntry) -> bool:
        """Whether all of a payment can be stored without an erase, which would hold up the tap."""
        pieces = entry.pieces
        return self._log.has_room(
            stored.intent_size(pieces), stored.COMMIT_SIZE, stored.signed_size(pieces)
        )

    def write_intent(self, entry: JournalEntry, slots: "list[int]") -> None:
        """The first step: after this the payment can be completed, not lost."""
        payload = stored.intent_of(entry, slots)
        self._open = (self._log.append(stored.INTENT, payload), StoredPayment(payload))

    @property
    def intent(self) -> "StoredPayment | None":
        """The intent that a power cut left behind."""
        return None if self._open is None else self._open[1]

    def void_intent(self, counter: int) -> None:
        """Ends an intent that becomes no payment; `counter` is what the element stands at."""
        place = self._log.append(stored.VOID, counter.to_bytes(stored.VOID_SIZE, "big"))
        self._end_at(place, counter)
        self._keep()

    def commit(self, counter: int) -> None:
        """Makes the intent the newest entry; `counter` is what the element stands at."""
        assert self._open is not None
        jump = counter - self._open[1].counter
        self._log.append(stored.COMMIT, bytes((jump,)))
        self._count_in(jump)
        if len(self.waiting) == 1:
            self._keep()

    def keep_signatures(self, entry: JournalEntry) -> None:
        """Stores the entry's signatures, before anybody is shown them."""
        index = self._index(entry.counter)
        back = len(self._counters) - 1 - index
        if back > _MAX_BACK:
            raise Refusal(status.CONDITIONS_NOT_MET)
        payload = bytes((back,)) + b"".join(entry.signatures)
        self._signed[index] = self._log.append(stored.SIGNED, payload)

    # -- sync --------------------------------------------------------------------------------

    def chain_at(self, counter: int) -> "bytes | None":
        """The chain's hash behind the entry `counter`, or None if no such entry waits."""
        chain = self.anchor
        if counter == self.acknowledged:
            return chain
        for waiting in self.waiting:
            chain = self.at(waiting).chained(chain)
            if waiting == counter:
                return chain
        return None

    def acknowledge(self, counter: int, time: int, chain: bytes, notes: bytes) -> None:
        """Moves `acknowledged` up; the entries up to it count against no cap any more.

        `notes` says where each note stands, as the state keeps it. The time never goes back,
        whatever order a bank's words come in.
        """
        time = max(time, self.last_sync)
        self._state.change(acknowledged=counter, last_sync=time, anchor=chain, notes=notes)
        self.anchor = self.head = chain
        self.since = Since()
        for waiting in self.waiting:
            self._count_waiting(self.payment(waiting))
        self._keep()

    def _keep(self) -> None:
        """Lets the log give up, once it needs the room, what is not needed for sync.

        It gives up the oldest first, so that PAYMENTS_KEPT acknowledged payments stay.
        """
        for index in range(len(self._counters)):
            if self._counters[index] > self.acknowledged:
                self._log.keep_from(self._places[index])
                return
        self._log.keep_from(self._explains)

    def rest(self) -> bool:
        """Makes room in the log, when nobody waits; says whether there was work."""
        worked = self._log.rest()
        gone = 0
        while gone < len(self._places) and self._places[gone] < self._log.first_place:
            gone += 1
        if gone:
            self._counters = self._counters[gone:]
            self._places = self._places[gone:]
            self._signed = self._signed[gone:]
            self._ids = self._ids[gone:]
        return worked


def _begin(payment_id: bytes) -> int:
    return int.from_bytes(payment_id[:_ID_PREFIX], "big")
