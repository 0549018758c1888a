# SPDX-License-Identifier: Apache-2.0
"""Yubico's SCP03 is the second opinion: it makes the recorded sessions, and drives our card live.

`python -m tests.unit.test_scp03_yubikit` writes the vectors anew. The package is
`yubikey-manager`; of its dependencies this uses `cryptography` alone.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from yubikit.core import BadResponseError
from yubikit.core.smartcard import ApduProcessor, ScpProcessor, ShortApduFormatter
from yubikit.core.smartcard.scp import (
    KeyRef,
    Scp03KeyParams,
    ScpKid,
    ScpState,
    StaticKeys,
    _calculate_mac,
    _derive,
)

from firmware.card.secure_channel import SecureChannel
from firmware.wire.apdu import Command
from firmware.wire.status import Refusal
from tests.unit import scp03_replay
from tests.vectors.generate import text_of

ROOT = Path(__file__).resolve().parents[2]
ENC, MAC = bytes(range(16)), bytes(range(16, 32))
HOST_CHALLENGE, CARD_CHALLENGE = bytes(range(0xA0, 0xA8)), bytes(range(0xC0, 0xC8))
KEYS = StaticKeys(ENC, MAC)
FORMATTER = ShortApduFormatter()
LEVELS = (0x03, 0x13, 0x33)
SIZES = (0, 1, 15, 16, 17, 64, 200, 239)
WRONG = "6988"

Vector = dict[str, object]


class Recording:
    """A session as Yubico's code makes it: what the host sends, and what the card must say."""

    def __init__(self, level: int = 0x33, keys: StaticKeys = KEYS) -> None:
        self.level = level
        self.commands: list[str] = []
        self.plain_answers: list[str] = []
        self.answers: list[str] = []
        self.plain_commands: list[str] = []
        self.keys = keys.derive(HOST_CHALLENGE + CARD_CHALLENGE)
        self.state, cryptogram = ScpState.scp03_init(
            self._initialize,
            Scp03KeyParams(KeyRef(ScpKid.SCP03, 0), keys),
            host_challenge=HOST_CHALLENGE,
        )
        self.sent = 0
        self.authenticate = self.secured(0x82, level, cryptogram)

    def _initialize(self, cla: int, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        """Plays the card for INITIALIZE UPDATE: its cryptogram is all that takes a formula."""
        cryptogram = _derive(self.keys.key_smac, 0, HOST_CHALLENGE + CARD_CHALLENGE, 0x40)
        answer = bytes(10) + b"\xff\x03\x60" + CARD_CHALLENGE + cryptogram
        command = FORMATTER.format_apdu(cla, ins, p1, p2, data, 0)
        self.step(command, answer.hex() + "9000")
        return answer

    def step(self, command: bytes, answer: str, plain_answer: bytes = b"") -> None:
        """Notes a command and the card's whole answer to it."""
        self.commands.append(command.hex())
        self.answers.append(answer)
        self.plain_answers.append(plain_answer.hex())

    def secured(self, ins: int, p1: int, data: bytes, cla: int = 0x84) -> bytes:
        """The command with the next C-MAC over `data` as it is."""
        raw = FORMATTER.format_apdu(cla, ins, p1, 0, data + bytes(8), 0)
        return raw[:-8] + self.state.mac(raw[:-8])

    def open(self) -> "Recording":
        """EXTERNAL AUTHENTICATE, accepted."""
        self.step(self.authenticate, "9000")
        return self

    def next(self, data: bytes) -> bytes:
        """The next STORE DATA, as the specification has it: no data, no encryption."""
        self.sent += 1
        encrypted = self.state.encrypt(data)  # counts a command without data as well
        return self.secured(0xE2, self.sent, encrypted if data else b"")

    def exchange(self, data: bytes, answer: bytes) -> bytes:
        """The next STORE DATA, accepted and answered; returns the command."""
        command = self.next(data)
        self.step(command, (self.protected(answer) + b"\x90\0").hex(), answer)
        self.plain_commands.append((bytes([0x80, 0xE2, self.sent, 0]) + data).hex())
        return command

    def protected(self, answer: bytes) -> bytes:
        """The answer as the card sends it at this level; Yubico's code must take it."""
        sent = answer
        if answer and self.level == 0x33:
            block = b"\x80" + (self.sent).to_bytes(15, "big")
            padded = answer + b"\x80" + bytes(15 - len(answer) % 16)
            sent = cbc(self.keys.key_senc, ecb(self.keys.key_senc, block), padded)
            assert self.state.decrypt(sent) == answer
        if self.level == 0x03:
            return sent
        message = sent + b"\x90\0"
        mac = _calculate_mac(self.keys.key_srmac, self.state._mac_chain, message)[1]
        assert self.state.unmac(sent + mac, 0x9000) == sent
        return sent + mac

    def vector(self, name: str, comment: str, *flags: str, is_open: bool = False) -> Vector:
        """The session as a vector."""
        given = {
            "enc": ENC.hex(),
            "mac": MAC.hex(),
            "card_challenges": [CARD_CHALLENGE.hex(), (b"\xff" * 8).hex()],
            "commands": self.commands,
            "plain_answers": self.plain_answers,
        }
        result = {
            "answers": self.answers,
            "plain_commands": self.plain_commands,
            "open": is_open,
        }
        return {
            "id": f"scp03/{name}",
            "comment": comment,
            "flags": ["derived", *flags],
            "input": given,
            "result": result,
        }


def ecb(key: bytes, block: bytes) -> bytes:
    context = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return context.update(block) + context.finalize()


def cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    context = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return context.update(data) + context.finalize()


def vectors() -> list[Vector]:
    """Every recorded session."""
    return [*_sound(), *_bad_openings(), *_bad_commands(), *_bad_order()]


def _sound() -> Iterator[Vector]:
    for level in LEVELS:
        session = Recording(level).open()
        for size in SIZES:
            session.exchange(bytes(range(size)), bytes(reversed(range(size))))
        name = f"level-{level:02x}"
        yield session.vector(name, "data and answers of every kind of length", is_open=True)


def _bad_openings() -> Iterator[Vector]:
    for level in (0x00, 0x01, 0x11, 0x30, 0x32, 0x34, 0xFF):
        session = Recording(level)
        session.step(session.authenticate, "6a86")
        session.step(session.next(b"1234"), WRONG)
        yield session.vector(f"refused-level-{level:02x}", "a level without C-DECRYPTION", "C08")
    other = StaticKeys(MAC, ENC)
    foreign = Recording(keys=other)
    session = Recording()
    session.step(foreign.authenticate, WRONG)
    session.step(session.authenticate, "6985")
    yield session.vector("wrong-keys", "the host has other keys, and one attempt a challenge")
    for at, what in ((5, "cryptogram"), (12, "cryptogram-end"), (13, "mac"), (20, "mac-end")):
        session = Recording()
        session.step(flipped(session.authenticate, at), WRONG)
        session.step(session.authenticate, "6985")
        yield session.vector(f"wrong-{what}", "one bit of EXTERNAL AUTHENTICATE", "C04")
    session = Recording()
    # The MAC is right, the cryptogram is not: the host does not know the challenge's answer.
    session.state = ScpState(session.keys)
    session.step(session.secured(0x82, 0x33, bytes(8)), WRONG)
    yield session.vector("wrong-cryptogram-right-mac", "both must be right", "C08")
    session = Recording()
    session.state = ScpState(session.keys)
    session.step(session.secured(0x82, 0x33, b""), WRONG)
    yield session.vector("no-cryptogram", "a MAC over no cryptogram at all", "C08")
    session = Recording()
    session.step(bytes.fromhex("84823300"), WRONG)
    yield session.vector("no-authentication-data", "EXTERNAL AUTHENTICATE without data", "C08")
    session = Recording()
    session.step(session.next(b"1234"), WRONG)
    session.step(session.authenticate, "6985")
    yield session.vector("not-authenticated", "a secured command too early ends it", "C08")
    session = Recording()
    session.state = ScpState(session.keys)
    session.step(session.next(b"1234"), WRONG)
    yield session.vector("not-authenticated-right-mac", "keys alone are not enough", "C08")


def _bad_commands() -> Iterator[Vector]:
    def cut(raw: bytes, size: int) -> bytes:
        return raw[:4] + bytes([size]) + raw[5 : 5 + size] if size else raw[:4]

    changes = {
        "bit-of-class": lambda raw: b"\x80" + raw[1:],
        "iso-class": lambda raw: b"\x04" + raw[1:],
        "chained-class": lambda raw: b"\x94" + raw[1:],
        "bit-of-ins": lambda raw: flipped(raw, 1),
        "bit-of-p1": lambda raw: flipped(raw, 2),
        "bit-of-p2": lambda raw: flipped(raw, 3),
        "bit-of-data": lambda raw: flipped(raw, 5),
        "bit-of-mac": lambda raw: flipped(raw, len(raw) - 8),
        "last-bit-of-mac": lambda raw: flipped(raw, len(raw) - 1),
        "truncated": lambda raw: cut(raw, raw[4] - 1),
        "truncated-block": lambda raw: cut(raw, raw[4] - 16),
        "lengthened": lambda raw: raw[:4] + bytes([raw[4] + 1]) + raw[5:] + b"\0",
        "without-mac": lambda raw: cut(raw, raw[4] - 8),
        "mac-of-7": lambda raw: cut(raw, 7),
        "empty-mac": lambda raw: cut(raw, 0),
        "zero-mac": lambda raw: raw[:-8] + bytes(8),
    }
    for name, change in changes.items():
        session = Recording().open()
        session.exchange(b"first", b"one")
        session.step(change(session.next(b"second")), WRONG)
        session.step(session.next(b"third"), WRONG)
        yield session.vector(name, "a wrong command ends the channel", "C04")
    paddings = {"no-padding": bytes(16), "long-padding": b"\x80" + bytes(31), "ones": b"\xff" * 16}
    for name, padded in paddings.items():
        session = Recording().open()
        vector = ecb(session.keys.key_senc, (1).to_bytes(16, "big"))
        bad = cbc(session.keys.key_senc, vector, padded)
        session.step(session.secured(0xE2, 1, bad), WRONG)
        yield session.vector(f"padding-{name}", "a right MAC over wrong padding")
    session = Recording().open()
    session.step(session.secured(0xE2, 1, b"not a block"), WRONG)
    yield session.vector("in-the-clear", "a right MAC over data that is not encrypted", "C08")
    session = Recording().open()
    session.step(session.secured(0xE2, 1, b"", cla=0x80), WRONG)
    yield session.vector("plain-class", "a right MAC, of a command that is not secured", "C08")


def _bad_order() -> Iterator[Vector]:
    session = Recording().open()
    first = session.exchange(b"first", b"one")
    session.step(first, WRONG)
    session.step(session.next(b"second"), WRONG)
    yield session.vector("replayed", "the same command twice", "C04")
    session = Recording().open()
    session.next(b"dropped")
    session.step(session.next(b"second"), WRONG)
    yield session.vector("dropped", "a command never came", "C04")
    session = Recording().open()
    first, second = session.next(b"first"), session.next(b"second")
    session.step(second, WRONG)
    session.step(first, WRONG)
    yield session.vector("reordered", "two commands changed places", "C04")
    session = Recording().open()
    first = session.exchange(b"first", b"one")
    session.step(session.authenticate, "6985")
    session.step(session.next(b"second"), WRONG)
    yield session.vector("authenticated-twice", "EXTERNAL AUTHENTICATE in an open channel")
    replayed = Recording().open()
    old = replayed.exchange(b"first", b"one")
    card = SecureChannel(ENC, MAC, lambda size: b"\xff" * size)
    again = Command.parse(bytes.fromhex(replayed.commands[0]))
    replayed.step(
        bytes.fromhex(replayed.commands[0]), card.initialize_update(again).hex() + "9000"
    )
    replayed.step(replayed.authenticate, WRONG)
    replayed.step(old, WRONG)
    yield replayed.vector("replayed-session", "a recorded session against a new challenge", "C08")
    session = Recording()
    session.commands, session.answers, session.plain_answers = [], [], []
    session.step(session.authenticate, "6985")
    yield session.vector("no-initialize-update", "EXTERNAL AUTHENTICATE out of the blue", "C08")


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


class OurCard(ApduProcessor):
    """Our card's channel where Yubico's code expects a connection; it echoes what it is told."""

    def __init__(self, keys: tuple[bytes, bytes] = (ENC, MAC)) -> None:
        self.channel = SecureChannel(*keys, lambda size: CARD_CHALLENGE[:size])
        self.heard: list[bytes] = []
        self.spoil = -1  # the answer's byte in which a bit is turned

    def send_apdu(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, le: int
    ) -> tuple[bytes, int]:
        command = Command.parse(FORMATTER.format_apdu(cla, ins, p1, p2, data, le))
        try:
            if ins == 0x50:
                return self.channel.initialize_update(command), 0x9000
            if ins == 0x82:
                self.channel.external_authenticate(command)
                return b"", 0x9000
            plain = self.channel.unwrap(command)
        except Refusal as refusal:
            return b"", refusal.word
        self.heard.append(plain.data)
        answer = self.channel.wrap(plain.data, 0x9000)
        return (flipped(answer, self.spoil) if self.spoil >= 0 else answer), 0x9000


def connected(card: OurCard, keys: StaticKeys = KEYS) -> ScpProcessor:
    """Yubico's processor over our card, authenticated at level 33 as its sessions do it."""
    params = Scp03KeyParams(KeyRef(ScpKid.SCP03, 0), keys)

    def send(cla: int, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        return card.send_apdu(cla, ins, p1, p2, data, 0)[0]

    state, cryptogram = ScpState.scp03_init(send, params)
    processor = ScpProcessor(card, FORMATTER, state)
    assert processor.send_apdu(0x84, 0x82, 0x33, 0, cryptogram, 0, encrypt=False) == (b"", 0x9000)
    return processor


def test_vectors_are_what_yubikit_makes() -> None:
    assert (ROOT / scp03_replay.VECTORS).read_text(encoding="utf-8") == text_of(vectors())


def test_yubikit_and_our_card_agree() -> None:
    card = OurCard()
    processor = connected(card)
    for size in range(240):
        data = bytes(range(size))
        assert processor.send_apdu(0x80, 0xE2, 0, 0, data, 0) == (data, 0x9000)
    assert card.heard == [bytes(range(size)) for size in range(240)]
    assert card.channel.is_open


@pytest.mark.parametrize("at", [0, 15, 16, 23])
def test_yubikit_sees_a_spoilt_answer(at: int) -> None:
    card = OurCard()
    processor = connected(card)
    card.spoil = at
    with pytest.raises(BadResponseError):
        processor.send_apdu(0x80, 0xE2, 0, 0, b"data", 0)


def test_yubikit_sees_other_keys() -> None:
    with pytest.raises(BadResponseError):
        connected(OurCard((MAC, ENC)))


def test_our_card_refuses_yubikit_after_a_lost_command() -> None:
    card = OurCard()
    processor = connected(card)
    processor.state.mac(b"a command that never came")
    assert processor.send_apdu(0x80, 0xE2, 0, 0, b"data", 0) == (b"", 0x6988)
    assert not card.channel.is_open
    assert card.heard == []


if __name__ == "__main__":
    (ROOT / scp03_replay.VECTORS).write_text(text_of(vectors()), encoding="utf-8")
