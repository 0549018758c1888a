# SPDX-License-Identifier: Apache-2.0
"""The purse's hot state: one small record of fixed size, stored anew whenever it changes.

A payment does not touch it; what a payment changes follows from the journal. Everything that one
command changes at once is in this one record, so that no power cut can part it.
"""

from firmware.purse.ports import LOST, Log, StorageDamaged
from firmware.wire.apdu import LIFECYCLE_BLANK
from firmware.wire.journal import CHAIN_START
from firmware.wire.layout import Layout, WireError
from firmware.wire.limits import PIN_MAX, PUK_SIZE, TOKEN_KEYS

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

# Kinds of record in the state's log.
STATE = 5  # all of LAYOUT
TRIES = 6  # what is left of PIN and PUK, u8 each: 9 bytes of flash where a STATE takes 235

_MAX_TRIES = 200  # TRIES behind one STATE: with it half a sector

VERSION = 2  # of this layout, and of the storage (docs/storage.md)

NOTE = Layout(("parent", "4s"), ("start", "I"), ("seq", "H"))  # all zero: the slot has none
LAYOUT = Layout(
    ("version", "B"),
    ("lifecycle", "B"),
    ("pin_tries", "B"),
    ("puk_tries", "B"),
    ("pin", "%ds" % PIN_MAX),  # zero padded: digits are never zero bytes, so its length is in it
    ("puk", "%ds" % PUK_SIZE),
    ("policy_version", "I"),
    ("acknowledged", "I"),  # the counter up to which the bank has everything
    ("last_sync", "I"),  # the bank's time at that acknowledgement
    ("anchor", "32s"),  # the chain's hash there
    ("notes", "%ds" % (TOKEN_KEYS * NOTE.size)),
)
_FIRST: "dict[str, Any]" = {
    "version": VERSION,
    "lifecycle": LIFECYCLE_BLANK,
    "pin_tries": 0,
    "puk_tries": 0,
    "pin": bytes(PIN_MAX),
    "puk": bytes(PUK_SIZE),
    "policy_version": 0,
    "acknowledged": 0,
    "last_sync": 0,
    "anchor": CHAIN_START,
    "notes": bytes(TOKEN_KEYS * NOTE.size),
}


class State:
    """The newest STATE of a log, with the TRIES behind it.

    Read a field with `state["lifecycle"]`; `change` stores new values. Fields: see LAYOUT.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._fields = dict(_FIRST)
        self.is_there = False  # whether the log has a STATE; until the first `change` it has none
        self._lost = False
        self._tries = 0  # how many TRIES follow the newest STATE

    def load(self) -> None:
        """Reads the log. Raises StorageDamaged where the newest STATE may be missing.

        Raises WireError for a STATE of a layout that is not known here.
        """
        self._log.load(self._see)
        if self._lost:
            raise StorageDamaged("the newest state")

    def _see(self, place: int, kind: int, payload: bytes) -> None:
        if kind == STATE:
            fields = LAYOUT.unpack(payload)
            if fields["version"] != VERSION:
                raise WireError("version %d of the state is unknown" % fields["version"])
            self._fields = fields
            self.is_there = True
            self._lost = False
            self._tries = 0
            self._log.keep_from(place)
        elif kind == LOST:
            self._lost = True  # unless a newer STATE follows
        elif kind == TRIES and self.is_there:
            self._fields["pin_tries"], self._fields["puk_tries"] = payload
            self._tries += 1

    def __getitem__(self, name: str) -> "Any":
        return self._fields[name]

    def change(self, **fields: "Any") -> None:
        """Stores new values of some fields, at once and durably."""
        changed = dict(self._fields)
        changed.update(fields)
        place = self._log.append(STATE, LAYOUT.pack(changed))
        self._fields = changed
        self.is_there = True
        self._tries = 0
        self._log.keep_from(place)

    def change_tries(self, **tries: int) -> None:
        """Stores `pin_tries`, `puk_tries` or both, in a record of two bytes.

        Now and then in a whole STATE: the log keeps everything behind the newest one.
        """
        if self._tries >= _MAX_TRIES:
            self.change(**tries)
            return
        changed = dict(self._fields)
        changed.update(tries)
        self._log.append(TRIES, bytes((changed["pin_tries"], changed["puk_tries"])))
        self._tries += 1
        self._fields = changed

    # -- where each note stands --------------------------------------------------------------

    def note(self, slot: int) -> "dict[str, Any] | None":
        """Of the note in this slot: `parent`, the first bytes of its RecordId, `start`, `seq`."""
        at = (slot - 1) * NOTE.size
        raw = self._fields["notes"][at : at + NOTE.size]
        return NOTE.unpack(raw) if any(raw) else None

    def notes_with(self, slot: int, note: bytes) -> bytes:
        """The field `notes` with this slot's note replaced: 10 bytes of NOTE, or zeros."""
        notes: bytes = self._fields["notes"]
        at = (slot - 1) * NOTE.size
        return notes[:at] + note + notes[at + NOTE.size :]
