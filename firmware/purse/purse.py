# SPDX-License-Identifier: Apache-2.0
"""The purse: notes, keys, journal and rules behind the verbs of protocol sections 4 and 5."""

from firmware.purse import payment
from firmware.purse.access import Access
from firmware.purse.held import Held
from firmware.purse.journal import Journal
from firmware.purse.ports import Element, Store
from firmware.purse.profile import IDENTITY_SLOT, Profile
from firmware.purse.trust import Rejected, UnknownSigner
from firmware.wire import status
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_BLANK, LIFECYCLE_SYNC_ONLY
from firmware.wire.certificate import PURPOSE_GENERAL
from firmware.wire.journal import JournalEntry, KeyAttestation, Statement
from firmware.wire.layout import sha256
from firmware.wire.limits import COUNTER_JUMP
from firmware.wire.note import Note
from firmware.wire.policy import BAN_LOAD
from firmware.wire.status import Refusal
from firmware.wire.transfer import Transfer

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.purse.trust import Verify

_NOTE = "note."


class Purse:
    """One purse on a store and a secure element.

    `verify(public_key, digest, signature) -> bool` is the signature check.
    """

    def __init__(self, store: Store, element: Element, verify: "Verify") -> None:
        self._store = store
        self._verify = verify
        self.element = element
        self.access = Access(store)
        self.reload()

    # -- what a power cut leaves -------------------------------------------------------------

    def reload(self) -> None:
        """Reads everything anew; completes or forgets whatever a cut left half done.

        It runs at boot, and wherever a failure may have set memory and store apart.
        """
        self.profile = Profile(self._store, self.element, self._verify)
        self.journal = Journal(self._store)
        self.held: "list[Held]" = []
        for name in self._store.names(_NOTE):
            self.held.append(self._read_held(int(name[len(_NOTE) :])))
        self._finish_intent()
        for counter in self.journal.counters:
            self.spent(self.journal.at(counter))

    def _finish_intent(self) -> None:
        """Completes or forgets what a power cut left, and notices a memory that is not its own.

        An intent whose counter was taken is a payment; one whose counter was not, is none. A
        counter that no entry explains means that the flash was put back or lost a part of
        itself: the purse no longer pays (invariant I11), and keeps what it has for its bank.
        """
        journal, counter = self.journal, self.element.counter()
        intent = journal.intent()
        if intent is not None and counter < intent.counter:
            journal.drop_intent()
        elif intent is not None and counter - intent.counter <= COUNTER_JUMP:
            journal.account_for(counter)
            journal.commit(intent)
        if counter != journal.explained and not self.is_blank:
            self.profile.lock(LIFECYCLE_SYNC_ONLY)

    def spent(self, entry: JournalEntry) -> None:
        """Takes note, in memory, of what a committed entry spent."""
        for body in entry.transfer_bodies:
            fields = Transfer.fields_of(body)
            for held in self.held:
                if held.parent == fields["parent"]:
                    held.spent_to(fields["end"], fields["seq"])

    # -- state -------------------------------------------------------------------------------

    def require(self, *lifecycles: int) -> None:
        """Raises Refusal(6985) unless the purse is in one of these states."""
        if self.profile.lifecycle not in lifecycles:
            raise Refusal(status.CONDITIONS_NOT_MET)

    def require_opened(self) -> None:
        """Raises Refusal(6985) before personalisation; a purse that is locked may still sync."""
        self.require(LIFECYCLE_ACTIVE, LIFECYCLE_SYNC_ONLY)

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
        self._store.replace(_note_name(slot), note.raw)
        self.held.append(Held(slot, note))

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
        last_use: "dict[bytes, int]" = {}  # of a note: the counter of its newest entry
        for counter in self.journal.counters:
            for parent in self.journal.at(counter).parents:
                last_use[parent] = counter
        spent = [
            held
            for held in self.held
            if held.left == 0 and last_use.get(held.parent, 0) <= self.journal.acknowledged
        ]
        if not spent:
            raise Refusal(status.NO_SPACE)
        held = min(spent, key=lambda held: last_use.get(held.parent, 0))
        # The new key first: under the old one the spent note could be loaded again.
        self.element.generate(held.slot)
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
        entry = self.journal.find(payment_id)
        if entry is None:
            raise Refusal(status.NOT_FOUND)
        return payment.answer(self, entry)

    def note_of(self, parent: bytes) -> "tuple[int, bytes]":
        """Slot and bytes of the note with this RecordId. Raises Refusal(6985) if it is gone."""
        for held in self.held:
            if held.parent == parent:
                return held.slot, self._store.must_read(_note_name(held.slot))
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
            fronts = {held.parent: (held.start, held.seq) for held in self.held}
            journal.acknowledge(word.counter, word.time, word.chain, fronts)
        # Outside of the condition: the same word again ends what a power cut left half done.
        journal.drop(journal.old)

    def _read_held(self, slot: int) -> Held:
        held = Held(slot, Note.parse(self._store.must_read(_note_name(slot))))
        held.start, held.seq = self.journal.fronts.get(held.parent, (0, 0))
        return held

    @property
    def is_blank(self) -> bool:
        """Whether personalisation is still open."""
        return self.profile.lifecycle == LIFECYCLE_BLANK


def _note_name(slot: int) -> str:
    return "%s%02d" % (_NOTE, slot)
