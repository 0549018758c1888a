# SPDX-License-Identifier: Apache-2.0
"""The card's end of SCP03: recorded sessions, right and wrong, on both interpreters."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from boards.VIRTUAL.runtime import runtime_path
from firmware.card import scp03
from firmware.card.secure_channel import SecureChannel
from firmware.wire import status
from firmware.wire.apdu import Command
from firmware.wire.layout import WireError
from firmware.wire.status import Refusal
from tests.unit import scp03_replay

ROOT = Path(__file__).resolve().parents[2]
VECTORS = list(scp03_replay.load(str(ROOT)))
ENC, MAC = bytes(range(16)), bytes(range(16, 32))
HOST_CHALLENGE = bytes(8)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_recorded_session(vector: dict[str, object]) -> None:
    assert scp03_replay.play(vector) == vector["result"]


@pytest.mark.parametrize("bits", [64, 32])
def test_recorded_sessions_on_micropython(bits: int) -> None:
    # The heap also holds the compiler, for the modules are sources here.
    command = [runtime_path(bits), "-X", "heapsize=256k", scp03_replay.__file__, ROOT]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.stderr == ""
    assert run.stdout == f"{len(VECTORS)} played\n"


class Host:
    """A host that always does it right, and the channel that it talks to."""

    def __init__(self, level: int = scp03.LEVEL_ALL) -> None:
        self.channel = SecureChannel(ENC, MAC, _counting())
        answer = self.channel.initialize_update(initialize_update())
        context = HOST_CHALLENGE + scp03.INITIALIZE_ANSWER.unpack(answer)["card_challenge"]
        self.keys = scp03.SessionKeys(ENC, MAC, context)
        self.chaining = bytes(16)
        self.channel.external_authenticate(self.secured(0x82, level, self.keys.host_cryptogram))

    def secured(self, ins: int, p1: int, data: bytes) -> Command:
        self.chaining = self.keys.command_tag(self.chaining, bytes([0x84, ins, p1, 0]), data)
        return Command(0x84, ins, p1, 0, data + self.chaining[:8])


def _counting() -> Callable[[int], bytes]:
    """Random bytes of which each is another than the last, and which a test can foresee."""
    drawn = iter(range(1, 256))
    return lambda size: bytes([next(drawn)] * size)


def initialize_update(**changes: int | bytes) -> Command:
    fields: dict[str, int | bytes] = {"cla": 0x80, "ins": 0x50, "data": HOST_CHALLENGE}
    return Command(**fields | changes)


def word_of(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.word


def test_every_bit_of_a_command_counts() -> None:
    good = Host().secured(0xE2, 1, b"").raw  # a command without data: its MAC is all there is
    for at in range(len(good)):
        for bit in range(8):
            host = Host()
            raw = bytearray(good)
            raw[at] ^= 1 << bit
            try:
                command = Command.parse(bytes(raw))
            except WireError:
                continue  # the length byte: refused before it comes to the channel
            assert word_of(host.channel.unwrap, command) == status.SECURE_MESSAGING_WRONG
            assert not host.channel.is_open
    host = Host()
    assert host.channel.unwrap(Command.parse(good)).p1 == 1


def test_le_is_not_under_the_mac() -> None:
    host = Host()
    command = host.secured(0xE2, 1, b"")
    command.le = 256
    assert host.channel.unwrap(command).le == 256


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cla": 0x84}, status.UNKNOWN_CLASS),
        ({"cla": 0x00}, status.UNKNOWN_CLASS),
        ({"cla": 0x90}, status.UNKNOWN_CLASS),
        ({"data": b""}, status.WRONG_LENGTH),
        ({"data": bytes(7)}, status.WRONG_LENGTH),
        ({"data": bytes(16)}, status.WRONG_LENGTH),
        ({"p2": 1}, status.WRONG_P1P2),
        ({"p1": scp03.KEY_VERSION_ISSUER}, status.NOT_FOUND),
    ],
)
def test_a_wrong_initialize_update_ends_what_was(changes: dict[str, int], word: int) -> None:
    host = Host()
    assert host.channel.is_open
    assert word_of(host.channel.initialize_update, initialize_update(**changes)) == word
    assert not host.channel.is_open
    late = word_of(host.channel.unwrap, host.secured(0xE2, 1, b""))
    assert late == status.SECURE_MESSAGING_WRONG


def test_initialize_update_ends_an_open_channel() -> None:
    host = Host()
    host.channel.initialize_update(initialize_update())
    assert not host.channel.is_open
    late = word_of(host.channel.unwrap, host.secured(0xE2, 1, b""))
    assert late == status.SECURE_MESSAGING_WRONG


def test_the_key_version_is_told_and_may_be_asked_for() -> None:
    channel = SecureChannel(ENC, MAC, _counting(), scp03.KEY_VERSION_ISSUER)
    for version in (scp03.KEY_VERSION_ANY, scp03.KEY_VERSION_ISSUER):
        answer = channel.initialize_update(initialize_update(p1=version))
        assert len(answer) == 29
        assert answer[:13] == bytes(10) + b"\x01\x03\x60"


def test_each_challenge_is_fresh() -> None:
    channel = SecureChannel(ENC, MAC, _counting())
    answers = [channel.initialize_update(initialize_update()) for _ in range(3)]
    assert len({answer[13:21] for answer in answers}) == 3
    assert len({answer[21:] for answer in answers}) == 3


def test_closing_is_for_good() -> None:
    host = Host()
    host.channel.close()
    host.channel.close()
    assert not host.channel.is_open
    assert word_of(host.channel.wrap, b"secret", status.OK) == status.SECURE_MESSAGING_WRONG
    late = word_of(host.channel.unwrap, host.secured(0xE2, 1, b""))
    assert late == status.SECURE_MESSAGING_WRONG


def test_nothing_is_wrapped_before_the_host_is_authenticated() -> None:
    channel = SecureChannel(ENC, MAC, _counting())
    channel.initialize_update(initialize_update())
    assert word_of(channel.wrap, b"secret", status.OK) == status.SECURE_MESSAGING_WRONG


def test_an_error_goes_out_bare_and_the_channel_lives() -> None:
    host = Host()
    host.channel.unwrap(host.secured(0xE2, 1, b""))
    assert host.channel.wrap(b"secret", status.WRONG_DATA) == b""
    assert host.channel.unwrap(host.secured(0xE2, 2, b"")).p1 == 2


@pytest.mark.parametrize("size", [256, 264, 1024])
def test_more_than_a_short_command_holds_is_refused(size: int) -> None:
    host = Host()
    command = Command(0x84, 0xE2, 1, 0, bytes(size))  # as command chaining gathers it
    assert word_of(host.channel.unwrap, command) == status.SECURE_MESSAGING_WRONG
    assert not host.channel.is_open


@pytest.mark.parametrize("level", scp03.LEVELS)
def test_an_answer_has_what_the_level_asks_for(level: int) -> None:
    host = Host(level)
    host.channel.unwrap(host.secured(0xE2, 1, b""))
    secret = b"sixteen secrets!"
    answer = host.channel.wrap(secret, status.OK)
    assert answer.startswith(secret) == (level != scp03.LEVEL_ALL)
    sizes = {0x03: 16, 0x13: 16 + 8, 0x33: 32 + 8}
    assert len(answer) == sizes[level]


@pytest.mark.parametrize("size", range(50))
def test_padding_comes_off_as_it_went_on(size: int) -> None:
    data = bytes(size)
    padded = scp03.pad(data)
    assert len(padded) % 16 == 0 and 0 < len(padded) - size <= 16
    assert scp03.unpad(padded) == data


@pytest.mark.parametrize("padded", [b"", bytes(16), b"\xff" * 16, b"\x80" + bytes(16)])
def test_wrong_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(WireError):
        scp03.unpad(padded)
