# SPDX-License-Identifier: Apache-2.0
"""Tokens on the wire: a note, its earlier hops, the newest transfer (protocol section 3).

The records tell by their type byte where each one ends, so that a token needs no lengths:
360 bytes at the first hop, and a payee certificate and a transfer (380) for each further one.
"""

from firmware.wire.certificate import Certificate
from firmware.wire.layout import WireError
from firmware.wire.limits import MAX_HOPS, MAX_PIECES
from firmware.wire.note import Note
from firmware.wire.transfer import Transfer

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import TypeVar

    from firmware.wire.layout import Record

    R = TypeVar("R", bound=Record)


class Token:
    """A run of units with the signed transfers that brought it to its newest payee.

    `hops` are the earlier transfers, each behind the certificate of the payee that it paid
    and that signed the next one.
    """

    def __init__(
        self, note: Note, hops: "list[tuple[Certificate, Transfer]]", transfer: Transfer
    ) -> None:
        self.note = note
        self.hops = hops
        self.transfer = transfer

    @property
    def raw(self) -> bytes:
        """The token's bytes."""
        parts = [self.note.raw]
        for certificate, transfer in self.hops:
            parts.extend((certificate.raw, transfer.raw))
        parts.append(self.transfer.raw)
        return b"".join(parts)

    @property
    def amount_tiyn(self) -> int:
        """How much the newest transfer moves."""
        return self.transfer.amount_tiyn

    @property
    def transfers(self) -> "list[Transfer]":
        """All transfers, the oldest first."""
        return [transfer for _, transfer in self.hops] + [self.transfer]


def parse_tokens(raw: bytes) -> "list[Token]":
    """The 1 to MAX_PIECES tokens in `raw`, all of it. Raises WireError for anything else."""
    tokens: "list[Token]" = []
    at = 0
    while at < len(raw):
        if len(tokens) == MAX_PIECES:
            raise WireError("token: more than %d tokens" % MAX_PIECES)
        token, at = _parse_token(raw, at)
        tokens.append(token)
    if not tokens:
        raise WireError("token: it is empty")
    return tokens


def _parse_token(raw: bytes, at: int) -> "tuple[Token, int]":
    note, at = _take(Note, raw, at)
    hops: "list[tuple[Certificate, Transfer]]" = []
    while at < len(raw) and raw[at] == Certificate.TYPE:
        if len(hops) == MAX_HOPS - 1:
            raise WireError("token: more than %d hops" % MAX_HOPS)
        certificate, at = _take(Certificate, raw, at)
        transfer, at = _take(Transfer, raw, at)
        hops.append((certificate, transfer))
    transfer, at = _take(Transfer, raw, at)
    return Token(note, hops, transfer), at


def _take(kind: "type[R]", raw: bytes, at: int) -> "tuple[R, int]":
    end = at + kind.LAYOUT.size
    return kind.parse(raw[at:end]), end
