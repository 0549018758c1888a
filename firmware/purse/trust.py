# SPDX-License-Identifier: Apache-2.0
"""Whom to believe: certificates under the root, and under a known bank (protocol section 2)."""

from firmware.wire.certificate import (
    PURPOSE_GENERAL,
    ROLE_AUTHORITY,
    ROLE_BANK,
    ROLE_ISSUER,
    ROLE_NAMES,
    ROLE_NOTARY,
    ROLE_PURSE,
    ROLE_TERMINAL,
    Certificate,
)
from firmware.wire.layout import key_id, sha256
from firmware.wire.note import Note

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.wire.bundle import Bundle
    from firmware.wire.layout import Record

    Verify = Callable[[bytes, bytes, bytes], bool]

_UNDER_ROOT = (ROLE_ISSUER, ROLE_BANK, ROLE_AUTHORITY, ROLE_NOTARY)
_UNDER_BANK = (ROLE_PURSE, ROLE_TERMINAL)


class Rejected(Exception):
    """Something signed is not to be believed.

    `reason` is a short name for programs, `sentence` is for the people at the till.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class UnknownSigner(Rejected):
    """The signer's certificate was never shown: present it, then try again."""

    def __init__(self, who: str, wanted: bytes) -> None:
        super().__init__("unknown-signer", "the %s %s is not known here" % (who, wanted.hex()))
        self.key_id = wanted


class Trust:
    """The root's public key and the certificates that were checked under it.

    `verify(public_key, digest, signature) -> bool` is pure Python on a board, `cryptography`
    on a host.
    """

    def __init__(self, root: bytes, verify: "Verify") -> None:
        self.root = root
        self.verify = verify
        self._known: "dict[tuple[int, bytes], Certificate]" = {}  # by role and KeyId

    @property
    def known(self) -> "list[Certificate]":
        """The certificates that were accepted."""
        return list(self._known.values())

    def signed(self, public_key: bytes, record: "Record | Bundle") -> bool:
        """Whether `record` carries a good signature of `public_key`."""
        return self.verify(public_key, sha256(record.body), record.signature)

    def add(self, certificate: Certificate) -> None:
        """Accepts an issuer, bank, authority or notary. Raises Rejected if the root did not."""
        if certificate.role not in _UNDER_ROOT:
            raise Rejected("role", "the root signs no %s" % ROLE_NAMES[certificate.role])
        if certificate.issuer != key_id(self.root) or not self.signed(self.root, certificate):
            raise Rejected("root", "the certificate is not signed by this root")
        self._known[(certificate.role, certificate.key_id)] = certificate

    def forget(self, certificate: Certificate) -> None:
        """Accepts it no longer, until it is added again."""
        del self._known[(certificate.role, certificate.key_id)]

    def like(self, certificate: Certificate) -> "Certificate | None":
        """The accepted certificate for the same role of the same key."""
        return self._known.get((certificate.role, certificate.key_id))

    def find(self, wanted: bytes, *roles: int) -> Certificate:
        """The accepted certificate of this KeyId and one of `roles`. Raises UnknownSigner."""
        for role in roles:
            found = self._known.get((role, wanted))
            if found is not None:
                return found
        raise UnknownSigner(ROLE_NAMES[roles[0]], wanted)

    def check_holder(self, certificate: Certificate, role: int, now: int) -> Certificate:
        """A purse's or terminal's certificate under a known bank; returns the bank's.

        `now` is in Unix seconds. Raises UnknownSigner for a bank that was never presented,
        Rejected for anything that is not as it should be.
        """
        if certificate.role != role or role not in _UNDER_BANK:
            raise Rejected("role", "this is the certificate of no %s" % ROLE_NAMES[role])
        bank = self.find(certificate.issuer, ROLE_BANK)
        if bank.currency != certificate.currency:
            raise Rejected("currency", "the certificate is for another currency than its bank's")
        if not (certificate.valid_at(now) and bank.valid_at(now)):
            raise Rejected("dates", "the certificate is not valid at this time")
        if not self.signed(bank.public_key, certificate):
            raise Rejected("signature", "the certificate is not signed by its bank")
        return bank

    def check_note(self, note: Note) -> Certificate:
        """A note under its issuer or authority; returns the signer's certificate.

        General money is the issuer's, money of a purpose an authority's that has the purpose
        in its certificate. Raises UnknownSigner or Rejected.
        """
        role = ROLE_ISSUER if note.purpose == PURPOSE_GENERAL else ROLE_AUTHORITY
        signer = self.find(note.issuer, role)
        if signer.currency != note.currency:
            raise Rejected("currency", "the note is in another currency than its issuer's")
        if not signer.valid_at(note.issued_at):
            raise Rejected("dates", "the note was issued outside its issuer's dates")
        if not signer.accepts(note.purpose):
            raise Rejected("purpose", "the note's purpose is not its authority's")
        if not self.signed(signer.public_key, note):
            raise Rejected("counterfeit", "the note is not signed by its issuer")
        return signer
