# SPDX-License-Identifier: Apache-2.0
"""Cheques: what is sold, and the payment_id that binds it (protocol section 3)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from firmware.wire.transfer import PAYMENT_ID_SIZE
from host_bridge.money import MAX_TIYN, format_tiyn
from pos_terminal.errors import TillError

ONE = 1000  # a quantity of 1: quantities are in thousandths (1 piece, 1 kg)
_MAX_QUANTITY = 1_000_000 * ONE
MAX_LINES = 500
MAX_TEXT = 100  # characters in a name or a code
SALT_SIZE = 16


@dataclass(frozen=True)
class Line:
    """One thing sold. Raises TillError for what cannot stand on a cheque."""

    name: str
    price_tiyn: int  # of a quantity of 1
    quantity_milli: int = ONE
    code: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or not _is_text(self.name) or not _is_text(self.code):
            raise TillError("A line of a cheque needs a name of ordinary characters.")
        if not 0 <= self.price_tiyn <= MAX_TIYN:
            raise TillError(f"The price of {self.name} is out of range.")
        if not 0 < self.quantity_milli <= _MAX_QUANTITY:
            raise TillError(f"The quantity of {self.name} is out of range.")

    @property
    def total_tiyn(self) -> int:
        """Price times quantity, half a tiyn rounded up."""
        return (self.price_tiyn * self.quantity_milli + ONE // 2) // ONE


@dataclass(frozen=True)
class Cheque:
    """The lines of one sale. Raises TillError for a total that no payment can have."""

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.lines) <= MAX_LINES:
            raise TillError(f"A cheque has 1 to {MAX_LINES} lines.")
        if not 0 < self.total_tiyn <= MAX_TIYN:
            raise TillError(f"A sale is over {format_tiyn(1)} to {format_tiyn(MAX_TIYN)}.")

    @classmethod
    def of_amount(cls, amount_tiyn: int, name: str = "Sale") -> Cheque:
        """A cheque of one line for a bare amount."""
        return cls((Line(name, amount_tiyn),))

    @property
    def total_tiyn(self) -> int:
        """What the card is asked for."""
        return sum(line.total_tiyn for line in self.lines)

    @property
    def raw(self) -> bytes:
        """The cheque's bytes: one encoding, so that a payment_id can be checked later."""
        document = {"lines": [asdict(line) for line in self.lines], "total_tiyn": self.total_tiyn}
        text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode()

    @classmethod
    def parse(cls, raw: bytes) -> Cheque:
        """A cheque of the till's own books."""
        return cls(tuple(Line(**line) for line in json.loads(raw)["lines"]))


def payment_id_of(cheque: bytes, salt: bytes) -> bytes:
    """The first 16 bytes of SHA-256(cheque ‖ salt): names the payment and binds the cheque."""
    return sha256(cheque + salt).digest()[:PAYMENT_ID_SIZE]


def _is_text(text: str) -> bool:
    return len(text) <= MAX_TEXT and (text.isprintable() or not text)
