# SPDX-License-Identifier: Apache-2.0
"""The host's end of an SCP03 secure channel (GlobalPlatform Amendment D v1.1.2)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from firmware.card import scp03
from firmware.card.scp03 import MAC_SIZE, SessionKeys
from firmware.crypto.aes import cbc_decrypt, cbc_encrypt
from firmware.crypto.compare import equal
from firmware.crypto.hkdf import hkdf_sha256
from firmware.wire import apdu, status
from firmware.wire.apdu import CLA_QALTA, CLA_SECURED, MAX_SHORT_ANSWER, Command
from firmware.wire.layout import SERIAL_SIZE, WireError
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused, Exchange

MASTER_KEY_SIZE = 32
_DIVERSIFY_LABEL = b"qalta/1 scp03 keys"
_RESPONSE_OPTIONS = 0x60  # R-MAC and R-ENCRYPTION
_RANDOM_MASK = 0xEF  # whether a card's challenge is random (60) or pseudo-random (70) is its own
_SEQUENCE_COUNTER_SIZE = 3  # behind the answer of a card whose challenge is pseudo-random
_CHANNEL_WORDS = (status.SECURE_MESSAGING_MISSING, status.SECURE_MESSAGING_WRONG)


class ChannelError(CardError):
    """The secure channel cannot be opened, is closed, or cannot carry what it was given."""


@dataclass(frozen=True)
class ChannelKeys:
    """A key set of a card, three AES-128 keys. It never shows itself."""

    enc: bytes
    mac: bytes
    dek: bytes

    def __post_init__(self) -> None:
        if {len(self.enc), len(self.mac), len(self.dek)} != {scp03.BLOCK_SIZE}:
            raise ValueError("each key of a secure channel has 16 bytes")

    @property
    def raw(self) -> bytes:
        """ENC ‖ MAC ‖ DEK, 48 bytes: what STORE DATA brings to the card."""
        return self.enc + self.mac + self.dek

    def __repr__(self) -> str:
        return "ChannelKeys(...)"


# What a blank card comes with: GlobalPlatform's published test keys, which protect nothing.
DEFAULT_KEYS = ChannelKeys(scp03.FIRST_KEY, scp03.FIRST_KEY, scp03.FIRST_KEY)


def diversify(master: bytes, serial: bytes) -> ChannelKeys:
    """The key set of the card with this serial number (16 bytes), from a 32-byte master key.

    HKDF-SHA256 (RFC 5869) with no salt; info = "qalta/1 scp03 keys" ‖ serial; the 48 bytes are
    ENC ‖ MAC ‖ DEK. One card's keys tell nothing of another's. Raises ValueError for a wrong size.
    """
    if len(master) != MASTER_KEY_SIZE:
        raise ValueError("a master key has 32 bytes")
    if len(serial) != SERIAL_SIZE:
        raise ValueError("a serial number has 16 bytes")
    raw = hkdf_sha256(master, b"", _DIVERSIFY_LABEL + serial, scp03.KEY_SET_SIZE)
    return ChannelKeys(raw[:16], raw[16:32], raw[32:])


def open_channel(
    exchange: Exchange,
    keys: ChannelKeys,
    *,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> SecuredExchange:
    """Authenticates card and host to each other; all commands and answers are secret from here.

    Raises ChannelError where the card has other keys or another protocol, CardRefused,
    CardMisbehaved, or the transport's own TransportError.
    """
    challenge = random(scp03.CHALLENGE_SIZE)
    initialize = Command(
        CLA_QALTA, apdu.INS_INITIALIZE_UPDATE, data=challenge, le=MAX_SHORT_ANSWER
    )
    fields = _card_fields(exchange.send(initialize))
    session = SessionKeys(keys.enc, keys.mac, challenge + fields["card_challenge"])
    if not equal(session.card_cryptogram, fields["card_cryptogram"]):
        raise ChannelError("the card does not hold these channel keys")
    channel = SecuredExchange(exchange, session)
    channel.authenticate()
    return channel


class SecuredExchange:
    """An Exchange whose commands and answers are encrypted and carry MACs.

    Made by `open_channel`. Anything that may have set the two sides apart closes it; a refusal
    does not, but its status word comes bare (section 6.2.5) and proves nothing by itself.
    """

    def __init__(self, exchange: Exchange, keys: SessionKeys) -> None:
        self._exchange = exchange
        self._keys = keys
        self._chaining = bytes(scp03.BLOCK_SIZE)
        self._counter = 0
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether the channel still carries commands."""
        return self._is_open

    def close(self) -> None:
        """No more commands go over this channel. Closing twice is fine."""
        self._is_open = False

    def authenticate(self) -> None:
        """Proves to the card who the host is; `open_channel` has done it."""
        ins, level = apdu.INS_EXTERNAL_AUTHENTICATE, scp03.LEVEL_ALL
        self._exchange.send(self._with_mac(ins, level, 0, self._keys.host_cryptogram, None))
        self._is_open = True

    def send(self, command: Command) -> bytes:
        """The whole plain answer to a plain `command` of class 80 with at most 239 bytes of data.

        Raises ChannelError, CardRefused, CardMisbehaved, or the transport's own TransportError.
        """
        if not self._is_open:
            raise ChannelError("the secure channel is closed; the card must be opened anew")
        if command.cla != CLA_QALTA or len(command.data) > scp03.MAX_DATA:
            raise ChannelError("the secure channel cannot carry this command")
        secured = self._wrapped(command)
        self._is_open = False  # until the answer is found right
        try:
            answer = self._exchange.send(secured)
        except CardRefused as refused:
            self._is_open = refused.word not in _CHANNEL_WORDS
            raise
        plain = self._unwrapped(answer)
        self._is_open = True
        return plain

    def _wrapped(self, command: Command) -> Command:
        self._counter += 1
        data = command.data
        if data:
            vector = self._keys.command_vector(self._counter)
            data = cbc_encrypt(self._keys.enc, vector, scp03.pad(data))
        # At this level even an answer without data has its R-MAC, so an answer is always expected.
        return self._with_mac(command.ins, command.p1, command.p2, data, MAX_SHORT_ANSWER)

    def _with_mac(self, ins: int, p1: int, p2: int, data: bytes, le: int | None) -> Command:
        header = bytes([CLA_SECURED, ins, p1, p2])
        self._chaining = self._keys.command_tag(self._chaining, header, data)
        return Command(CLA_SECURED, ins, p1, p2, data + self._chaining[:MAC_SIZE], le)

    def _unwrapped(self, answer: bytes) -> bytes:
        data, mac = answer[:-MAC_SIZE], answer[-MAC_SIZE:]
        if not equal(mac, self._keys.response_mac(self._chaining, data, status.OK)):
            raise CardMisbehaved("the card's answer is not authentic; the channel is closed")
        if not data:
            return b""
        try:
            vector = self._keys.response_vector(self._counter)
            return scp03.unpad(cbc_decrypt(self._keys.enc, vector, data))
        except ValueError:  # WireError is one: not whole blocks, or wrong padding
            raise CardMisbehaved("the card's answer is wrongly padded") from None


def _card_fields(answer: bytes) -> dict[str, bytes]:
    """Challenge and cryptogram of the card, once the protocol is found to be ours."""
    size = scp03.INITIALIZE_ANSWER.size
    if len(answer) == size + _SEQUENCE_COUNTER_SIZE:
        answer = answer[:size]
    try:
        fields = scp03.INITIALIZE_ANSWER.unpack(answer)
    except WireError as error:
        raise CardMisbehaved(f"the card answered nonsense: {error}") from None
    options = fields["options"]
    if not isinstance(options, int) or fields["protocol"] != scp03.PROTOCOL:
        raise ChannelError("the card speaks another secure channel protocol than SCP03")
    if options & _RANDOM_MASK != _RESPONSE_OPTIONS:
        raise ChannelError("the card's SCP03 lacks 8-byte MACs or protection of its answers")
    return {name: value for name, value in fields.items() if isinstance(value, bytes)}
