# SPDX-License-Identifier: Apache-2.0
"""A card that pays thousands of times, and what that does to its flash. Runs on MicroPython:

    micropython -X heapsize=64m tests/bench/storage_card.py FIXTURE FIRMWARE RUN

FIRMWARE is the folder whose firmware is measured, RUN one row of `storage.RUNS` as JSON. The
application, the purse and the storage are the firmware's own; signatures are not computed, for
they write nothing. Prints one JSON object.
"""

# ruff: noqa: E402
import hashlib
import json
import os
import sys

sys.path[:] = [sys.argv[2], os.getcwd()] + [path for path in sys.path if path.startswith(".f")]

import vfs

from firmware.card.application import Application
from firmware.crypto import p256
from firmware.hal import software_element
from firmware.hal.software_element import SoftwareElement
from firmware.purse.purse import Purse
from firmware.storage.record_store import RecordStore
from firmware.wire import apdu, status
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, Command
from tests.bench.storage_flash import Flash
from tests.power_cut.channel import Channel

_KEY_SIZE = 32
_TIME = 1_790_000_100
_MOUNTED_AT = "/card"
_CLASSES = ("tap", "rest", "sync")  # PAY's tap, what is done behind its answers, the sync


class Crypto:
    """`p256` and `os` as the element sees them: known keys, and signatures that are none."""

    ORDER = p256.ORDER
    PRIVATE_KEY_SIZE = p256.PRIVATE_KEY_SIZE
    public_key = staticmethod(p256.public_key)

    def __init__(self, keys: "list[str]") -> None:
        self._keys = [bytes.fromhex(key) for key in keys]

    def urandom(self, size: int) -> bytes:
        """The next key; anything else is random."""
        return self._keys.pop(0) if size == _KEY_SIZE else os.urandom(size)

    def sign(self, private_key: bytes, digest: bytes) -> bytes:
        """64 bytes in the range of a signature."""
        half = b"\x01" + hashlib.sha256(private_key + digest).digest()[1:]
        return half + half


class ChipElement(SoftwareElement):
    """An element whose counter is not in the card's flash, as a chip's is not."""

    def __init__(self, store: object, log: object) -> None:
        super().__init__(store, log)
        self._in_chip = 0

    def counter(self) -> int:
        """The chip's counter."""
        return self._in_chip

    def advance(self) -> int:
        """One more."""
        self._in_chip += 1
        return self._in_chip

    def rest(self) -> bool:
        """Only the copies of its keys, which a chip has not either."""
        return self._store.rest()


