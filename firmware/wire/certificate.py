# SPDX-License-Identifier: Apache-2.0
"""Certificates: who a key belongs to and what it may do (protocol sections 2 and 3)."""

from firmware.wire.layout import Layout, Record, WireError, check_point, key_id

ROLE_ROOT = 1  # the central bank's offline root, signed by itself
ROLE_ISSUER = 2  # signs general notes
ROLE_BANK = 3  # certifies its clients' purses and terminals; signs policies, acknowledgements
ROLE_AUTHORITY = 4  # labels money: signs notes of the purposes in its certificate
ROLE_PURSE = 5  # a key in a client's secure element
ROLE_TERMINAL = 6  # a merchant's receiving key
ROLE_NOTARY = 7  # signs the denylist

ROLE_NAMES = {
    ROLE_ROOT: "root",
    ROLE_ISSUER: "issuer",
    ROLE_BANK: "bank",
    ROLE_AUTHORITY: "authority",
    ROLE_PURSE: "purse",
    ROLE_TERMINAL: "terminal",
    ROLE_NOTARY: "notary",
}

TIER_SOFTWARE = 0  # development only; a production root never certifies it
TIER_MICROCONTROLLER = 1
TIER_CHIP = 2
TIER_CARD = 3

PURPOSE_GENERAL = 0
PURPOSE_BEST_MATCH = 0xFFFF  # only in PAY: special purpose first, then general
PURPOSE_SLOTS = 4
LABEL_SIZE = 24
CURRENCY_KZT = 398  # ISO 4217


class Certificate(Record):
    """A public key, its role, tier, validity, and for a terminal its MCC and purposes."""

    NAME = "certificate"
    TYPE = 1
    LAYOUT = Layout(
        ("type", "B"),
        ("version", "B"),
        ("role", "B"),
        ("tier", "B"),
        ("serial", "16s"),
        ("issuer", "8s"),
        ("public_key", "64s"),
        ("not_before", "I"),
        ("not_after", "I"),
        ("currency", "H"),
        ("mcc", "H"),
        ("purposes", "4H"),
        ("label", "24s"),
        ("signature", "64s"),
    )
    role: int
    tier: int
    serial: bytes
    issuer: bytes
    public_key: bytes
    not_before: int
    not_after: int
    currency: int
    mcc: int
    purposes: "tuple[int, int, int, int]"
    label: bytes

    def check(self) -> None:
        """Known role and tier, a point of the curve, dates in order, a clean label."""
        if self.role not in ROLE_NAMES:
            raise WireError("role %d is unknown" % self.role)
        if self.tier > TIER_CARD:
            raise WireError("tier %d is unknown" % self.tier)
        if self.not_before >= self.not_after:
            raise WireError("it ends before it begins")
        if PURPOSE_BEST_MATCH in self.purposes:
            raise WireError("purpose FFFF is not a purpose")
        label_text(self.label)
        check_point(self.public_key)

    @property
    def key_id(self) -> bytes:
        """The KeyId of the certified key."""
        return key_id(self.public_key)

    @property
    def name(self) -> str:
        """The merchant's display name; empty for a purse."""
        return label_text(self.label)

    def accepts(self, purpose: int) -> bool:
        """Whether a terminal with this certificate takes money of `purpose`."""
        return purpose == PURPOSE_GENERAL or purpose in self.purposes

    def valid_at(self, time: int) -> bool:
        """Whether `time` (Unix seconds) lies within the validity, both ends included."""
        return self.not_before <= time <= self.not_after


def label_bytes(name: str) -> bytes:
    """`name` as a label field: UTF-8, zero padded. Raises WireError if it is too long."""
    try:
        raw = name.encode()
    except UnicodeError:
        raise WireError("the name has characters that UTF-8 does not have") from None
    if len(raw) > LABEL_SIZE or b"\0" in raw:
        raise WireError("the name does not fit in %d bytes of UTF-8" % LABEL_SIZE)
    return raw + bytes(LABEL_SIZE - len(raw))


def label_text(label: bytes) -> str:
    """The text of a label field. Raises WireError for bad UTF-8 or bytes behind the padding."""
    raw = label.rstrip(b"\0")
    if b"\0" in raw:
        raise WireError("the label has bytes behind its end")
    try:
        text = raw.decode()
    except UnicodeError:
        raise WireError("the label is not UTF-8") from None
    if not _is_strict(text, raw):
        raise WireError("the label is not UTF-8")
    return text


def _is_strict(text: str, raw: bytes) -> bool:
    """Whether `raw` is the one right encoding of `text`.

    MicroPython's decoder also takes overlong forms, surrogates and numbers over 10FFFF: a card
    would trust a certificate that a host refuses.
    """
    codes = [ord(character) for character in text]
    if any(code > 0x10FFFF or 0xD800 <= code <= 0xDFFF for code in codes):
        return False
    return "".join([chr(code) for code in codes]).encode() == raw
