# SPDX-License-Identifier: Apache-2.0
"""The host's end of SCP03 and the issuer's session, over the card's end of the channel."""

from collections.abc import Callable

import pytest

from firmware.card import scp03
from firmware.card.secure_channel import SecureChannel
from firmware.wire import apdu, status, tlv
from firmware.wire.apdu import Command
from firmware.wire.certificate import Certificate
from firmware.wire.policy import Policy
from firmware.wire.status import Refusal
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.exchange import CardMisbehaved, CardRefused, Exchange
from host_bridge.session.issuer import IssuerSession, Personalisation
from host_bridge.session.purse import BadPinFormat
from host_bridge.session.secure_channel import (
    DEFAULT_KEYS,
    ChannelError,
    ChannelKeys,
    SecuredExchange,
    diversify,
    open_channel,
)
from host_bridge.transport.base import LinkTimeout
from tests.unit.test_scp03_card import VECTORS
from tests.vectors.fixed_cases import certificate, policy

MASTER, SERIAL = bytes(range(32)), bytes(range(100, 116))
KEYS = diversify(MASTER, SERIAL)
IDENTITY = SigningKey.generate().public_key


class BlankCard:
    """A transport with a card behind it that knows nothing but personalisation.

    `spoil` changes what goes over the line: it is given a command or an answer, and which.
    """

    def __init__(self, keys: ChannelKeys = DEFAULT_KEYS) -> None:
        self.channel = SecureChannel(keys.enc, keys.mac, scp03_random)
        self.stored: list[tuple[int, bytes]] = []
        self.line: list[bytes] = []
        self.spoil: Callable[[bytes, str], bytes] = lambda raw, kind: raw
        self.identity = IDENTITY
        self.refuses: int | None = None

    def transmit(self, raw: bytes) -> bytes:
        command = self.spoil(raw, "command")
        data, word = self._dispatch(Command.parse(command))
        answer = self.spoil(data + word.to_bytes(2, "big"), "answer")
        self.line += [raw, answer]
        return answer

    def _dispatch(self, command: Command) -> tuple[bytes, int]:
        try:
            if command.ins == apdu.INS_SELECT:
                info = apdu.SELECT_ANSWER.pack(
                    {
                        "protocol": 1,
                        "tier": 0,
                        "currency": 398,
                        "policy_version": 0,
                        "lifecycle": 0,
                        "flags": 0,
                    }
                )
                inner = tlv.encode(tlv.FCI_PROPRIETARY, info)
                return tlv.encode(tlv.FCI_TEMPLATE, inner), status.OK
            if command.ins == apdu.INS_INITIALIZE_UPDATE:
                return self.channel.initialize_update(command), status.OK
            if command.ins == apdu.INS_EXTERNAL_AUTHENTICATE:
                self.channel.external_authenticate(command)
                return b"", status.OK
            plain = self.channel.unwrap(command)
            return self.channel.wrap(self._carry_out(plain), status.OK), status.OK
        except Refusal as refusal:
            return b"", refusal.word

    def _carry_out(self, command: Command) -> bytes:
        if command.p1 == self.refuses:
            raise Refusal(status.WRONG_DATA)
        if command.ins == apdu.INS_GENERATE_KEY and command.p1 == apdu.P1_IDENTITY_KEY:
            return self.identity
        assert command.ins == apdu.INS_STORE_DATA
        self.stored.append((command.p1, command.data))
        return b"echo " + command.data if command.p1 == ECHO else b""


ECHO = 0x70  # an item of this test's card: it comes back


def scp03_random(size: int) -> bytes:
    return SigningKey.generate().key_id[:size]  # 8 bytes that no two calls share


def opened(card: BlankCard, keys: ChannelKeys = DEFAULT_KEYS) -> SecuredExchange:
    return open_channel(Exchange(card), keys)


def store(item: int, data: bytes = b"") -> Command:
    return Command(apdu.CLA_QALTA, apdu.INS_STORE_DATA, item, 0, data)


def once(kind: str, change: Callable[[bytes], bytes]) -> Callable[[bytes, str], bytes]:
    """Spoils the first thing of `kind` on the line, and lets everything else through."""
    left = [change]

    def spoil(raw: bytes, found: str) -> bytes:
        return left.pop()(raw) if found == kind and left else raw

    return spoil


