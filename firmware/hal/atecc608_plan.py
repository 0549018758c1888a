# SPDX-License-Identifier: Apache-2.0
"""How a purse's ATECC608 is configured, once and for ever; why each byte: docs/atecc608.md."""

from firmware.hal.atecc608 import CONFIG_SIZE, CONFIG_ZONE, WORD_SIZE, Atecc608
from firmware.hal.atecc608_errors import AteccError
from firmware.hal.atecc608_packet import crc16

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY_SLOT = 0
SPARE_SLOT = 8  # 416 bytes, made for data: closed
KEY_SLOTS = tuple([slot for slot in range(16) if slot != SPARE_SLOT])

_FAMILY = 0x60  # third byte of the revision
_FIRST = 16  # bytes 0 to 15 are the factory's
_SLOT_CONFIG = 20
_COUNTERS = 52
_COUNTERS_END = 68
_EXTRA = 84  # UserExtra, UserExtraAdd and the two locks: other commands write them
_LOCK_DATA = 86
_LOCK_CONFIG = 87
_SLOT_LOCKED = 88
_SLOT_LOCKED_END = 90
_KEY_CONFIG = 96
_UNLOCKED = 0x55

_I2C_ADDRESS = 0xC0  # 60, one bit up
_KEY_SLOT = b"\x81\x20"  # secret; signs what it is given; GENKEY may write it, nothing else
_SPARE_SLOT = b"\x80\x80"  # never read, never written
_IDENTITY_KEY = b"\x33\x00"  # P-256, private, public part may be asked, lockable
_TOKEN_KEY = b"\x13\x00"  # the same, not lockable: a slot is used again for the next note
_SPARE_KEY = b"\x1c\x00"  # no key
_ZERO_COUNTER = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class AnotherPlan(AteccError):
    """The chip is no ATECC608, or is locked with a configuration that is not this one."""


class NotConfigured(AteccError):
    """The chip has not been prepared for a purse, or was prepared for something else."""


def plan() -> bytes:
    """The 128 bytes as this project writes them; those that it cannot write are zero."""
    zone = bytearray(CONFIG_SIZE)
    zone[_FIRST] = _I2C_ADDRESS
    for slot in range(16):
        slot_config, key_config = _KEY_SLOT, _TOKEN_KEY
        if slot == IDENTITY_SLOT:
            key_config = _IDENTITY_KEY
        elif slot == SPARE_SLOT:
            slot_config, key_config = _SPARE_SLOT, _SPARE_KEY
        zone[_SLOT_CONFIG + 2 * slot : _SLOT_CONFIG + 2 * slot + 2] = slot_config
        zone[_KEY_CONFIG + 2 * slot : _KEY_CONFIG + 2 * slot + 2] = key_config
    zone[_COUNTERS:_COUNTERS_END] = 2 * _ZERO_COUNTER
    zone[_SLOT_LOCKED:_SLOT_LOCKED_END] = b"\xff\xff"
    return bytes(zone)


def is_configured(chip: Atecc608) -> bool:
    """Whether the chip follows the plan and both its zones are locked: fit for a purse."""
    zone = chip.config()
    locked = _UNLOCKED not in (zone[_LOCK_CONFIG], zone[_LOCK_DATA])
    return locked and not any(_differing_words(zone))


def configure(chip: Atecc608) -> None:
    """Writes the plan, reads it back, and locks configuration and slots. Irreversible.

    It goes on where a power cut stopped it, and does nothing to a chip that is done. Raises
    AnotherPlan for any other chip, before anything is written, and for one that keeps nothing.
    """
    if chip.revision()[2] != _FAMILY:
        raise AnotherPlan("this chip is no ATECC608")
    zone = chip.config()
    is_open = zone[_LOCK_CONFIG] == _UNLOCKED
    if is_open:
        wanted = plan()
        for start in _differing_words(zone):
            word = wanted[start : start + WORD_SIZE]
            chip.write(CONFIG_ZONE, start // WORD_SIZE, word)
        zone = chip.config()
    if any(_differing_words(zone)):
        raise AnotherPlan(
            "this chip does not keep its configuration"
            if is_open
            else "this chip is locked with another configuration, for ever: take a fresh one"
        )
    if is_open:
        chip.lock_config(crc16(zone))
    if zone[_LOCK_DATA] == _UNLOCKED:
        chip.lock_data()


def _differing_words(zone: bytes) -> "Iterator[int]":
    """Where the words begin in which a zone departs from the plan.

    Once a chip is locked its counters and its locked slots have a life of their own.
    """
    wanted = plan()
    is_open = zone[_LOCK_CONFIG] == _UNLOCKED
    for start in range(_FIRST, CONFIG_SIZE, WORD_SIZE):
        end = start + WORD_SIZE
        if start == _EXTRA or (_COUNTERS <= start < _COUNTERS_END and not is_open):
            continue
        first = _SLOT_LOCKED_END if start == _SLOT_LOCKED and not is_open else start
        if zone[first:end] != wanted[first:end]:
            yield start
