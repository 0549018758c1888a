# SPDX-License-Identifier: Apache-2.0
"""From version 1, in which everything was a file: the hot records become a state and a log.

Records that seldom change stay where they are; they get their second copy in time. The state is
written last: until it is there, the card is one of version 1.
"""

from firmware.purse import stored
from firmware.purse.ports import StorageDamaged
from firmware.purse.state import LAYOUT, NOTE, STATE, VERSION
from firmware.wire.apdu import LIFECYCLE_BLANK
from firmware.wire.journal import CHAIN_START, JournalEntry
from firmware.wire.layout import Layout
from firmware.wire.limits import TOKEN_KEYS
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.transfer import PAYMENT_ID_SIZE

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

    from firmware.purse.ports import Store
    from firmware.storage.log import SectorLog
    from firmware.storage.memory import BoardMemory

# The records of version 1 that go, as they were laid out then.
_ACCESS = Layout(("pin_tries", "B"), ("puk_tries", "B"), ("pin", "12s"), ("puk", "8s"))
_BASE = Layout(("counter", "I"), ("time", "I"), ("chain", "32s"))
_FRONT = Layout(("parent", "32s"), ("start", "I"), ("seq", "H"))
_ENTRY = "entry."
_GONE = ("access", "base", "done", "intent", "accounted")

_IDS_IN_RECORD = 16


def migrate(memory: "BoardMemory") -> int:
    """Writes journal and state, then removes the old records; returns the version reached.

    Raises StorageDamaged, WireError or OSError with nothing of the old records changed.
    """
    store = memory.store
    for kept in (memory.keys, store):
        _copy(kept)
    base = store.read("base") or bytes(_BASE.size)
    notes = _notes(store)
    memory.journal.clear()  # whatever a cut left of an earlier try
    _write_journal(memory, notes, _BASE.unpack(base[: _BASE.size])["counter"])
    memory.state.append(STATE, LAYOUT.pack(_state(store, base, notes)))
    forget(store)
    return VERSION


def forget(store: "Store") -> None:
    """Removes the old records; the one that says "version 1" first."""
    for name in list(_GONE) + store.names(_ENTRY):
        store.remove(name)


def _copy(store: "Store") -> None:
    """Gives what stays its second copy: from here on one bad bit costs nothing."""
    for name in store.names(""):
        if name not in _GONE and not name.startswith(_ENTRY):
            try:
                store.read(name)
            except StorageDamaged:  # whoever needs it will say so
                pass
    while store.rest():  # ends: each round writes one of those that have no copy
        pass


def _notes(store: "Store") -> "dict[bytes, int]":
    """The slot of each note, by its RecordId."""
    notes = {}
    for name in store.names("note."):
        notes[Note.parse(store.must_read(name)).record_id] = int(name[len("note.") :])
    return notes


def _write_journal(memory: "BoardMemory", notes: "dict[bytes, int]", acknowledged: int) -> None:
    """The entries whose notes are held; of the others the payment_ids."""
    store, log = memory.store, memory.journal
    names = store.names(_ENTRY)
    entries = [JournalEntry.parse(store.must_read(name)) for name in names]
    gone = [entry for entry in entries if not _is_held(entry, notes)]
    done = (store.read("done") or b"") + b"".join([entry.payment_id for entry in gone])
    step = _IDS_IN_RECORD * PAYMENT_ID_SIZE
    for at in range(0, len(done), step):
        log.append(stored.DONE, done[at : at + step])
    kept = [entry for entry in entries if _is_held(entry, notes)]
    taken = acknowledged
    for entry in kept:
        if entry.counter > taken + 1:  # a jump of the counter, which version 1 let stand
            _write_void(log, entry.counter - 1)
        log.append(stored.INTENT, _intent(entry, notes))
        log.append(stored.COMMIT, b"\x00")
        if entry.is_signed:
            log.append(stored.SIGNED, b"\x00" + b"".join(entry.signatures))
        taken = max(taken, entry.counter)
    accounted = int.from_bytes(store.read("accounted") or b"", "big")
    if accounted > taken:
        _write_void(log, accounted)
    raw = store.read("intent")
    if raw is not None:
        log.append(stored.INTENT, _intent(JournalEntry.parse(raw), notes))


def _write_void(log: "SectorLog", counter: int) -> None:
    log.append(stored.VOID, counter.to_bytes(stored.VOID_SIZE, "big"))


def _is_held(entry: JournalEntry, notes: "dict[bytes, int]") -> bool:
    return all(parent in notes for parent in entry.parents)


def _intent(entry: JournalEntry, notes: "dict[bytes, int]") -> bytes:
    return stored.intent_of(entry, [notes[parent] for parent in entry.parents])


def _state(store: "Store", base: bytes, notes: "dict[bytes, int]") -> "dict[str, Any]":
    fields = _BASE.unpack(base[: _BASE.size])
    access = _ACCESS.unpack(store.read("access") or bytes(_ACCESS.size))
    policy = store.read("policy")
    lifecycle = store.read("lifecycle")
    return {
        "version": VERSION,
        "lifecycle": lifecycle[0] if lifecycle else LIFECYCLE_BLANK,
        "pin_tries": access["pin_tries"],
        "puk_tries": access["puk_tries"],
        "pin": access["pin"],
        "puk": access["puk"],
        "policy_version": Policy.parse(policy).policy_version if policy and lifecycle else 0,
        "acknowledged": fields["counter"],
        "last_sync": fields["time"],
        "anchor": fields["chain"] if fields["counter"] else CHAIN_START,
        "notes": _table(base, notes),
    }


def _table(base: bytes, notes: "dict[bytes, int]") -> bytes:
    """Where each note stands: at the front of its base, or at its beginning."""
    fronts = {}
    for at in range(_BASE.size, len(base), _FRONT.size):
        front = _FRONT.unpack(base[at : at + _FRONT.size])
        fronts[front["parent"]] = (front["start"], front["seq"])
    rows = {}
    for parent, slot in notes.items():
        start, seq = fronts.get(parent, (0, 0))
        prefix = parent[: stored.PREFIX_SIZE]
        rows[slot] = NOTE.pack({"parent": prefix, "start": start, "seq": seq})
    slots = range(1, TOKEN_KEYS + 1)
    return b"".join([rows.get(slot, bytes(NOTE.size)) for slot in slots])
