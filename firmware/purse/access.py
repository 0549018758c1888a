# SPDX-License-Identifier: Apache-2.0
"""PIN and PUK: the try counter goes down, durably, before anything is compared (section 4)."""

from firmware.crypto.compare import equal
from firmware.purse.ports import Store
from firmware.wire import status
from firmware.wire.layout import Layout
from firmware.wire.limits import PIN_MAX, PIN_MIN, PIN_TRIES, PUK_SIZE, PUK_TRIES
from firmware.wire.status import Refusal

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

_RECORD = "access"
_LAYOUT = Layout(
    ("pin_tries", "B"), ("puk_tries", "B"), ("pin", "12s"), ("puk", "8s")
)  # the PIN zero padded: digits are never zero bytes, so its length is in it


class Access:
    """The holder's references. Nothing here is shown, and nothing tells where a guess failed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def is_set(self) -> bool:
        """Whether both PIN and PUK were given at personalisation."""
        raw = self._store.read(_RECORD)
        if raw is None:
            return False
        fields = _LAYOUT.unpack(raw)
        return bool(fields["pin_tries"] and fields["puk_tries"])

    @property
    def pin_tries(self) -> int:
        """How many tries of the PIN are left."""
        return self._fields()["pin_tries"]

    def give_pin(self, padded: bytes) -> None:
        """Personalisation: the first PIN, with all its tries."""
        self._give("pin", padded, PIN_TRIES)

    def give_puk(self, puk: bytes) -> None:
        """Personalisation: the PUK, with all its tries."""
        self._give("puk", puk, PUK_TRIES)

    def _give(self, what: str, reference: bytes, tries: int) -> None:
        raw = self._store.read(_RECORD) or bytes(_LAYOUT.size)
        fields = _LAYOUT.unpack(raw)
        fields[what] = reference
        fields[what + "_tries"] = tries
        self._write(fields)

    def verify_pin(self, pin: bytes) -> None:
        """Returns if `pin` is right. Raises Refusal: 63Cx, or 6983 when blocked."""
        fields = self._try("pin", check_pin_format(pin))
        fields["pin_tries"] = PIN_TRIES
        self._write(fields)

    def change_pin(self, old: bytes, new: bytes) -> None:
        """Replaces the PIN by who knows it. Raises Refusal."""
        wanted = check_pin_format(new)
        fields = self._try("pin", check_pin_format(old))
        fields["pin"] = wanted
        fields["pin_tries"] = PIN_TRIES
        self._write(fields)

    def unblock(self, puk: bytes, new: bytes) -> None:
        """Sets a new PIN by who knows the PUK. Raises Refusal."""
        wanted = check_pin_format(new)
        fields = self._try("puk", puk)
        fields["pin"] = wanted
        fields["pin_tries"] = PIN_TRIES
        fields["puk_tries"] = PUK_TRIES
        self._write(fields)

    def _try(self, what: str, guess: bytes) -> "dict[str, Any]":
        """Takes one try, then compares in constant time; returns the record as it now is."""
        fields = self._fields()
        tries = what + "_tries"
        if fields[tries] == 0:
            raise Refusal(status.BLOCKED)
        fields[tries] -= 1
        self._write(fields)
        if not equal(fields[what], guess):
            raise Refusal(status.TRIES_LEFT | fields[tries] if fields[tries] else status.BLOCKED)
        return fields

    def _fields(self) -> "dict[str, Any]":
        raw = self._store.read(_RECORD)
        if raw is None:
            raise Refusal(status.CONDITIONS_NOT_MET)
        return _LAYOUT.unpack(raw)

    def _write(self, fields: "dict[str, Any]") -> None:
        self._store.replace(_RECORD, _LAYOUT.pack(fields))


def check_pin_format(pin: bytes) -> bytes:
    """`pin` as it is stored. Raises Refusal(6A80) unless it is 4 to 12 ASCII digits."""
    if not PIN_MIN <= len(pin) <= PIN_MAX or not _all_digits(pin):
        raise Refusal(status.WRONG_DATA)
    return _padded(pin)


def check_puk_format(puk: bytes) -> bytes:
    """`puk` itself. Raises Refusal(6A80) unless it is 8 ASCII digits."""
    if len(puk) != PUK_SIZE or not _all_digits(puk):
        raise Refusal(status.WRONG_DATA)
    return puk


def _padded(pin: bytes) -> bytes:
    return pin + bytes(PIN_MAX - len(pin))


def _all_digits(raw: bytes) -> bool:
    return all(0x30 <= byte <= 0x39 for byte in raw)
