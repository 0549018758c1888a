# SPDX-License-Identifier: Apache-2.0
"""A card whose flash is RAM: the firmware's own objects, booted as a board boots them.

Runs on MicroPython (unix) and on CPython. Signatures are remembered: one and the same payment is
signed and verified thousands of times here, and each time it would be the same number.
"""

import hashlib
import sys

from firmware.card.application import Application
from firmware.crypto import p256
from firmware.hal import software_element
from firmware.hal.littlefs import PROG_SIZE, READ_SIZES, mounted
from firmware.hal.software_element import SoftwareElement
from firmware.purse.purse import Purse
from firmware.purse.state import TRIES
from firmware.purse.stored import VOID
from firmware.storage import log as sector_log
from firmware.storage.frame import OVERHEAD
from firmware.storage.memory import BoardMemory
from firmware.storage.migrations import upgrade
from firmware.wire import status
from firmware.wire.apdu import INS_GET_RESPONSE, INS_PAY, INS_RECOVER, LIFECYCLE_SYNC_ONLY
from tests.power_cut.nor_flash import COPIES, FILES, SECTOR_SIZE, NorFlash

if sys.implementation.name == "micropython":
    import vfs
else:
    from tests.power_cut.littlefs_files import LittleFiles, Memo
    from tests.power_cut.remembering import remember_layouts

ANSWERED = "answered"  # in the flash's log: here a command was answered

# Kinds of violation. The first three are what a purse does that noticed.
REFUSED, DAMAGED, LOCKED = "refused", "damaged", "locked"
OLDER = "older"  # it holds what no cut explains, noticed nothing, and may spend units again
UNNOTICED = "unnoticed"  # the same, under a chip: an intent that was put back (COUNTER_JUMP)
ALTERED = "altered"  # a payment is answered with other bytes than before (I3)
NOTICED = (REFUSED, DAMAGED, LOCKED)

_COUNT = 8  # the kind of record in the counter's log (`firmware.hal.software_element`)
_KEY_SIZE = 32
_RESTS = 8  # a boot may leave as many sectors to erase
_WORDS_WITH_DATA = (status.OK >> 8, status.MORE_DATA >> 8)
_MEMORY_FAILURE = status.MEMORY_FAILURE.to_bytes(2, "big")


class Violation(Exception):
    """A rule of money or of storage is broken; the text says which, `kind` is its short name."""

    def __init__(self, text: str, kind: str = OLDER) -> None:
        super().__init__(text)
        self.kind = kind


class Crypto:
    """`firmware.crypto.p256` and `os.urandom` as the firmware sees them, quick and repeatable.

    keys: the private keys that the element will "draw", in order; `drawn` says how many it has.
    identities: private keys that sign no money.
    Everything else that is drawn follows from `seed`.
    """

    ORDER = p256.ORDER
    PRIVATE_KEY_SIZE = p256.PRIVATE_KEY_SIZE

    def __init__(self, keys: "list[bytes]", identities: "list[bytes]") -> None:
        self._keys = keys
        self._identities = identities
        self._known: dict[bytes, object] = {}
        self.drawn = 0
        self.seed = 0
        self._draws = 0
        self.log: list[object] = []
        self.signed: set[bytes] = set()  # digests that a token key signed

    def public_key(self, private_key: bytes) -> bytes:
        """As `p256.public_key`."""
        return self._remembered(private_key, p256.public_key, private_key)

    def sign(self, private_key: bytes, digest: bytes) -> bytes:
        """As `p256.sign`; leaves the digest in the log where a token key moves money."""
        if private_key not in self._identities:
            self.log.append(digest)
            self.signed.add(digest)
        return self._remembered(private_key + digest, p256.sign, private_key, digest)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """As `p256.verify`."""
        name = public_key + digest + signature
        return self._remembered(name, p256.verify, public_key, digest, signature)

    def urandom(self, size: int) -> bytes:
        """The next key; anything else only looks random."""
        if size != _KEY_SIZE:
            self._draws += 1
            return hashlib.sha256(b"%d %d" % (self.seed, self._draws)).digest()[:size]
        self.drawn += 1
        return self._keys[self.drawn - 1]

    def begin(self, seed: int) -> None:
        """What is drawn and signed from here on belongs to another cut."""
        self.seed = seed
        self._draws = 0
        self.signed = set()

    def _remembered(self, name: bytes, function: "object", *arguments: bytes) -> "object":
        if name not in self._known:
            self._known[name] = function(*arguments)
        return self._known[name]


