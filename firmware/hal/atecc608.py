# SPDX-License-Identifier: Apache-2.0
"""Microchip ATECC608 on I2C: the commands that a purse needs, one method each.

Every method may raise `AteccError` (`atecc608_errors`). Slots are 0 to 15, digests are SHA-256,
signatures r‖s and public keys x‖y, 64 bytes each. Data sheets: ATECC508A/608A, "Device Commands".
"""

from firmware.hal import atecc608_opcodes as op
from firmware.hal.atecc608_errors import Miscompare
from firmware.hal.atecc608_link import ChipLink
from firmware.hal.atecc608_power import ChipPower

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.hal.atecc608_power import Bus, Clock

ADDRESS = 0x60  # as the chip comes, and as `atecc608_plan` leaves it
SLOTS = 16
COUNTER_END = 2_097_151  # where either counter stays for ever
CONFIG_SIZE = 128
CONFIG_ZONE = 0
DATA_ZONE = 2

TEMP_KEY = 0x00  # where a digest waits for SIGN or VERIFY
DIGEST_BUFFER = 0x40

WORD_SIZE = 4
BLOCK_SIZE = 32
_DIGEST_SIZE = 32
_KEY_SIZE = 64
# A random number first: only then has the chip fresh seed for the number that hides its key.
_RANDOM = (op.RANDOM, op.RANDOM_SEED_IF_NEEDED, 0, b"", BLOCK_SIZE)


class Atecc608:
    """One chip.

    bus: a `TwoSpeedBus` (`atecc608_bus`), or `machine.I2C` at 100 kHz; clock: MicroPython's module
    `time`, or the like.
    """

    def __init__(self, bus: "Bus", clock: "Clock", address: int = ADDRESS) -> None:
        power = ChipPower(bus, clock, address)
        self._link = ChipLink(power)
        self.wake = power.wake  # each command wakes the chip if need be; these are for the host's
        self.idle = power.idle  # own reasons: both stop the watchdog, and only sleep forgets
        self.sleep = power.sleep

    def revision(self) -> bytes:
        """Four bytes; of an ATECC608 the third is 60."""
        return self._link.run((op.INFO, op.INFO_REVISION, 0, b"", WORD_SIZE))

    def has_key(self, slot: int) -> bool:
        """Whether the slot holds a key that can be used."""
        return any(self._link.run((op.INFO, op.INFO_KEY_VALID, _slot(slot), b"", WORD_SIZE)))

    def random(self) -> bytes:
        """32 random bytes; before the configuration is locked, always the same ones."""
        return self._link.run(_RANDOM)

    def generate(self, slot: int) -> bytes:
        """Makes a new private key in the slot, over any older one; returns its public key."""
        return self._link.run((op.GENKEY, op.GENKEY_CREATE, _slot(slot), b"", _KEY_SIZE))

    def public_key(self, slot: int) -> bytes:
        """The public key of the private key in the slot, computed anew."""
        return self._link.run((op.GENKEY, op.GENKEY_PUBLIC, _slot(slot), b"", _KEY_SIZE))

    def sign(self, slot: int, digest: bytes, by: int = DIGEST_BUFFER) -> bytes:
        """Signs a digest; another signature each time. `by`: DIGEST_BUFFER or TEMP_KEY."""
        mode = op.SIGN_EXTERNAL | _source(by)
        sign = (op.SIGN, mode, _slot(slot), b"", _KEY_SIZE)
        return self._link.run(_RANDOM, _load(digest, by), sign)

    def verify(
        self, public_key: bytes, digest: bytes, signature: bytes, by: int = DIGEST_BUFFER
    ) -> bool:
        """Whether the signature fits.

        What the chip answers to a key that is no point of the curve no public data sheet says: it
        may raise EccFault or another AteccError. `AteccElement.verify` never asks.
        """
        if len(public_key) != _KEY_SIZE or len(signature) != _KEY_SIZE:
            raise ValueError("a public key and a signature have 64 bytes each")
        data = signature + public_key
        try:
            verify = (op.VERIFY, op.VERIFY_EXTERNAL | _source(by), op.P256, data, 0)
            self._link.run(_load(digest, by), verify)
        except Miscompare:
            return False
        return True

    def counter(self, number: int) -> int:
        """Counter 0 or 1."""
        return self._counter(op.COUNTER_READ, number)

    def count_up(self, number: int) -> int:
        """Adds one and returns the counter. Raises ExecutionRefused at COUNTER_END.

        After any other error it may have gone up all the same; where power fails in the middle,
        by more than one, but never down (data sheet, "Counter Command").
        """
        return self._counter(op.COUNTER_INCREMENT, number)

    def _counter(self, mode: int, number: int) -> int:
        return int.from_bytes(self._link.run((op.COUNTER, mode, number, b"", 4)), "little")

    def read(self, zone: int, address: int, size: int) -> bytes:
        """A word (4 bytes) or a block (32) of a zone, at an address in the chip's counting."""
        return self._link.run((op.READ, zone | _width(size), address, b"", size))

    def write(self, zone: int, address: int, data: bytes) -> None:
        """A word or a block of a zone. Raises ExecutionRefused where that is locked."""
        self._link.run((op.WRITE, zone | _width(len(data)), address, data, 0))

    def config(self) -> bytes:
        """The configuration zone, 128 bytes."""
        words = BLOCK_SIZE // WORD_SIZE  # addresses count words
        blocks = [
            self.read(CONFIG_ZONE, number * words, BLOCK_SIZE)
            for number in range(CONFIG_SIZE // BLOCK_SIZE)
        ]
        return b"".join(blocks)

    def serial(self) -> bytes:
        """The chip's own number, 9 bytes; no two chips have the same."""
        block = self.read(CONFIG_ZONE, 0, BLOCK_SIZE)
        return block[:4] + block[8:13]

    def lock_config(self, crc: int) -> None:
        """Locks the configuration for ever, if `crc` is that of its 128 bytes."""
        self._link.run((op.LOCK, op.LOCK_CONFIG, crc, b"", 0))

    def lock_data(self) -> None:
        """Puts the slots under the rules of the configuration, for ever."""
        self._link.run((op.LOCK, op.LOCK_DATA | op.LOCK_UNSEEN, 0, b"", 0))

    def lock_slot(self, slot: int) -> None:
        """Keeps the contents of one slot, for ever, where its KeyConfig says Lockable."""
        self._link.run((op.LOCK, op.LOCK_SLOT | _slot(slot) << 2, 0, b"", 0))


def _load(digest: bytes, by: int) -> "tuple[int, int, int, bytes, int]":
    """The command that gives the chip a digest as it is."""
    if len(digest) != _DIGEST_SIZE:
        raise ValueError("a digest has 32 bytes")
    return (op.NONCE, op.NONCE_PASS_THROUGH | by, 0, digest, 0)


def _source(by: int) -> int:
    return op.FROM_DIGEST_BUFFER if by == DIGEST_BUFFER else 0


def _width(size: int) -> int:
    if size not in (WORD_SIZE, BLOCK_SIZE):
        raise ValueError("a zone is read and written by 4 bytes or by 32")
    return op.WHOLE_BLOCK if size == BLOCK_SIZE else 0


def _slot(slot: int) -> int:
    if not 0 <= slot < SLOTS:
        raise ValueError("slot %d: there are slots 0 to 15" % slot)
    return slot
