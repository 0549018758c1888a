# SPDX-License-Identifier: Apache-2.0
"""Prepares a chip for a purse, once and for ever: shows, asks, locks, reads back, tries.

Runs under an ordinary MicroPython on the board, before the card's firmware is flashed, which has
no such command (board.md). Again after a power cut it goes on where it was.
"""

from firmware.hal.atecc608 import Atecc608
from firmware.hal.atecc608_element import open_atecc608
from firmware.hal.atecc608_errors import AteccError
from firmware.hal.atecc608_plan import (
    IDENTITY_SLOT,
    KEY_SLOTS,
    AnotherPlan,
    configure,
    is_configured,
    plan,
)

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

_BUS = 0
_PINS = __file__.rsplit("/", 1)[0] + "/pins.csv"

_UNLOCKED = 0x55
_LOCK_CONFIG = 87
_WORD = 4
_WRITTEN = ((16, 84), (88, 128))  # bytes of the configuration that WRITE may change
_TRIAL = b"qalta: tried once, for nothing.."  # 32 bytes; no record has such a digest


def main() -> None:
    """Prepares the chip at the pins of pins.csv; asks the person at the terminal."""
    try:
        pins = _read_pins(_PINS)
        prepare(open_atecc608(_BUS, pins["SE_SCL"], pins["SE_SDA"]), input, print)
    except AteccError as error:
        print("The chip failed:", error)
        print("Nothing is lost: see to the wires, and start this again.")


def prepare(chip: Atecc608, ask: "Callable[[str], str]", say: "Callable[[str], object]") -> bool:
    """Whether the chip is fit for a purse now. Raises AteccError where it fails.

    ask: shows a question and returns what was typed. say: shows a line.
    """
    serial = chip.serial().hex()
    say(f"Chip {serial}, revision {chip.revision().hex()}.")
    if is_configured(chip):
        say(f"It is configured for a purse already; its counter stands at {chip.counter(0)}.")
        return chip.has_key(IDENTITY_SLOT) or _try_slots(chip, say)
    _show_plan(chip.config(), say)
    say("This locks the chip for ever. It can be used for a purse then, and for nothing else.")
    if ask(f"Type its number to go on, {serial}: ").strip().lower() != serial:
        say("That is not its number. Nothing was written.")
        return False
    try:
        configure(chip)
    except AnotherPlan as refused:
        say(f"Refused: {refused}.")
        return False
    if not is_configured(chip):
        say("What was read back is not the plan. Do not use this chip.")
        return False
    say("Written, locked and read back.")
    return _try_slots(chip, say)


def _show_plan(zone: bytes, say: "Callable[[str], object]") -> None:
    """Every word of the configuration that is not as it shall be."""
    wanted = plan()
    is_locked = zone[_LOCK_CONFIG] != _UNLOCKED
    say("Its configuration is locked." if is_locked else "Its configuration is open.")
    for first, end in _WRITTEN:
        for start in range(first, end, _WORD):
            old, new = zone[start : start + _WORD], wanted[start : start + _WORD]
            if old != new:
                say(f"bytes {start} to {start + 3}: {old.hex()}, shall be {new.hex()}")


def _try_slots(chip: Atecc608, say: "Callable[[str], object]") -> bool:
    """Makes a key in each slot for token keys and signs with it.

    Only before the chip has an identity: from then on a slot may hold the key of money.
    """
    failed = []
    for slot in KEY_SLOTS[1:]:
        try:
            public_key = chip.generate(slot)
            if not chip.verify(public_key, _TRIAL, chip.sign(slot, _TRIAL)):
                failed.append(slot)
        except AteccError as error:
            say(f"slot {slot}: {error}")
            failed.append(slot)
    if failed:
        say(f"These slots hold no keys: {failed}. Do not use this chip.")
        return False
    say(f"{len(KEY_SLOTS) - 1} slots make keys and sign. The chip is ready.")
    return True


def _read_pins(path: str) -> "dict[str, int]":
    """Signal → number, from a `pins.csv` in MicroPython's form."""
    pins = {}
    with open(path) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                signal, _, pin = line.strip().partition(",GPIO")
                pins[signal] = int(pin)
    return pins
