# SPDX-License-Identifier: Apache-2.0
"""The purse: notes, keys, journal and rules behind the verbs of protocol sections 4 and 5."""

from firmware.purse import payment
from firmware.purse.access import Access
from firmware.purse.held import Held
from firmware.purse.journal import Journal
from firmware.purse.ports import LOST, Element, Memory, StorageDamaged
from firmware.purse.profile import IDENTITY_SLOT, NOTES, Profile
from firmware.purse.state import NOTE, State
from firmware.purse.trust import Rejected, UnknownSigner
from firmware.wire import status
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import (
    LIFECYCLE_ACTIVE,
    LIFECYCLE_BLANK,
    LIFECYCLE_DAMAGED,
    LIFECYCLE_SYNC_ONLY,
)
from firmware.wire.certificate import PURPOSE_GENERAL
from firmware.wire.journal import KeyAttestation, Statement
from firmware.wire.layout import WireError, sha256
from firmware.wire.limits import TOKEN_KEYS
from firmware.wire.note import Note
from firmware.wire.policy import BAN_LOAD
from firmware.wire.status import Refusal

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

    from firmware.purse.trust import Verify


class Purse:
    """One purse on a board's memory and a secure element.

    `verify(public_key, digest, signature) -> bool` is the signature check. `damage` says what
    cannot be read, and is "" on a sound purse; a damaged one answers, pays nothing, and writes
    nothing that could cover what is left.
    """

    def __init__(self, memory: Memory, element: Element, verify: "Verify") -> None:
        self._memory = memory
        self._store = memory.store
        self._verify = verify
        self.element = element
        self.reload()
        try:
            while self.rest():  # ends: each round erases a missing sector, or mends a copy
                pass
        except OSError:  # whoever needs the room will meet the same, and say so
            pass

    # -- what a power cut leaves -------------------------------------------------------------

    def reload(self) -> None:
        """Reads everything anew; completes or forgets whatever a cut left half done.

        It runs at boot, and wherever a failure may have set memory and store apart. What cannot
        be read is no reason to be silent: the purse is then damaged, and says so.
        """
        self.damage = ""
        self._places: "list[int]" = []  # of the journal's records, while they are rescued
        self.held: "list[Held]" = []
        self.state = State(self._memory.state)
        self.access = Access(self.state)
        self.profile = Profile(self._store, self.element, self._verify, self.state)
        try:
            self._load()
        except StorageDamaged as error:
            self._is_damaged("%s cannot be read" % error)
        except (WireError, Rejected) as error:  # a stored record that is none, or not its own
            self._is_damaged(str(error))
        except OSError as error:  # of the flash, or of an element that does not answer
            self._is_damaged("memory failure %s" % error)

    def _is_damaged(self, damage: str) -> None:
        self.damage = damage
        self.profile.lifecycle = LIFECYCLE_DAMAGED

    def _load(self) -> None:
        self.state.load()
        self.profile.load()
        if self.profile.lifecycle != LIFECYCLE_BLANK:
            for slot in range(1, TOKEN_KEYS + 1):
                note = self.state.note(slot)
                if note is not None:
                    self.held.append(self._read_held(slot, note))
        if not self.is_blank:
            self.profile.check_element()
        self.journal = Journal(self._memory.journal, self.state, self.held)
        if not self.journal.is_whole:
            raise StorageDamaged("a part of the journal")
        self._finish_intent()

    def _read_held(self, slot: int, stands: "dict[str, Any]") -> Held:
        held = Held(slot, Note.parse(self._store.must_read(_note_name(slot))))
        if held.prefix != stands["parent"]:
            raise StorageDamaged(_note_name(slot))
        held.start, held.seq = stands["start"], stands["seq"]
        return held

    def _finish_intent(self) -> None:
        """Completes what a power cut left, and notices a memory that is not its own.

        An intent is completed, whether its counter was taken or not. Were one forgotten, its
        number would go to another payment, and the flash as it was before, put back under that
        number, would look like a cut and pay the same units twice. A counter that no entry
        explains means that the flash was put back or lost a part of itself: the purse no
        longer pays (invariant I11), and keeps what it has for its bank.
        """
        journal, counter = self.journal, self.element.counter()
        intent = journal.intent
        if intent is not None and counter == journal.explained == intent.counter - 1:
            counter = self.element.advance()
        if intent is not None and 0 <= counter - intent.counter <= self.element.COUNTER_JUMP:
            journal.commit(counter)
        if counter != journal.explained and journal.has_gap:
            raise StorageDamaged("a part of the journal")
        if counter != journal.explained and not self.is_blank:
            self.profile.lock(LIFECYCLE_SYNC_ONLY)

    def check_counter(self) -> int:
        """The counter. Locks the purse, and raises Refusal(6985), if it has moved by itself."""
        counter = self.element.counter()
        if counter != self.journal.explained:
            self.profile.lock(LIFECYCLE_SYNC_ONLY)
            raise Refusal(status.CONDITIONS_NOT_MET)
        return counter

    def rest(self) -> bool:
        """Does a part of what can wait until nobody does: erases ahead, mends copies.

        It runs at boot and behind every answer; says whether there was work. A damaged purse
        leaves its flash as it is.
        """
        if self.damage:
            return False
        return (
            self.journal.rest()
            or self.element.rest()
            or self._memory.state.rest()
            or self._store.rest()
        )

    # -- state -------------------------------------------------------------------------------

    def require(self, *lifecycles: int) -> None:
        """Raises Refusal(6985) unless the purse is in one of these states."""
        if self.profile.lifecycle not in lifecycles:
            raise Refusal(status.CONDITIONS_NOT_MET)

    def require_opened(self) -> None:
        """Raises Refusal(6985) before personalisation; a purse that is locked may still sync.

        Raises StorageDamaged where a part of what a purse needs cannot be read.
        """
        if self.damage:
            raise StorageDamaged(self.damage)
        self.require(LIFECYCLE_ACTIVE, LIFECYCLE_SYNC_ONLY)

    def require_pin_readable(self) -> None:
        """The same, but that a damaged purse, too, asks for its PIN as long as it can."""
        if not (self.damage and self.access.has_pin):
            self.require_opened()

    def now(self, time: int) -> int:
        """The later of the payee's clock and what its own bank last signed."""
        return max(time, self.last_sync, self.profile.policy.issued_at)

    @property
    def last_sync(self) -> int:
        """When its bank last heard of it: the last acknowledgement, at first its certificate."""
        return max(self.journal.last_sync, self.profile.certified_at)

    def balance(self) -> "dict[int, int]":
        """Tiyn by purpose, general money always among them."""
        amounts = {PURPOSE_GENERAL: 0}
        for held in self.held:
            amounts[held.purpose] = amounts.get(held.purpose, 0) + held.left
        return amounts

    # -- money in ----------------------------------------------------------------------------

    def generate_key(self, challenge: bytes) -> bytes:
        """A key for the next note, attested by the identity key over the bank's challenge.

        A key that still waits for its note is given again: a torn load loses no slot.
        """
        self.require(LIFECYCLE_ACTIVE)
        slot = self._free_slot()
        public_key = self.element.public_key(slot) or self.element.generate(slot)
        fields = {
            "slot": slot,
            "serial": self.profile.serial,
            "challenge": challenge,
            "public_key": public_key,
        }
        body = KeyAttestation.body_of(fields)
        return body + self.element.sign(IDENTITY_SLOT, sha256(body))

    def load(self, raw: bytes) -> None:
        """Takes a note for one of its keys. The same note again changes nothing."""
        note = Note.parse(raw)
        self.require(LIFECYCLE_ACTIVE)
        if any(held.parent == note.record_id for held in self.held):
            return
        slot = self._slot_of(note.owner)
        self._check_note(note)
        held = Held(slot, note)
        self._store.replace(_note_name(slot), note.raw)
        # From here on the purse has the note: a file that the state does not name is none.
        self.state.change(notes=self.state.notes_with(slot, _stands(held)))
        self.held.append(held)

    def _check_note(self, note: Note) -> None:
        if note.currency != self.profile.currency:
            raise Refusal(status.WRONG_CURRENCY)
        try:
            self.profile.trust.check_note(note)
        except UnknownSigner:
            raise Refusal(status.NOT_FOUND) from None
        except Rejected:
            raise Refusal(status.WRONG_DATA) from None
        if note.min_tier > self.element.TIER:
            raise Refusal(status.NOT_SPENDABLE_OFFLINE)
        policy = self.profile.policy
        if policy.bans(BAN_LOAD) or policy.bans_purpose(note.purpose):
            raise Refusal(status.BANNED)
        if sum(self.balance().values()) + note.value > policy.limits.max_balance:
            raise Refusal(status.OVER_BALANCE_LIMIT)

    def _free_slot(self) -> int:
        used = [held.slot for held in self.held]
        for slot in range(1, self.element.TOKEN_KEYS + 1):
            if slot not in used:
                return slot
        return self._slot_of_spent()

    def _slot_of_spent(self) -> int:
        """Frees the slot of the longest spent note whose payments the bank has; or Refusal(6A84).

        A late RECOVER may lose its note by that. But a purse whose slots were all spent by its
        last payments has no money to make those payments older with: it must be loaded.
        """
        last_use: "dict[bytes, int]" = {}  # by a note's prefix: the counter of its newest entry
        for counter in self.journal.counters:
            for piece in self.journal.payment(counter).pieces:
                last_use[piece["parent"]] = counter
        spent = [
            held
            for held in self.held
            if held.left == 0 and last_use.get(held.prefix, 0) <= self.journal.acknowledged
        ]
        if not spent:
            raise Refusal(status.NO_SPACE)
        held = min(spent, key=lambda held: (last_use.get(held.prefix, 0), held.slot))
        # The new key first: under the old one the spent note could be loaded again.
        self.element.generate(held.slot)
        self.state.change(notes=self.state.notes_with(held.slot, bytes(NOTE.size)))
        self._store.remove(_note_name(held.slot))
        self.held.remove(held)
        return held.slot

    def _slot_of(self, owner: bytes) -> int:
        used = [held.slot for held in self.held]
        for slot in range(1, self.element.TOKEN_KEYS + 1):
            if slot not in used and self.element.public_key(slot) == owner:
                return slot
        raise Refusal(status.NOT_FOUND)

    # -- money out ---------------------------------------------------------------------------

    def pay(self, raw: bytes, with_pin: bool) -> bytes:
        """PAY: the tokens, or a Refusal before anything has changed (`payment.pay`)."""
        return payment.pay(self, raw, with_pin)

    def recover(self, payment_id: bytes) -> bytes:
        """The very same answer as the PAY that was torn. Raises Refusal(6A88) if none was."""
        self.require_opened()
        known = self.journal.find(payment_id)
        if known is None:
            raise Refusal(status.NOT_FOUND)
        return payment.answer_again(self, known)

    def note_of(self, parent: bytes) -> "tuple[int, bytes]":
        """Slot and bytes of the note with this RecordId. Raises Refusal(6985) if it is gone."""
        for held in self.held:
            if held.parent == parent:
                raw = self._store.must_read(_note_name(held.slot))
                if Note.id_of(raw) != parent:
                    raise StorageDamaged(_note_name(held.slot))
                return held.slot, raw
        raise Refusal(status.CONDITIONS_NOT_MET)

    # -- sync --------------------------------------------------------------------------------

    def statement(self, challenge: bytes) -> bytes:
        """The journal's signed statement over the bank's challenge (protocol section 5)."""
        self.require_opened()
        journal = self.journal
        fields = {
            "entries": len(journal.waiting),
            "serial": self.profile.serial,
            "challenge": challenge,
            "counter": self.element.counter(),
            "acknowledged": journal.acknowledged,
            "anchor": journal.anchor,
            "head": journal.head,
            "policy_version": self.profile.policy.policy_version,
            "denylist_epoch": 0,
        }
        body = Statement.body_of(fields)
        return body + self.element.sign(IDENTITY_SLOT, sha256(body))

    def waiting_entry(self, index: int) -> bytes:
        """The entry number `index` of those that wait, with its signatures."""
        self.require_opened()
        waiting = self.journal.waiting
        if index >= len(waiting):
            raise Refusal(status.NOT_FOUND)
        return payment.with_signatures(self, self.journal.at(waiting[index])).raw

    def acknowledge(self, raw: bytes) -> None:
        """Takes its own bank's acknowledgement. An older one, or the same again, does nothing."""
        word = Acknowledgement.parse(raw)
        self.require_opened()
        bank = self.profile.bank
        if word.serial != self.profile.serial or word.bank != bank.key_id:
            raise Refusal(status.WRONG_DATA)
        if not self.profile.trust.signed(bank.public_key, word):
            raise Refusal(status.WRONG_DATA)
        journal = self.journal
        if (word.counter, word.time) > (journal.acknowledged, journal.last_sync):
            if journal.chain_at(word.counter) != word.chain:
                raise Refusal(status.WRONG_DATA)
            notes = {held.slot: _stands(held) for held in self.held}
            slots = range(1, TOKEN_KEYS + 1)
            table = b"".join([notes.get(slot, bytes(NOTE.size)) for slot in slots])
            journal.acknowledge(word.counter, word.time, word.chain, table)

    # -- what is left of a purse that does not work ------------------------------------------

    def stored_record(self, index: int) -> "tuple[int, bytes]":
        """Kind and payload of one record of the journal, as it is stored, the oldest first.

        For who rescues a purse that no longer pays; of one that does, EXPORT is the way. Raises
        Refusal: 6985 while it pays, 6A88 behind the last record.
        """
        self.require(LIFECYCLE_SYNC_ONLY, LIFECYCLE_DAMAGED)
        if index == 0:
            self._places = []
            self._memory.journal.load(self._note_place)
        if index >= len(self._places):
            raise Refusal(status.NOT_FOUND)
        return self._memory.journal.read(self._places[index])

    def _note_place(self, place: int, kind: int, payload: bytes) -> None:
        if kind != LOST:
            self._places.append(place)

    @property
    def is_blank(self) -> bool:
        """Whether personalisation is still open."""
        return self.profile.lifecycle == LIFECYCLE_BLANK


def _stands(held: Held) -> bytes:
    """Where a note stands, as the state keeps it."""
    return NOTE.pack({"parent": held.prefix, "start": held.start, "seq": held.seq})


def _note_name(slot: int) -> str:
    return "%s%02d" % (NOTES, slot)