def test_the_host_sends_what_yubikit_sends() -> None:
    [vector] = [one for one in VECTORS if one["id"] == "scp03/level-33"]
    given, result = vector["input"], vector["result"]
    answers = [bytes.fromhex(answer) for answer in result["answers"]]
    sent: list[bytes] = []

    class Recorded:
        def transmit(self, raw: bytes) -> bytes:
            sent.append(raw)
            return answers[len(sent) - 1]

    enc, mac = bytes.fromhex(given["enc"]), bytes.fromhex(given["mac"])
    challenge = bytes.fromhex(given["commands"][0])[5:13]
    keys = ChannelKeys(enc, mac, bytes(16))
    channel = open_channel(Exchange(Recorded()), keys, random=lambda size: challenge)
    for raw, answer in zip(result["plain_commands"], given["plain_answers"][2:], strict=True):
        plain = bytes.fromhex(raw)
        command = Command(plain[0], plain[1], plain[2], plain[3], plain[4:])
        assert channel.send(command).hex() == answer
    # Le apart, which no MAC covers and which each is free to send.
    assert [without_le(raw) for raw in sent] == [
        without_le(bytes.fromhex(raw)) for raw in given["commands"]
    ]


def without_le(raw: bytes) -> bytes:
    return raw[: 5 + raw[4]]


def test_every_length_goes_through() -> None:
    card = BlankCard()
    channel = opened(card)
    for size in range(scp03.MAX_DATA + 1):
        data = bytes([size]) * size
        assert channel.send(store(ECHO, data)) == b"echo " + data
        assert channel.send(store(1, data)) == b""
    assert len(card.stored) == 2 * (scp03.MAX_DATA + 1)


def test_nothing_of_a_secret_is_seen_on_the_line() -> None:
    card = BlankCard()
    channel = opened(card)
    secret = b"0123456789abcdef"
    assert secret in channel.send(store(ECHO, secret))
    assert not any(secret in raw for raw in card.line)


def test_equal_commands_look_different() -> None:
    card = BlankCard()
    channel = opened(card)
    for _ in range(2):
        channel.send(store(ECHO, b"the same"))
    assert len(set(card.line)) == len(card.line)


def test_other_keys_are_noticed_before_the_host_proves_anything() -> None:
    card = BlankCard(KEYS)
    with pytest.raises(ChannelError, match="does not hold these channel keys"):
        opened(card)
    assert len(card.line) == 2