class Card:
    """One card on counting flash. `spent` counts erases by what was going on."""

    def __init__(self, fixture: dict, sizes: "dict[str, int]", with_chip: bool) -> None:
        self._fixture = fixture
        self.flash = Flash(sizes)
        crypto = Crypto(fixture["keys"])
        software_element.p256 = software_element.os = crypto
        self._files, self._copies = self._formatted("vfs"), self._formatted("copies")
        store, element = self._build(with_chip)
        self.purse = Purse(store, element, lambda key, digest, signature: True)
        self.application = Application(store, self.purse)
        self.spent = dict.fromkeys(_CLASSES, 0)
        self.most_at_rest = 0  # erases in one call of `rest`
        self.taps_with_erase = 0
        self._paid = 0

    def _formatted(self, name: str) -> "vfs.VfsLfs2":
        try:
            from firmware.hal.littlefs import PROG_SIZE, READ_SIZES

            read_size = READ_SIZES[name]
        except ImportError:  # version 1, which leaves the copies empty
            from boards.VIRTUAL.partitions import PROG_SIZE, READ_SIZE

            read_size = READ_SIZE
        device = self.flash.partition(name)
        vfs.VfsLfs2.mkfs(device, readsize=read_size, progsize=PROG_SIZE)
        return vfs.VfsLfs2(device, readsize=read_size, progsize=PROG_SIZE)

    def _build(self, with_chip: bool) -> "tuple[object, object]":
        try:
            from firmware.storage.memory import BoardMemory
        except ImportError:  # version 1: everything is a file of the mounted file system
            vfs.mount(self._files, _MOUNTED_AT)
            os.chdir(_MOUNTED_AT)
            return RecordStore("purse"), SoftwareElement(RecordStore("element"))
        memory = BoardMemory(self._files, self._copies, self.flash.partition)
        kind = ChipElement if with_chip else SoftwareElement
        return memory, kind(memory.keys, memory.counter)

    def ask(self, command: bytes, what: str = "sync") -> bytes:
        """The answer to one command, then the rest behind it, as the link does."""
        before = self.flash.erases()
        answer = self.application.process(command)
        between = self.flash.erases()
        self.spent[what] += between - before
        if hasattr(self.application, "rest"):  # version 1 has none
            self.application.rest()
        after = self.flash.erases()
        self.spent["rest"] += after - between
        self.most_at_rest = max(self.most_at_rest, after - between)
        return answer

    def must(self, cla: int, ins: int, p1: int, p2: int, data: bytes, what: str = "sync") -> bytes:
        """The whole answer to a command. Raises ValueError for a status word but 9000."""
        answer = self.ask(Command(cla, ins, p1, p2, data).raw, what)
        whole = answer[:-2]
        while answer[-2] == status.MORE_DATA >> 8:
            more = Command(CLA_ISO, apdu.INS_GET_RESPONSE, 0, 0, b"", answer[-1] or 256)
            answer = self.ask(more.raw, what)
            whole += answer[:-2]
        if answer[-2:] != b"\x90\x00":
            raise ValueError(f"INS {ins:02x}: {answer[-2:].hex()}")
        return whole

    def select(self, what: str = "sync") -> None:
        """A new tap."""
        self.application.reset()
        self.must(CLA_ISO, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID, what)

    def verify(self, what: str = "sync") -> None:
        """VERIFY with the right PIN."""
        self.must(CLA_ISO, apdu.INS_VERIFY, 0, apdu.P2_PIN, self._fixture["pin"].encode(), what)

    def personalise(self) -> None:
        """From blank to a purse with its notes."""
        self.select()
        channel = Channel(self.ask, bytes.fromhex(self._fixture["channel_keys"]))
        words = [channel.send(apdu.INS_GENERATE_KEY, apdu.P1_IDENTITY_KEY)[1]]
        for item, data in self._fixture["items"]:
            words.append(channel.send(apdu.INS_STORE_DATA, item, bytes.fromhex(data))[1])
        words.append(channel.send(apdu.INS_STORE_DATA, apdu.ITEM_ACTIVATE)[1])
        if words.count(status.OK) != len(words):
            raise ValueError(f"personalising: {words}")
        self.select()
        issuer = bytes.fromhex(self._fixture["issuer"])
        self.must(CLA_QALTA, apdu.INS_PRESENT_CERTIFICATE, 0, 0, issuer)

    def load(self, note: str) -> None:
        """A key and a note for it, as a bank's desk does."""
        self.select()
        self.verify()
        self.must(CLA_QALTA, apdu.INS_GENERATE_KEY, apdu.P1_TOKEN_KEY, 0, bytes(16))
        self.must(CLA_QALTA, apdu.INS_LOAD, 0, 0, bytes.fromhex(note))

    def pay(self, amount: int, with_pin: bool) -> None:
        """One tap: SELECT, the PIN if it is wanted, PAY, and the rest of its answer."""
        self.select("tap")
        if with_pin:
            self.verify("tap")
        self._paid += 1
        fields = {
            "amount": amount,
            "currency": self._fixture["currency"],
            "purpose": 0,
            "payment_id": hashlib.sha256(b"%d" % self._paid).digest()[:16],
            "time": _TIME,
            "payee": bytes.fromhex(self._fixture["shop"]),
        }
        before = self.spent["tap"]
        self.must(CLA_QALTA, apdu.INS_PAY, 0, 0, apdu.PAY_DATA.pack(fields), "tap")
        self.taps_with_erase += self.spent["tap"] > before

    def sync(self) -> None:
        """The PIN, the statement, and its bank's word for all of it."""
        self.select()
        self.verify()
        journal = self.purse.journal
        self.must(CLA_QALTA, apdu.INS_EXPORT, apdu.P1_EXPORT_STATEMENT, 0, bytes(16))
        fields = {
            "serial": bytes.fromhex(self._fixture["serial"]),
            "bank": bytes.fromhex(self._fixture["bank"]),
            "counter": self._paid,
            "time": _TIME + self._paid,
            "policy_version": 1,
            "chain": journal.head,
        }
        word = Acknowledgement.body_of(fields) + b"\x01" * 64
        self.must(CLA_QALTA, apdu.INS_ACKNOWLEDGE, 0, 0, word)


def _play(card: Card, run: dict, payments: int) -> None:
    for number in range(payments):
        card.pay(run["amount"], run["pin"])
        if (number + 1) % run["ack"] == 0:
            card.sync()


def main(arguments: "list[str]") -> None:
    """Measures one run: the payments of `warm_up` are not counted."""
    with open(arguments[0]) as file:
        fixture = json.load(file)
    run = json.loads(arguments[2])
    card = Card(fixture, fixture["sizes"], run["chip"])
    card.personalise()
    loads = []
    for note in fixture["one" if run["amount"] == 1 else "four"]:
        before = card.flash.erases()
        card.load(note)
        loads.append(card.flash.erases() - before)
    _play(card, run, run["warm_up"])
    start = card.flash.counts()
    card.spent = dict.fromkeys(_CLASSES, 0)
    card.taps_with_erase = card.most_at_rest = 0
    _play(card, run, run["payments"])
    end = card.flash.counts()
    parts = {
        name: [end[name][index] - start[name][index] for index in range(len(end[name]))]
        for name in end
    }
    found = {"parts": parts, "spent": card.spent, "loads": loads}
    found["taps_with_erase"] = card.taps_with_erase
    found["most_at_rest"] = card.most_at_rest
    print("##" + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
