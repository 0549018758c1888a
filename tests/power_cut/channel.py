# SPDX-License-Identifier: Apache-2.0
"""The issuer's end of SCP03, small, for personalising a card that lost its power on the way.

Runs on MicroPython, too; `host_bridge.session` needs CPython.
"""

from firmware.card import scp03
from firmware.crypto.aes import cbc_encrypt
from firmware.wire import apdu
from firmware.wire.apdu import CLA_QALTA, CLA_SECURED, Command, split_answer

_CHALLENGE = b"issuer's"
_KEY = scp03.BLOCK_SIZE
_HEAD = 10  # diversification, before the key version in the answer to INITIALIZE UPDATE
_CARD_CHALLENGE = 13  # where it begins


class Channel:
    """A channel at level C-DECRYPTION and C-MAC over `process(command) -> answer`."""

    def __init__(self, process: "object", issuer_keys: bytes) -> None:
        """`issuer_keys` are ENC ‖ MAC ‖ DEK of a card that has taken them already."""
        self._process = process
        command = Command(CLA_QALTA, apdu.INS_INITIALIZE_UPDATE, 0, 0, _CHALLENGE)
        answer, _ = split_answer(process(command.raw))
        is_first = answer[_HEAD] == scp03.KEY_VERSION_FIRST
        enc, mac = (scp03.FIRST_KEY, scp03.FIRST_KEY)
        if not is_first:
            enc, mac = issuer_keys[:_KEY], issuer_keys[_KEY : 2 * _KEY]
        challenge = answer[_CARD_CHALLENGE : _CARD_CHALLENGE + scp03.CHALLENGE_SIZE]
        self._keys = scp03.SessionKeys(enc, mac, _CHALLENGE + challenge)
        self._chaining = bytes(scp03.BLOCK_SIZE)
        self._counter = 0
        opened = apdu.INS_EXTERNAL_AUTHENTICATE, scp03.LEVEL_COMMANDS
        self._send(*opened, data=self._keys.host_cryptogram)

    def send(self, ins: int, p1: int, data: bytes = b"") -> "tuple[bytes, int]":
        """Data and status word of one secured command."""
        self._counter += 1
        if data:
            vector = self._keys.command_vector(self._counter)
            data = cbc_encrypt(self._keys.enc, vector, scp03.pad(data))
        return self._send(ins, p1, data)

    def _send(self, ins: int, p1: int, data: bytes) -> "tuple[bytes, int]":
        header = bytes([CLA_SECURED, ins, p1, 0])
        self._chaining = self._keys.command_tag(self._chaining, header, data)
        mac = self._chaining[: scp03.MAC_SIZE]
        return split_answer(self._process(Command(CLA_SECURED, ins, p1, 0, data + mac).raw))
