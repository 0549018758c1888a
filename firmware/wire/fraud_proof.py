# SPDX-License-Identifier: Apache-2.0
"""Fraud proofs: two transfers that one key should never have signed (protocol section 3).

A proof carries what ties the signing key to the root, so that the root key alone verifies it:
the issuer's certificate and the note (the note names the key), or the bank's certificate and
the holder's. 744 bytes or 764.
"""

from firmware.wire.certificate import Certificate
from firmware.wire.layout import Layout, WireError
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer

SIGNER_OF_NOTE = 0  # the signer is the owner of the note: a fork at the first hop
SIGNER_OF_CERTIFICATE = 1  # the signer is a certified payee that spent on

HEAD = Layout(("type", "B"), ("version", "B"), ("signer", "B"), ("reserved", "B"))


class FraudProof:
    """A double spend, provable to anyone. `first` and `second` stand in order of RecordId."""

    NAME = "fraud proof"
    TYPE = 7
    VERSION = 1

    def __init__(
        self,
        authority: Certificate,
        evidence: "Note | Certificate",
        one: Transfer,
        other: Transfer,
    ) -> None:
        self.authority = authority
        self.evidence = evidence
        ordered = one.record_id <= other.record_id
        self.first, self.second = (one, other) if ordered else (other, one)

    @property
    def signer(self) -> bytes:
        """The public key that signed both transfers."""
        if isinstance(self.evidence, Note):
            return self.evidence.owner
        return self.evidence.public_key

    @property
    def raw(self) -> bytes:
        """The proof's bytes: the same fork always gives the same proof."""
        of_note = isinstance(self.evidence, Note)
        head = {
            "type": self.TYPE,
            "version": self.VERSION,
            "signer": SIGNER_OF_NOTE if of_note else SIGNER_OF_CERTIFICATE,
        }
        records = (self.authority, self.evidence, self.first, self.second)
        return HEAD.pack(head) + b"".join([record.raw for record in records])

    @classmethod
    def parse(cls, raw: bytes) -> "FraudProof":
        """The proof in `raw`, all of it. Raises WireError for anything else.

        Its signatures are not verified here: `firmware.purse.fraud.verify_proof` does that.
        """
        try:
            return cls._parse(bytes(raw))
        except WireError as error:
            raise WireError("%s: %s" % (cls.NAME, error)) from None

    @classmethod
    def _parse(cls, raw: bytes) -> "FraudProof":
        head = HEAD.unpack(raw[: HEAD.size])
        if head["type"] != cls.TYPE or head["version"] != cls.VERSION:
            raise WireError("type or version is wrong")
        kinds = {SIGNER_OF_NOTE: Note, SIGNER_OF_CERTIFICATE: Certificate}
        if head["signer"] not in kinds:
            raise WireError("signer kind %d is unknown" % head["signer"])
        at = HEAD.size
        records = []
        for kind in (Certificate, kinds[head["signer"]], Transfer, Transfer):
            end = at + kind.LAYOUT.size
            records.append(kind.parse(raw[at:end]))
            at = end
        if at != len(raw):
            raise WireError("%d bytes stand behind its end" % (len(raw) - at))
        proof = cls(*records)  # type: ignore[arg-type]
        if proof.raw != raw:
            raise WireError("its transfers are not in order")
        return proof