@pytest.mark.parametrize("at", [13, 20, 21, 28])
def test_a_spoilt_challenge_or_cryptogram_is_noticed(at: int) -> None:
    card = BlankCard()
    card.spoil = once("answer", lambda raw: flipped(raw, at))
    with pytest.raises(ChannelError):
        opened(card)
    assert not card.channel.is_open


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda raw: raw[:11] + b"\x02" + raw[12:], ChannelError),  # SCP02
        (lambda raw: raw[:12] + b"\x00" + raw[13:], ChannelError),  # no protected answers
        (lambda raw: raw[:12] + b"\x61" + raw[13:], ChannelError),  # S16
        (lambda raw: raw[1:], CardMisbehaved),
        (lambda raw: b"\x90\x00", CardMisbehaved),
        (lambda raw: b"", CardMisbehaved),
    ],
)
def test_another_protocol_is_refused(
    change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    card = BlankCard()
    card.spoil = once("answer", change)
    with pytest.raises(error):
        opened(card)
    assert not card.channel.is_open


def test_a_sequence_counter_behind_the_cryptogram_is_no_harm() -> None:
    card = BlankCard()
    card.spoil = once("answer", lambda raw: raw[:12] + b"\x70" + raw[13:-2] + b"\0\0\1\x90\0")
    assert opened(card).is_open


def test_a_spoilt_authentication_is_refused_by_the_card() -> None:
    card = BlankCard()
    card.spoil = lambda raw, kind: flipped(raw, 6) if raw[1] == 0x82 else raw
    with pytest.raises(CardRefused) as caught:
        opened(card)
    assert caught.value.word == status.SECURE_MESSAGING_WRONG
    assert not card.channel.is_open


def test_a_spoilt_command_does_nothing_and_closes_both_ends() -> None:
    card = BlankCard()
    channel = opened(card)
    card.spoil = once("command", lambda raw: flipped(raw, 7))
    with pytest.raises(CardRefused) as caught:
        channel.send(store(1, b"data"))
    assert caught.value.word == status.SECURE_MESSAGING_WRONG
    assert card.stored == []
    assert not card.channel.is_open
    assert not channel.is_open
    with pytest.raises(ChannelError, match="closed"):
        channel.send(store(1, b"data"))


ANSWER_CHANGES = {
    "first bit": lambda raw: flipped(raw, 0),
    "mac": lambda raw: flipped(raw, len(raw) - 3),
    "no mac": lambda raw: raw[:-10] + raw[-2:],
    "short mac": lambda raw: raw[:-3] + raw[-2:],
    "no data": lambda raw: raw[-10:],
    "one byte of mac": lambda raw: raw[-3:],
    "bare": lambda raw: raw[-2:],
    "nothing": lambda raw: b"",
}


@pytest.mark.parametrize("name", ANSWER_CHANGES)
def test_a_spoilt_answer_is_not_believed(name: str) -> None:
    card = BlankCard()
    channel = opened(card)
    card.spoil = once("answer", ANSWER_CHANGES[name])
    with pytest.raises(CardMisbehaved):
        channel.send(store(ECHO, b"data"))
    assert not channel.is_open


def test_a_replayed_answer_is_not_believed() -> None:
    card = BlankCard()
    channel = opened(card)
    channel.send(store(ECHO, b"data"))
    old = card.line[-1]
    card.spoil = once("answer", lambda raw: old)
    with pytest.raises(CardMisbehaved):
        channel.send(store(ECHO, b"data"))


def test_a_lost_link_closes_the_channel() -> None:
    card = BlankCard()
    channel = opened(card)

    def lost(raw: bytes, kind: str) -> bytes:
        raise LinkTimeout("the card did not answer in time")

    card.spoil = lost
    with pytest.raises(LinkTimeout):
        channel.send(store(ECHO, b"data"))
    assert not channel.is_open


def test_a_refusal_leaves_the_channel_open_and_in_step() -> None:
    card = BlankCard()
    channel = opened(card)
    card.refuses = 5
    with pytest.raises(CardRefused) as caught:
        channel.send(store(5, b"data"))
    assert caught.value.word == status.WRONG_DATA
    assert channel.send(store(ECHO, b"data")) == b"echo data"


def test_a_forged_refusal_cannot_hide_a_command_from_the_card() -> None:
    card = BlankCard()
    channel = opened(card)

    class Thief:
        """Keeps the first command for himself and refuses it in the card's name."""

        kept = False

        def transmit(self, raw: bytes) -> bytes:
            if not self.kept:
                self.kept = True
                return b"\x6a\x80"
            return card.transmit(raw)

    channel._exchange = Exchange(Thief())
    with pytest.raises(CardRefused):
        channel.send(store(1, b"kept"))
    with pytest.raises(CardRefused):
        channel.send(store(2, b"next"))
    assert card.stored == []
    assert not channel.is_open


@pytest.mark.parametrize(
    "command",
    [store(1, bytes(240)), Command(0x84, 0xE2), Command(0x00, 0xE2), Command(0x90, 0xE2)],
)
def test_what_cannot_be_carried_is_not_sent(command: Command) -> None:
    card = BlankCard()
    channel = opened(card)
    before = len(card.line)
    with pytest.raises(ChannelError, match="cannot carry"):
        channel.send(command)
    assert len(card.line) == before
    assert channel.send(store(ECHO, b"data")) == b"echo data"


# ------------------------------------------------------------------------------------- keys


def test_keys_show_nothing() -> None:
    assert repr(KEYS) == str(KEYS) == "ChannelKeys(...)"
    assert KEYS.raw == KEYS.enc + KEYS.mac + KEYS.dek


def test_default_keys_are_those_of_a_blank_card() -> None:
    assert DEFAULT_KEYS.raw == bytes.fromhex("404142434445464748494a4b4c4d4e4f") * 3


def test_diversified_keys_are_hkdf_of_the_serial() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    kdf = HKDF(algorithm=SHA256(), length=48, salt=None, info=b"qalta/1 scp03 keys" + SERIAL)
    assert kdf.derive(MASTER) == KEYS.raw
    assert len({KEYS.enc, KEYS.mac, KEYS.dek}) == 3
    assert diversify(MASTER, bytes(16)).raw != KEYS.raw


@pytest.mark.parametrize(("master", "serial"), [(bytes(31), SERIAL), (MASTER, bytes(10))])
def test_wrong_sizes_are_no_master_or_serial(master: bytes, serial: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        diversify(master, serial)


def test_short_keys_are_no_keys() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ChannelKeys(bytes(16), bytes(15), bytes(16))


# ------------------------------------------------------------------------- the issuer's session


def record(vectors: list[dict[str, object]]) -> bytes:
    """The first valid record of these vectors."""
    return next(
        bytes.fromhex(str(vector["input"])) for vector in vectors if vector["result"]["valid"]
    )


def personalisation(**changes: object) -> Personalisation:
    bank = Certificate.parse(record(certificate()))
    fields: dict[str, object] = {
        "root": SigningKey.generate().public_key,
        "bank": bank,
        "purse": bank,
        "view_key": b"view key view ke",
        "pin": "271828",
        "puk": "31415926",
        "policy": Policy.parse(record(policy())),
        "channel_keys": KEYS,
    }
    return Personalisation(**fields | changes)


def test_a_blank_card_is_personalised() -> None:
    card = BlankCard()
    session = IssuerSession(card)
    assert session.select().lifecycle == apdu.LIFECYCLE_BLANK
    session.open(DEFAULT_KEYS)
    assert session.identity_key() == IDENTITY
    given = personalisation()
    session.personalise(given)
    assert card.stored == [
        (apdu.ITEM_ROOT, given.root),
        (apdu.ITEM_BANK, given.bank.raw),
        (apdu.ITEM_PURSE, given.purse.raw),
        (apdu.ITEM_VIEW_KEY, b"view key view ke"),
        (apdu.ITEM_PIN, b"271828"),
        (apdu.ITEM_PUK, b"31415926"),
        (apdu.ITEM_POLICY, given.policy.raw),
        (apdu.ITEM_CHANNEL_KEYS, KEYS.raw),
        (apdu.ITEM_ACTIVATE, b""),
    ]
    for secret in (b"271828", b"31415926", b"view key view ke", KEYS.enc, KEYS.mac, KEYS.dek):
        assert not any(secret in raw for raw in card.line)
    with pytest.raises(ChannelError):
        session.identity_key()


def test_personalisation_shows_no_secret() -> None:
    given = personalisation()
    shown = repr(given) + str(given)
    for secret in ("271828", "31415926", "view key", KEYS.enc.hex(), repr(KEYS.enc)):
        assert secret not in shown


@pytest.mark.parametrize("changes", [{"pin": "987"}, {"pin": "secret"}, {"puk": "123"}])
def test_a_malformed_pin_stops_it_before_anything_is_sent(changes: dict[str, str]) -> None:
    card = BlankCard()
    session = IssuerSession(card)
    session.open(DEFAULT_KEYS)
    with pytest.raises(BadPinFormat) as caught:
        session.personalise(personalisation(**changes))
    assert card.stored == []
    assert not any(value in str(caught.value) for value in changes.values())


@pytest.mark.parametrize("changes", [{"root": bytes(65)}, {"view_key": bytes(15)}])
def test_a_key_of_a_wrong_size_makes_no_personalisation(changes: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        personalisation(**changes)


def test_a_refused_item_stops_it_before_the_card_is_active() -> None:
    card = BlankCard()
    card.refuses = apdu.ITEM_POLICY
    session = IssuerSession(card)
    session.open(DEFAULT_KEYS)
    with pytest.raises(CardRefused):
        session.personalise(personalisation())
    assert [item for item, _ in card.stored] == [1, 2, 3, 4, 5, 6]
    card.refuses = None
    session.select()
    session.open(DEFAULT_KEYS)
    session.personalise(personalisation())
    assert card.stored[-1] == (apdu.ITEM_ACTIVATE, b"")


@pytest.mark.parametrize(
    "identity",
    [b"", bytes(63), bytes(64), IDENTITY + b"\0"],
    ids=["empty", "short", "no point", "long"],
)
def test_an_identity_key_that_is_none_is_not_believed(identity: bytes) -> None:
    card = BlankCard()
    card.identity = identity
    session = IssuerSession(card)
    session.open(DEFAULT_KEYS)
    with pytest.raises(CardMisbehaved, match="identity key"):
        session.identity_key()


def test_nothing_is_asked_without_a_channel() -> None:
    card = BlankCard()
    session = IssuerSession(card)
    with pytest.raises(ChannelError):
        session.identity_key()
    session.open(DEFAULT_KEYS)
    session.select()
    with pytest.raises(ChannelError):
        session.store(apdu.ITEM_ROOT, b"")
    assert card.stored == []


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
