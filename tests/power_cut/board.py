# SPDX-License-Identifier: Apache-2.0
"""A card whose flash is RAM: the firmware's own objects, booted as a board boots them.

Runs on MicroPython (unix). Signatures are remembered: one and the same payment is signed and
verified thousands of times here, and each time it would be the same number.
"""

import os

import vfs
from nor_flash import NorFlash

from boards.VIRTUAL.partitions import PROG_SIZE, READ_SIZE, read_partitions
from firmware.card.application import Application
from firmware.crypto import p256
from firmware.hal import software_element
from firmware.hal.software_element import SoftwareElement
from firmware.purse.purse import Purse
from firmware.storage.record_store import RecordStore
from firmware.wire import status
from firmware.wire.apdu import INS_GET_RESPONSE, INS_RECOVER, LIFECYCLE_SYNC_ONLY

_MOUNTED = "/flash"
_KEY_SIZE = 32
_AGEING_SIZE = 100  # bytes: a fortieth of a block
ALTERED = "altered"
_WORDS_WITH_DATA = (status.OK >> 8, status.MORE_DATA >> 8)
_MEMORY_FAILURE = status.MEMORY_FAILURE.to_bytes(2, "big")


class Violation(Exception):
    """A rule of money or of storage is broken; the text says which.

    kind: its short name, for cuts with which a bit turned over elsewhere. "refused" and "locked"
    is what a purse does that noticed; one that is "older" and did not may spend units again;
    "altered" is a payment that is answered with other bytes than before (I3).
    """

    def __init__(self, text: str, kind: str = "older") -> None:
        super().__init__(text)
        self.kind = kind


class Crypto:
    """`firmware.crypto.p256` and `os.urandom` as the element sees them, quick and repeatable.

    keys: the private keys that the element will "draw", in order; `drawn` says how many it has.
    """

    ORDER = p256.ORDER
    PRIVATE_KEY_SIZE = p256.PRIVATE_KEY_SIZE

    def __init__(self, keys: "list[bytes]") -> None:
        self._keys = keys
        self._identity = keys[0]
        self._known: dict[bytes, object] = {}
        self.drawn = 0
        self.log: list[object] = []

    def public_key(self, private_key: bytes) -> bytes:
        """As `p256.public_key`."""
        return self._remembered(private_key, p256.public_key, private_key)

    def sign(self, private_key: bytes, digest: bytes) -> bytes:
        """As `p256.sign`; leaves a mark in the log where a token key moves money."""
        if private_key != self._identity:
            self.log.append(None)
        return self._remembered(private_key + digest, p256.sign, private_key, digest)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """As `p256.verify`."""
        name = public_key + digest + signature
        return self._remembered(name, p256.verify, public_key, digest, signature)

    def urandom(self, size: int) -> bytes:
        """The next key; anything else is random indeed."""
        if size != _KEY_SIZE:
            return os.urandom(size)
        self.drawn += 1
        return self._keys[self.drawn - 1]

    def _remembered(self, name: bytes, function: "object", *arguments: bytes) -> "object":
        if name not in self._known:
            self._known[name] = function(*arguments)
        return self._known[name]


class Board:
    """One board. `memory` is its flash, to be filled with an image before each `boot`."""

    def __init__(self, crypto: Crypto) -> None:
        self.memory = bytearray(b"\xff" * read_partitions()["vfs"].size)
        self.crypto = crypto
        self._overwritten = 0
        self._is_mounted = False
        software_element.p256 = crypto
        software_element.os = crypto
        self.flash = NorFlash(self.memory)

    def format(self) -> None:
        """An empty file system, as a new flash image has it."""
        vfs.VfsLfs2.mkfs(NorFlash(self.memory), readsize=READ_SIZE, progsize=PROG_SIZE)

    def boot(self) -> None:
        """Power comes back: what `boards/VIRTUAL/boot.py` and `firmware/apps/card.py` do."""
        self.off()
        self.flash = NorFlash(self.memory)
        self.crypto.log = self.flash.log
        file_system = vfs.VfsLfs2(self.flash, readsize=READ_SIZE, progsize=PROG_SIZE)
        vfs.mount(file_system, _MOUNTED)
        self._is_mounted = True
        os.chdir(_MOUNTED)
        store = RecordStore("purse")
        self.element = SoftwareElement(RecordStore("element"))
        self.purse = Purse(store, self.element, self.crypto.verify)
        self.application = Application(store, self.purse)

    def age(self) -> None:
        """Moves the file system's logs on, as years of use do, and changes nothing of the card.

        The records lie, by their names, among those that payments and PINs write.
        """
        self.boot()
        for folder, name in (("purse", "access.age"), ("purse", "intent.age"), ("element", "age")):
            store = RecordStore(folder)
            store.replace(name, bytes(_AGEING_SIZE))
            store.remove(name)

    def overwritten(self) -> int:
        """How often bytes were programmed that were not erased, since it was asked last."""
        count = self._overwritten + self.flash.overwritten
        self._overwritten = self.flash.overwritten = 0
        return count

    def what_is_wrong(self) -> str:
        """What a purse is that holds neither the state before nor the one after."""
        is_locked = self.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
        return "locked" if is_locked else "older"

    def off(self) -> None:
        """Forgets everything that was in RAM; nothing is written."""
        self._overwritten += self.flash.overwritten
        self.flash.overwritten = 0
        if self._is_mounted:
            os.chdir("/")
            vfs.umount(_MOUNTED)
            self._is_mounted = False

    def play(self, exchanges: "list[tuple[bytes, bytes]]") -> None:
        """Sends commands. Raises Violation unless each answer is the very one expected."""
        for command, expected in exchanges:
            answer = self.application.process(command)
            if answer != expected:
                wanted, got = expected[-2:].hex(), answer[-2:].hex()
                text = f"INS {command[1]:02x}: expected {wanted}, got {got}, or other data"
                raise Violation(text, _kind(command, answer))

    def resume(self, exchanges: "list[tuple[bytes, bytes]]") -> None:
        """The same, but only the status words need agree: SELECT tells of the journal's state."""
        for command, expected in exchanges:
            if self.word(command) != int.from_bytes(expected[-2:], "big"):
                raise Violation(f"INS {command[1]:02x} is refused")

    def word(self, command: bytes) -> int:
        """The status word of one command."""
        return int.from_bytes(self.application.process(command)[-2:], "big")

    def facts(self) -> "tuple[object, ...]":
        """All that the purse holds to be true, to be compared before and after a cut.

        The journal's entries are in its chain hash. PIN and tries are asked for by VERIFY.
        """
        purse = self.purse
        if purse.is_blank:
            return ("blank",)
        journal, since, profile = purse.journal, purse.journal.since, purse.profile
        return (
            profile.lifecycle,
            self.element.counter(),
            sorted([(held.slot, held.parent, held.start, held.seq) for held in purse.held]),
            sorted(purse.balance().items()),
            (journal.anchor, journal.head, journal.acknowledged, journal.last_sync),
            (since.total, since.count, since.pinless),
            profile.policy.raw,
            sorted([certificate.raw for certificate in profile.trust.known]),
        )


def _kind(command: bytes, answer: bytes) -> str:
    """What a wrong answer says of the card."""
    if answer[-2:] == _MEMORY_FAILURE:
        return "refused"
    is_payment = command[1] in (INS_RECOVER, INS_GET_RESPONSE)
    return ALTERED if is_payment and answer[-2] in _WORDS_WITH_DATA else "older"