class Board:
    """One board. `flash` is to be filled with an image before each `boot`."""

    def __init__(self, crypto: Crypto) -> None:
        self.flash = NorFlash()
        self.crypto = crypto
        crypto.log = self.flash.log
        software_element.p256 = crypto
        software_element.os = crypto
        sector_log.os = crypto
        self._memos = None
        if sys.implementation.name != "micropython":
            self._memos = {FILES: Memo(), COPIES: Memo()}
            remember_layouts()

    def format(self) -> None:
        """Empty file systems, as a new flash image has them."""
        for name in (FILES, COPIES):
            if self._memos is None:
                device = self.flash.partition(name)
                vfs.VfsLfs2.mkfs(device, readsize=READ_SIZES[name], progsize=PROG_SIZE)
            else:
                LittleFiles.format(self.flash, name)

    def boot(self) -> None:
        """Power comes back: what `boards/VIRTUAL/boot.py` and `firmware/apps/card.py` do."""
        self.flash.log.clear()
        self.memory = BoardMemory(self._files(FILES), self._files(COPIES), self.flash.partition)
        upgrade(self.memory)
        self.element = self.build_element()
        self.purse = Purse(self.memory, self.element, self.crypto.verify)
        self.application = Application(self.memory, self.purse)

    def build_element(self) -> "object":
        """The secure element; a board with a chip has another one."""
        return SoftwareElement(self.memory.keys, self.memory.counter)

    def _files(self, name: str) -> "object":
        if self._memos is None:
            return mounted(name, self.flash.partition(name))
        try:
            return LittleFiles(self.flash, name, self._memos[name])
        except OSError:
            return None

    @property
    def has_copies(self) -> bool:
        """Whether anything was ever copied to the second file system."""
        files = self._files(COPIES)
        return files is not None and len(list(files.ilistdir("/"))) > 0

    def ask(self, command: bytes) -> bytes:
        """The answer to a command, then what the link does behind it (`firmware.hal.link`)."""
        answer = self.application.process(command)
        self.flash.log.append(ANSWERED)
        self.application.rest()
        return answer

    def play(self, exchanges: "list[tuple[bytes, bytes]]") -> None:
        """Sends commands. Raises Violation unless each answer is the very one expected."""
        for command, expected in exchanges:
            answer = self.ask(command)
            if answer != expected:
                wanted, got = expected[-2:].hex(), answer[-2:].hex()
                text = f"INS {command[1]:02x}: expected {wanted}, got {got}, or other data"
                raise Violation(text, _kind(command, answer))

    def resume(self, exchanges: "list[tuple[bytes, bytes]]") -> None:
        """The same, but only the status words need agree: SELECT tells of the journal's state."""
        for command, expected in exchanges:
            answer = self.ask(command)
            if answer[-2:] != expected[-2:]:
                text = f"INS {command[1]:02x} is refused: {answer[-2:].hex()}"
                raise Violation(text, _kind(command, answer))

    def word(self, command: bytes) -> int:
        """The status word of one command."""
        return int.from_bytes(self.ask(command)[-2:], "big")

    def what_is_wrong(self) -> str:
        """What a purse is that holds neither the state before nor the one after."""
        if self.purse.damage:
            return DAMAGED
        return LOCKED if self.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY else OLDER

    def facts(self) -> "tuple[object, ...]":
        """All that the purse holds to be true, to be compared before and after a cut.

        The journal's entries are in its chain hash. PIN and tries are asked for by VERIFY.
        """
        purse = self.purse
        if purse.damage:
            return (purse.damage,)
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

    # -- a flash that has a history ----------------------------------------------------------

    def age(self, years: int) -> None:
        """Moves files and logs on, as use does, and changes nothing of the card.

        The journal gets a VOID, the state a TRIES or a STATE of what it is, the counter itself.
        """
        self.boot()
        purse = self.purse
        if years % 2:
            self.memory.store.replace("access.age", bytes(100))
            self.memory.keys.replace("age", bytes(100))
            self.memory.store.remove("access.age")
            self.memory.keys.remove("age")
        if years % 3:
            purse.state.change_tries()
        else:
            purse.state.change()
        if years % 5 == 0:
            purse.journal.void_intent(self.element.counter())
        self.rests()

    def fill(self, name: str, sectors: int = 0) -> None:
        """Uses up the current sector of a log, so that not even the least record fits in it.

        sectors: and so many more before that. Nothing that the card knows is changed.
        """
        self.boot()
        log = getattr(self.memory, name)
        kind, payload = self._filler(name)
        size = len(payload) + OVERHEAD
        number = -1
        while True:
            place = log.append(kind, payload)
            if place // SECTOR_SIZE != number:
                number = place // SECTOR_SIZE
                sectors -= 1
                self.rests()
            if sectors < 0 and place % SECTOR_SIZE + 2 * size > SECTOR_SIZE:
                return

    def _filler(self, name: str) -> "tuple[int, bytes]":
        """A record of a log that says once more what it says already."""
        counter = self.element.counter().to_bytes(4, "big")
        if name == "state":
            tries = (self.purse.state["pin_tries"], self.purse.state["puk_tries"])
            return TRIES, bytes(tries)
        return (VOID, counter) if name == "journal" else (_COUNT, counter)

    def rests(self) -> None:
        """Everything that can be done ahead."""
        for _ in range(_RESTS):
            if not self.application.rest():
                return


def _kind(command: bytes, answer: bytes) -> str:
    """What a wrong answer says of the card."""
    if answer[-2:] == _MEMORY_FAILURE:
        return REFUSED
    is_payment = command[1] in (INS_PAY, INS_RECOVER, INS_GET_RESPONSE)
    return ALTERED if is_payment and answer[-2] in _WORDS_WITH_DATA else OLDER
