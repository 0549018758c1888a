# SPDX-License-Identifier: Apache-2.0
"""A purse on paper: signs what a card would sign, from the wire layouts alone.

Written independently of `firmware.purse`; it has no rules and no memory but its journal, so it
also signs what no honest card would: the same units twice, units it never had, two histories.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from firmware.wire.bundle import PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.journal import (
    CHAIN_START,
    KIND_PAYMENT,
    JournalEntry,
    KeyAttestation,
    Statement,
)
from firmware.wire.layout import SIGNATURE_SIZE, sha256
from firmware.wire.note import Note
from firmware.wire.token import Token
from firmware.wire.transfer import CVM_PIN, SEALED, Transfer
from host_bridge.crypto.keys import SigningKey


@dataclass
class Piece:
    """A run that the purse may spend: a note, or what a transfer brought with its chain."""

    key: SigningKey
    note: Note
    parent: bytes
    at: int
    end: int
    hops: list[tuple[Certificate, Transfer]] = field(default_factory=list)
    seq: int = 0


@dataclass
class PaperPurse:
    """Identity key, view key, notes, and a journal of (entry, is acknowledged)."""

    identity: SigningKey
    view_key: bytes
    certificate: Certificate | None = None
    counter: int = 0
    acknowledged: int = 0
    anchor: bytes = CHAIN_START
    head: bytes = CHAIN_START
    policy_version: int = 0
    entries: list[JournalEntry] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    @classmethod
    def new(cls, view_key: bytes = bytes(range(16))) -> PaperPurse:
        """A blank purse with a fresh identity key."""
        return cls(SigningKey.generate(), view_key)

    @property
    def papers(self) -> Certificate:
        """The identity certificate, once it was given."""
        assert self.certificate is not None
        return self.certificate

    def clone(self) -> PaperPurse:
        """The same keys and memory a second time, as a cracked element would give them."""
        twin = copy.copy(self)
        twin.entries = list(self.entries)
        twin.pieces = [copy.copy(piece) for piece in self.pieces]
        return twin

    def attest(self, key: SigningKey, challenge: bytes, slot: int = 1) -> KeyAttestation:
        """A token key, vouched for by the identity key."""
        return KeyAttestation.issue(
            self.identity.sign,
            slot=slot,
            serial=self.papers.serial,
            challenge=challenge,
            public_key=key.public_key,
        )

    def take_note(self, key: SigningKey, note: Note) -> Piece:
        """Hold a note."""
        piece = Piece(key, note, note.record_id, 0, note.value)
        self.pieces.append(piece)
        return piece

    def take_token(self, token: Token) -> Piece:
        """Hold what another purse paid to this one."""
        step = token.transfer
        hops = [*token.hops, (self.papers, step)]
        piece = Piece(self.identity, token.note, step.record_id, step.start, step.end, hops)
        self.pieces.append(piece)
        return piece

    def pay(
        self,
        payee: Certificate,
        amounts: list[tuple[Piece, int]],
        payment_id: bytes,
        time: int,
        *,
        signed: bool = True,
    ) -> list[Token]:
        """Move the front of each piece to the payee, as one journal entry."""
        runs = [(piece, piece.at, piece.at + amount) for piece, amount in amounts]
        for piece, _, end in runs:
            piece.at = end
        return self.pay_runs(payee, runs, payment_id, time, signed=signed)

    def pay_runs(
        self,
        payee: Certificate,
        runs: list[tuple[Piece, int, int]],
        payment_id: bytes,
        time: int,
        *,
        signed: bool = True,
        key: SigningKey | None = None,
    ) -> list[Token]:
        """Sign transfers of any runs at all, honest or not."""
        self.counter += 1
        place = {
            "counter": self.counter,
            "offline_total": sum(end - start for _, start, end in runs),
            "chain": self.head[:8],
        }
        bodies = []
        for piece, start, end in runs:
            bodies.append(
                Transfer.body_of(
                    {
                        "seq": piece.seq,
                        "parent": piece.parent,
                        "start": start,
                        "end": end,
                        "payee": payee.record_id,
                        "payment_id": payment_id,
                        "time": time,
                        "cvm": CVM_PIN,
                        "flags": 0,
                        "sealed": _seal(self.view_key, SEALED.pack(place)),
                    }
                )
            )
            piece.seq += 1
        head = {
            "kind": KIND_PAYMENT,
            "counter": self.counter,
            "time": time,
            "amount": place["offline_total"],
            "purpose": runs[0][0].note.purpose,
            "cvm": CVM_PIN,
            "payment_id": payment_id,
            "payee": payee.record_id,
        }
        entry = JournalEntry.build(head, bodies)
        signatures = [
            (key or piece.key).sign(sha256(body))
            for (piece, _, _), body in zip(runs, bodies, strict=True)
        ]
        entry.signatures = signatures if signed else []
        self.entries.append(entry)
        self.head = entry.chained(self.head)
        return [
            Token(piece.note, piece.hops, Transfer.parse(body + signature))
            for (piece, _, _), body, signature in zip(runs, bodies, signatures, strict=True)
        ]

    def export(self, challenge: bytes) -> PurseExport:
        """Statement and the entries that no bank has acknowledged."""
        waiting = [entry for entry in self.entries if entry.counter > self.acknowledged]
        statement = Statement.issue(
            self.identity.sign,
            entries=len(waiting),
            serial=self.papers.serial,
            challenge=challenge,
            counter=self.counter,
            acknowledged=self.acknowledged,
            anchor=self.anchor,
            head=self.head,
            policy_version=self.policy_version,
            denylist_epoch=0,
        )
        return PurseExport(self.papers, statement, waiting)

    def acknowledge(self, counter: int, chain: bytes) -> None:
        """Forget the journal up to `counter`, as the bank's acknowledgement allows."""
        at = self.anchor
        for entry in self.entries:
            if self.acknowledged < entry.counter <= counter:
                at = entry.chained(at)
        assert at == chain, "the acknowledgement does not fit this journal"
        self.acknowledged, self.anchor = counter, chain


def spoiled(signature: bytes) -> bytes:
    """A signature that is well formed and wrong."""
    assert len(signature) == SIGNATURE_SIZE
    return signature[:-1] + bytes([signature[-1] ^ 1])


def _seal(view_key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(view_key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()
