# SPDX-License-Identifier: Apache-2.0
"""The card's end of an SCP03 secure channel: the only way to personalise a purse (section 4).

A channel that meets a mistake is closed and the command not carried out; only a new INITIALIZE
UPDATE, with a fresh card challenge, leads on (reliability cases C04 and C08).
"""

from firmware.card import scp03
from firmware.card.scp03 import MAC_SIZE, SessionKeys
from firmware.crypto.aes import cbc_decrypt, cbc_encrypt
from firmware.crypto.compare import equal
from firmware.wire import status
from firmware.wire.apdu import CLA_QALTA, CLA_SECURED, MAX_SHORT_DATA, Command
from firmware.wire.status import Refusal

_DIVERSIFICATION = bytes(10)  # the host knows the serial number from its own records


class _Session:
    """What lasts from INITIALIZE UPDATE until the channel is closed."""

    def __init__(self, keys: SessionKeys) -> None:
        self.keys = keys
        self.chaining = bytes(scp03.BLOCK_SIZE)
        self.counter = 0  # commands since EXTERNAL AUTHENTICATE
        self.level = 0  # none before the host is authenticated


class SecureChannel:
    """One secure channel over one key set. `random(size)` gives that many random bytes."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        enc_key: bytes,
        mac_key: bytes,
        random,
        key_version: int = scp03.KEY_VERSION_FIRST,
    ) -> None:
        self._enc_key = enc_key
        self._mac_key = mac_key
        self._random = random
        self._key_version = key_version
        self._session = None  # type: _Session | None

    @property
    def is_open(self) -> bool:
        """Whether the host is authenticated and nothing has gone wrong since."""
        return self._session is not None and self._session.level != 0

    def close(self) -> None:
        """Forgets the session and its keys. Closing twice is fine."""
        self._session = None

    def initialize_update(self, command: Command) -> bytes:
        """The answer to INITIALIZE UPDATE, 29 bytes; any older session ends here. Or Refusal."""
        self.close()
        if command.cla != CLA_QALTA:
            raise Refusal(status.UNKNOWN_CLASS)
        if len(command.data) != scp03.CHALLENGE_SIZE:
            raise Refusal(status.WRONG_LENGTH)
        if command.p2 != 0:
            raise Refusal(status.WRONG_P1P2)
        if command.p1 not in (scp03.KEY_VERSION_ANY, self._key_version):
            raise Refusal(status.NOT_FOUND)
        challenge = self._random(scp03.CHALLENGE_SIZE)
        keys = SessionKeys(self._enc_key, self._mac_key, command.data + challenge)
        self._session = _Session(keys)
        return scp03.INITIALIZE_ANSWER.pack(
            {
                "diversification": _DIVERSIFICATION,
                "key_version": self._key_version,
                "protocol": scp03.PROTOCOL,
                "options": scp03.OPTIONS,
                "card_challenge": challenge,
                "card_cryptogram": keys.card_cryptogram,
            }
        )

    def external_authenticate(self, command: Command) -> None:
        """Opens the channel at the level that P1 asks for; one attempt a challenge. Or Refusal."""
        was_open = self.is_open
        session = self._taken()
        if session is None or was_open:
            raise Refusal(status.CONDITIONS_NOT_MET)
        if command.p1 not in scp03.LEVELS or command.p2 != 0:
            raise Refusal(status.WRONG_P1P2)
        cryptogram = _verified(session, command)
        if not equal(cryptogram, session.keys.host_cryptogram):
            raise Refusal(status.SECURE_MESSAGING_WRONG)
        session.level = command.p1
        self._session = session

    def unwrap(self, command: Command) -> Command:
        """The plain command in a secured one. Raises Refusal, and the channel is closed then."""
        was_open = self.is_open
        session = self._taken()
        if session is None or not was_open:
            raise Refusal(status.SECURE_MESSAGING_WRONG)
        data = _verified(session, command)
        session.counter += 1  # also for a command without data (section 6.2.6)
        if data:
            data = _decrypted(session, data)
        self._session = session
        return Command(CLA_QALTA, command.ins, command.p1, command.p2, data, command.le)

    def wrap(self, data: bytes, word: int) -> bytes:
        """The data to send, before the status word, in answer to the last unwrapped command.

        An error goes out bare, as section 6.2.5 has it: the data is empty then. Wrap before the
        channel is closed, for a closed one raises Refusal.
        """
        session = self._session
        if session is None or not session.level:
            raise Refusal(status.SECURE_MESSAGING_WRONG)
        if word != status.OK:
            return b""
        if data and session.level & scp03.LEVEL_R_ENCRYPTION:
            vector = session.keys.response_vector(session.counter)
            data = cbc_encrypt(session.keys.enc, vector, scp03.pad(data))
        if session.level & scp03.LEVEL_R_MAC:
            data += session.keys.response_mac(session.chaining, data, word)
        return data

    def _taken(self) -> "_Session | None":
        """The session, out of the channel: closed until whoever takes it puts it back."""
        session = self._session
        self._session = None
        return session


def _verified(session: _Session, command: Command) -> bytes:
    """The data before the C-MAC, once that is found right; the chaining value moves on."""
    if command.cla != CLA_SECURED or len(command.data) > MAX_SHORT_DATA:  # it was chained
        raise Refusal(status.SECURE_MESSAGING_WRONG)
    data, mac = command.data[:-MAC_SIZE], command.data[-MAC_SIZE:]
    header = bytes([command.cla, command.ins, command.p1, command.p2])
    tag = session.keys.command_tag(session.chaining, header, data)
    # A MAC that is cut short or missing differs in length, and is not equal either.
    if not equal(mac, tag[:MAC_SIZE]):
        raise Refusal(status.SECURE_MESSAGING_WRONG)
    session.chaining = tag
    return data


def _decrypted(session: _Session, data: bytes) -> bytes:
    vector = session.keys.command_vector(session.counter)
    try:
        return scp03.unpad(cbc_decrypt(session.keys.enc, vector, data))
    except ValueError:  # WireError is one: not whole blocks, or wrong padding
        raise Refusal(status.SECURE_MESSAGING_WRONG) from None
