# SPDX-License-Identifier: Apache-2.0
"""PIN and PUK: the try counter goes down, durably, before anything is compared (section 4)."""

from firmware.crypto.compare import equal
from firmware.purse.state import State
from firmware.wire import status
from firmware.wire.limits import PIN_MAX, PIN_MIN, PIN_TRIES, PUK_SIZE, PUK_TRIES
from firmware.wire.status import Refusal


class Access:
    """The holder's references. Nothing here is shown, and nothing tells where a guess failed."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def is_set(self) -> bool:
        """Whether both PIN and PUK were given at personalisation."""
        return bool(self._state["pin_tries"] and self._state["puk_tries"])

    @property
    def has_pin(self) -> bool:
        """Whether there is a PIN that can be asked for."""
        return any(self._state["pin"])

    @property
    def is_blocked(self) -> bool:
        """Whether the PIN was tried too often."""
        return self.has_pin and not self._state["pin_tries"]

    @property
    def pin_tries(self) -> int:
        """How many tries of the PIN are left. Raises Refusal(6985) where there is no PIN."""
        if not self.has_pin:
            raise Refusal(status.CONDITIONS_NOT_MET)
        tries: int = self._state["pin_tries"]
        return tries

    def give_pin(self, padded: bytes) -> None:
        """Personalisation: the first PIN, with all its tries."""
        self._state.change(pin=padded, pin_tries=PIN_TRIES)

    def give_puk(self, puk: bytes) -> None:
        """Personalisation: the PUK, with all its tries."""
        self._state.change(puk=puk, puk_tries=PUK_TRIES)

    def verify_pin(self, pin: bytes) -> None:
        """Returns if `pin` is right. Raises Refusal: 63Cx, or 6983 when blocked."""
        self._try("pin", check_pin_format(pin))
        self._state.change_tries(pin_tries=PIN_TRIES)

    def change_pin(self, old: bytes, new: bytes) -> None:
        """Replaces the PIN by who knows it. Raises Refusal."""
        wanted = check_pin_format(new)
        self._try("pin", check_pin_format(old))
        self._state.change(pin=wanted, pin_tries=PIN_TRIES)

    def unblock(self, puk: bytes, new: bytes) -> None:
        """Sets a new PIN by who knows the PUK. Raises Refusal."""
        wanted = check_pin_format(new)
        self._try("puk", check_puk_format(puk))
        self._state.change(pin=wanted, pin_tries=PIN_TRIES, puk_tries=PUK_TRIES)

    def _try(self, what: str, guess: bytes) -> None:
        """Takes one try, then compares in constant time. Raises Refusal."""
        reference: bytes = self._state[what]
        if not any(reference):
            raise Refusal(status.CONDITIONS_NOT_MET)
        left: int = self._state[what + "_tries"]
        if left == 0:
            raise Refusal(status.BLOCKED)
        left -= 1
        self._state.change_tries(**{what + "_tries": left})
        if not equal(reference, guess):
            raise Refusal(status.TRIES_LEFT | left if left else status.BLOCKED)


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
