# SPDX-License-Identifier: Apache-2.0
"""The purse's journal: numbered, hash-chained payments that wait for the bank (section 5).

An entry is committed by one rename: the intent, already whole, becomes the entry. What is
left of each note and what counts against the caps follows from the entries alone.
"""

from firmware.purse.caps import Since
from firmware.purse.ports import Store
from firmware.wire import status
from firmware.wire.journal import CHAIN_START, JournalEntry
from firmware.wire.layout import Layout
from firmware.wire.limits import JOURNAL_KEPT, PAYMENT_IDS_KEPT
from firmware.wire.status import Refusal
from firmware.wire.transfer import CVM_NONE, PAYMENT_ID_SIZE

_INTENT = "intent"
_ENTRY = "entry."
_BASE = "base"
_DONE = "done"
_ACCOUNTED = "accounted"
_COUNTER_SIZE = 4
_BASE_LAYOUT = Layout(("counter", "I"), ("time", "I"), ("chain", "32s"))
_FRONT_LAYOUT = Layout(("parent", "32s"), ("start", "I"), ("seq", "H"))  # one a note, behind it


class Journal:
    """The entries in a store, with what is asked of them at every payment kept at hand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.acknowledged = 0  # the counter up to which the bank has everything
        self.last_sync = 0  # the bank's time at that acknowledgement
        self.anchor = CHAIN_START  # the chain's hash there
        self.head = CHAIN_START  # the chain's hash behind the newest entry
        self.since = Since()
        self.fronts: "dict[bytes, tuple[int, int]]" = {}  # note: (start, seq) at least
        self._counter_of: "dict[bytes, int]" = {}
        self.counters: "list[int]" = []  # of every entry that is kept, the oldest first
        self._accounted = int.from_bytes(store.read(_ACCOUNTED) or b"", "big")
        self._done = store.read(_DONE) or b""  # payment_ids of dropped entries, the oldest first
        self._load()

    def _load(self) -> None:
        base = self._store.read(_BASE)
        if base is not None:
            fields = _BASE_LAYOUT.unpack(base[: _BASE_LAYOUT.size])
            self.acknowledged = fields["counter"]
            self.last_sync = fields["time"]
            self.anchor = fields["chain"]
            for at in range(_BASE_LAYOUT.size, len(base), _FRONT_LAYOUT.size):
                front = _FRONT_LAYOUT.unpack(base[at : at + _FRONT_LAYOUT.size])
                self.fronts[front["parent"]] = (front["start"], front["seq"])
        self.head = self.anchor
        for name in self._store.names(_ENTRY):
            self._count_in(self.at(int(name[len(_ENTRY) :], 16)))

    def _count_in(self, entry: JournalEntry) -> None:
        self.counters.append(entry.counter)
        self._counter_of[entry.payment_id] = entry.counter
        if entry.counter > self.acknowledged:
            self._count_waiting(entry)

    def _count_waiting(self, entry: JournalEntry) -> None:
        self.head = entry.chained(self.head)
        self.since.add(entry.amount, entry.cvm != CVM_NONE)

    @property
    def newest(self) -> int:
        """The counter of the newest entry, or of the acknowledgement where there is none."""
        return max(self.counters[-1], self.acknowledged) if self.counters else self.acknowledged

    @property
    def explained(self) -> int:
        """What the element's counter must stand at: the newest entry, or a jump on record."""
        return max(self.newest, self._accounted)

    def account_for(self, counter: int) -> None:
        """Puts a counter that no entry will carry on record, before the intent goes away."""
        if counter > self.newest + 1:
            self._store.replace(_ACCOUNTED, counter.to_bytes(_COUNTER_SIZE, "big"))
            self._accounted = counter

    @property
    def waiting(self) -> "list[int]":
        """The counters of the entries that no bank has acknowledged."""
        return [counter for counter in self.counters if counter > self.acknowledged]

    def find(self, payment_id: bytes) -> "JournalEntry | None":
        """The entry of a payment; None if there was no such payment.

        Raises Refusal(6985) for a payment whose entry was dropped: it was made, and a PAY that
        comes again must not make it twice.
        """
        counter = self._counter_of.get(payment_id)
        if counter is not None:
            return self.at(counter)
        for at in range(0, len(self._done), PAYMENT_ID_SIZE):
            if self._done[at : at + PAYMENT_ID_SIZE] == payment_id:
                raise Refusal(status.CONDITIONS_NOT_MET)
        return None

    def at(self, counter: int) -> JournalEntry:
        """The entry with this counter; there must be one."""
        return JournalEntry.parse(self._store.must_read(_name(counter)))

    def write_intent(self, entry: JournalEntry) -> None:
        """The first of a payment's steps: after this it can be completed, not lost."""
        self._store.replace(_INTENT, entry.raw)

    def intent(self) -> "JournalEntry | None":
        """The intent that a power cut left behind."""
        raw = self._store.read(_INTENT)
        return None if raw is None else JournalEntry.parse(raw)

    def drop_intent(self) -> None:
        """Forgets an intent whose counter was never taken: nothing had happened yet."""
        self._store.remove(_INTENT)

    def commit(self, entry: JournalEntry) -> None:
        """Makes the intent the newest entry. From here on the money is spent."""
        self._store.rename(_INTENT, _name(entry.counter))
        self._count_in(entry)

    def keep_signatures(self, entry: JournalEntry) -> None:
        """Stores the entry again with its signatures, before anybody is shown them."""
        self._store.replace(_name(entry.counter), entry.raw)

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

    def acknowledge(
        self, counter: int, time: int, chain: bytes, fronts: "dict[bytes, tuple[int, int]]"
    ) -> None:
        """Moves the base up to `counter`; the entries up to it count against no cap any more.

        `fronts` says where each note stands. It lies in the same record as the counter, so that
        flash which loses a part of itself cannot take a note back and leave the counter. The
        time never goes back, whatever order a bank's words come in.
        """
        time = max(time, self.last_sync)
        fields = {"counter": counter, "time": time, "chain": chain}
        parts = [_BASE_LAYOUT.pack(fields)]
        for parent, (start, seq) in fronts.items():
            parts.append(_FRONT_LAYOUT.pack({"parent": parent, "start": start, "seq": seq}))
        self._store.replace(_BASE, b"".join(parts))
        self.fronts = fronts
        self.acknowledged = counter
        self.last_sync = time
        self.anchor = self.head = chain
        self.since = Since()
        for waiting in self.waiting:
            self._count_waiting(self.at(waiting))

    @property
    def old(self) -> "list[int]":
        """The counters of the acknowledged entries that need not be kept any more."""
        acknowledged = len(self.counters) - len(self.waiting)
        return self.counters[: max(0, acknowledged - JOURNAL_KEPT)]

    def drop(self, counters: "list[int]") -> None:
        """Forgets entries but for their payment_ids; what they spent is in the base's fronts."""
        if not counters:
            return
        gone = [self.at(counter).payment_id for counter in counters]
        done = (self._done + b"".join(gone))[-PAYMENT_IDS_KEPT * PAYMENT_ID_SIZE :]
        self._store.replace(_DONE, done)
        self._done = done
        for counter, payment_id in zip(counters, gone):
            self._store.remove(_name(counter))
            self.counters.remove(counter)
            del self._counter_of[payment_id]


def _name(counter: int) -> str:
    return "%s%08x" % (_ENTRY, counter)
