# SPDX-License-Identifier: Apache-2.0
"""Who a purse is and whom it believes: what personalisation gave it, and what came since."""

from firmware.purse.ports import Element, StorageDamaged, Store
from firmware.purse.state import State
from firmware.purse.trust import Rejected, Trust
from firmware.wire import status
from firmware.wire.apdu import LIFECYCLE_ACTIVE, LIFECYCLE_BLANK
from firmware.wire.certificate import ROLE_BANK, ROLE_PURSE, Certificate
from firmware.wire.layout import PUBLIC_KEY_SIZE, WireError
from firmware.wire.limits import KNOWN_CERTIFICATES, VIEW_KEY_SIZE
from firmware.wire.policy import Policy
from firmware.wire.status import Refusal

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.purse.trust import Verify

IDENTITY_SLOT = 0

_LIFECYCLE = "lifecycle"
_ROOT = "root"
_BANK = "bank"
_PURSE = "purse"
_VIEW_KEY = "view-key"
_POLICY = "policy"
_KNOWN = "known."
NOTES = "note."  # a note's record, by its slot


class Profile:
    """The purse's own records. Before ACTIVE they are written, afterwards only some grow."""

    def __init__(self, store: Store, element: Element, verify: "Verify", state: State) -> None:
        self._store = store
        self._element = element
        self._verify = verify
        self._state = state
        self.lifecycle = LIFECYCLE_BLANK
        self.currency = 0  # ISO 4217 of the money it holds; 0 before it is active

    def load(self) -> None:
        """Reads what is there. Raises StorageDamaged or WireError for what should be and is not.

        A purse says twice that it is one: in its state, and in a record beside it. Where only the
        record is left, the card is no blank one.
        """
        if not self._state.is_there and self._store.read(_LIFECYCLE) is not None:
            raise StorageDamaged("the state")
        self.lifecycle = self._state["lifecycle"]
        if self.lifecycle == LIFECYCLE_BLANK and self._store.names(NOTES):
            raise StorageDamaged("the newest state")
        if self.lifecycle != LIFECYCLE_BLANK:
            self._open()
            self._catch_up()

    def _catch_up(self) -> None:
        """A policy that is older than the state says is one that the flash took back."""
        version = self._state["policy_version"]
        if self.policy.policy_version < version:
            raise StorageDamaged(_POLICY)
        if self.policy.policy_version > version:  # a power cut came between the two
            self._state.change(policy_version=self.policy.policy_version)

    def _open(self) -> None:
        """Reads what an active purse needs at every tap."""
        read = self._read
        self.trust = Trust(read(_ROOT), self._verify)
        self.bank = Certificate.parse(read(_BANK))
        own = Certificate.parse(read(_PURSE))
        self.serial = own.serial
        self.tier = own.tier
        self.certified_at = own.not_before
        self.policy = Policy.parse(read(_POLICY))
        self.currency = self.bank.currency
        self.trust.add(self.bank)
        for name in self._store.names(_KNOWN):
            self._remember(name)
        # What it shares with its own bank alone. A payment has no time to read it again.
        self.view_key = read(_VIEW_KEY)

    def _remember(self, name: str) -> None:
        """One that cannot be read is forgotten: whoever needs it presents it again."""
        try:
            self.trust.add(Certificate.parse(self._read(name)))
        except (StorageDamaged, WireError, Rejected):
            pass

    def _read(self, name: str) -> bytes:
        """A record that personalisation left. Raises StorageDamaged where it is not there."""
        return self._store.must_read(name)

    @property
    def certificate(self) -> bytes:
        """The identity certificate: for the purse's own bank, never for a payee."""
        return self._read(_PURSE)

    def store_root(self, data: bytes) -> None:
        """Personalisation: the root's public key."""
        _of_length(data, PUBLIC_KEY_SIZE)
        self._store.replace(_ROOT, data)

    def store_bank(self, data: bytes) -> None:
        """Personalisation: the certificate of the purse's own bank."""
        Certificate.parse(data)
        self._store.replace(_BANK, data)

    def store_purse(self, data: bytes) -> None:
        """Personalisation: the certificate over this purse's identity key."""
        Certificate.parse(data)
        self._store.replace(_PURSE, data)

    def store_view_key(self, data: bytes) -> None:
        """Personalisation: 16 bytes, made by the bank."""
        _of_length(data, VIEW_KEY_SIZE)
        self._store.replace(_VIEW_KEY, data)

    def store_policy(self, data: bytes) -> None:
        """Personalisation: the first policy."""
        Policy.parse(data)
        self._store.replace(_POLICY, data)

    def identity_key(self) -> bytes:
        """The identity's public key; it is made at the first call."""
        known = self._element.public_key(IDENTITY_SLOT)
        return known or self._element.generate(IDENTITY_SLOT)

    def check_element(self) -> None:
        """Raises StorageDamaged where the element is not the one that the certificate is over.

        Before anything else is asked of it: another one's counter must decide no payment.
        """
        own = Certificate.parse(self.certificate)
        if self._element.public_key(IDENTITY_SLOT) != own.public_key:
            raise StorageDamaged("the identity key in the secure element")

    def activate(self) -> None:
        """Checks that everything is there and fits together; from now on it is a purse.

        Raises Refusal(6985) where it does not.
        """
        try:
            self._check_complete()
        except (Rejected, WireError, StorageDamaged):  # of what is missing, too
            raise Refusal(status.CONDITIONS_NOT_MET) from None
        self._store.replace(_LIFECYCLE, bytes([LIFECYCLE_ACTIVE]))
        version = self.policy.policy_version
        self._state.change(lifecycle=LIFECYCLE_ACTIVE, policy_version=version)
        self.lifecycle = LIFECYCLE_ACTIVE

    def _check_complete(self) -> None:
        self._open()
        own = Certificate.parse(self.certificate)
        if self.bank.role != ROLE_BANK:
            raise Rejected("bank", "this is no bank")
        self.trust.check_holder(own, ROLE_PURSE, own.not_before)
        if own.issuer != self.bank.key_id or own.public_key != self.identity_key():
            raise Rejected("purse", "the certificate is not over this purse's key")
        if self._element.counter():
            raise Rejected("counter", "numbers of this element's counter were used before")
        if own.tier > self._element.TIER:
            raise Rejected("tier", "the certificate promises more than the element keeps")
        self._check_policy(self.policy)

    def lock(self, lifecycle: int) -> None:
        """Moves to a state that no longer pays; the card has no way back from it."""
        if self._state["lifecycle"] != lifecycle:
            self._state.change(lifecycle=lifecycle)
        self.lifecycle = lifecycle

    def present(self, data: bytes) -> None:
        """Accepts a certificate under the root and remembers it. Raises Refusal."""
        certificate = Certificate.parse(data)
        known = self.trust.like(certificate)
        if known is not None and _dates(known) >= _dates(certificate):
            return  # the same again, or an older one that could only do harm
        try:
            self.trust.add(certificate)
        except Rejected:
            raise Refusal(status.PAYEE_CERTIFICATE) from None
        self._make_room(_known_name(certificate))
        self._store.replace(_known_name(certificate), data)

    def _make_room(self, name: str) -> None:
        """Forgets the remembered certificate that ends first, where `name` has no place.

        Whoever needs it presents it again. A card that kept the first ones for ever would in
        time know nobody who is still in business.
        """
        names = self._store.names(_KNOWN)
        if name in names or len(names) < KNOWN_CERTIFICATES:
            return
        others = [known for known in self.trust.known if known.key_id != self.bank.key_id]
        first = min([known for known in others if _known_name(known) in names], key=_end)
        self._store.remove(_known_name(first))
        self.trust.forget(first)

    def set_policy(self, data: bytes) -> None:
        """Takes a newer policy of its own bank. Raises Refusal for an older or a foreign one."""
        policy = Policy.parse(data)
        try:
            self._check_policy(policy)
        except Rejected:
            raise Refusal(status.WRONG_DATA) from None
        if policy == self.policy:
            return
        if policy.policy_version <= self.policy.policy_version:
            raise Refusal(status.CONDITIONS_NOT_MET)
        self._store.replace(_POLICY, data)
        self._state.change(policy_version=policy.policy_version)
        self.policy = policy

    def _check_policy(self, policy: Policy) -> None:
        if policy.bank != self.bank.key_id or policy.currency != self.bank.currency:
            raise Rejected("bank", "the policy is not this bank's")
        if policy.tier != self.tier:
            raise Rejected("tier", "the policy is for purses of another tier")
        if not self.trust.signed(self.bank.public_key, policy):
            raise Rejected("signature", "the policy is not signed by its bank")


def _known_name(certificate: Certificate) -> str:
    return "%s%d.%s" % (_KNOWN, certificate.role, certificate.key_id.hex())


def _dates(certificate: Certificate) -> "tuple[int, int]":
    return (certificate.not_before, certificate.not_after)


def _end(certificate: Certificate) -> "tuple[int, bytes]":
    return (certificate.not_after, certificate.key_id)


def _of_length(data: bytes, size: int) -> None:
    if len(data) != size:
        raise Refusal(status.WRONG_LENGTH)
