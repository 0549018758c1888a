# SPDX-License-Identifier: Apache-2.0
"""The numbers and formulas of SCP03 (GlobalPlatform Amendment D v1.1.2), for both its ends.

AES-128 in S8 mode: challenges, cryptograms and MACs are cut to 8 bytes. The two state machines
that use this are `firmware.card.secure_channel` and `host_bridge.session.secure_channel`.
"""

from firmware.crypto.aes import encrypt_block
from firmware.crypto.cmac import aes_cmac
from firmware.wire import status
from firmware.wire.layout import Layout, WireError
from firmware.wire.status import Refusal

PROTOCOL = 0x03
OPTIONS = 0x60  # "i" of table 5-1: R-MAC and R-ENCRYPTION, S8, a random card challenge

# Security levels (table 7-5). Personalisation data is secret, so C-DECRYPTION is in all of them.
LEVEL_R_MAC = 0x10
LEVEL_R_ENCRYPTION = 0x20
LEVEL_COMMANDS = 0x03  # C-MAC and C-DECRYPTION
LEVEL_ALL = 0x33
LEVELS = (LEVEL_COMMANDS, LEVEL_COMMANDS | LEVEL_R_MAC, LEVEL_ALL)

BLOCK_SIZE = 16  # also of a key and of the MAC chaining value
KEY_SET_SIZE = 3 * BLOCK_SIZE  # ENC ‖ MAC ‖ DEK, the data of STORE DATA with ITEM_CHANNEL_KEYS
CHALLENGE_SIZE = 8
MAC_SIZE = 8
MAX_DATA = 239  # plain bytes in one short command: 15 blocks with padding, and the MAC

KEY_VERSION_ANY = 0x00
KEY_VERSION_FIRST = 0xFF  # the keys that a blank card comes with
KEY_VERSION_ISSUER = 0x01  # the keys that personalisation brings
FIRST_KEY = bytes(range(0x40, 0x50))  # all three keys of a blank card: public, protects nothing

INITIALIZE_ANSWER = Layout(
    ("diversification", "10s"),
    ("key_version", "B"),
    ("protocol", "B"),
    ("options", "B"),
    ("card_challenge", "8s"),
    ("card_cryptogram", "8s"),
)

# Derivation constants (table 4-1).
_CARD_CRYPTOGRAM = 0x00
_HOST_CRYPTOGRAM = 0x01
_S_ENC = 0x04
_S_MAC = 0x06
_S_RMAC = 0x07

_PADDING = b"\x80"
_RESPONSE = 0x80


class SessionKeys:
    """The keys of one session, and what each side shows the other to prove that it has them."""

    def __init__(self, enc_key: bytes, mac_key: bytes, context: bytes) -> None:
        """`context` is host challenge ‖ card challenge (section 6.2.1)."""
        self.enc = _derive(enc_key, _S_ENC, context, BLOCK_SIZE)
        self.mac = _derive(mac_key, _S_MAC, context, BLOCK_SIZE)
        self.rmac = _derive(mac_key, _S_RMAC, context, BLOCK_SIZE)
        self.card_cryptogram = _derive(self.mac, _CARD_CRYPTOGRAM, context, MAC_SIZE)
        self.host_cryptogram = _derive(self.mac, _HOST_CRYPTOGRAM, context, MAC_SIZE)

    def command_tag(self, chaining: bytes, header: bytes, data: bytes) -> bytes:
        """16 bytes: the next chaining value; its first 8 are the C-MAC (section 6.2.4).

        `header` is CLA INS P1 P2 and `data` the data as sent, without the MAC.
        """
        length = bytes([len(data) + MAC_SIZE])
        return aes_cmac(self.mac, chaining + header + length + data)

    def response_mac(self, chaining: bytes, data: bytes, word: int) -> bytes:
        """The R-MAC over an answer's data as sent and its status word (section 6.2.5)."""
        return aes_cmac(self.rmac, chaining + data + word.to_bytes(2, "big"))[:MAC_SIZE]

    def command_vector(self, counter: int) -> bytes:
        """The CBC vector for the data of the command of this number, from 1 (section 6.2.6)."""
        return encrypt_block(self.enc, counter.to_bytes(BLOCK_SIZE, "big"))

    def response_vector(self, counter: int) -> bytes:
        """The CBC vector for the answer to that command (section 6.2.7)."""
        block = bytes([_RESPONSE]) + counter.to_bytes(BLOCK_SIZE - 1, "big")
        return encrypt_block(self.enc, block)


def check_key_set(keys: bytes) -> None:
    """Raises Refusal: 6700 for no ENC ‖ MAC ‖ DEK, 6A80 where the public first key is in it."""
    if len(keys) != KEY_SET_SIZE:
        raise Refusal(status.WRONG_LENGTH)
    if FIRST_KEY in [keys[at : at + BLOCK_SIZE] for at in range(0, KEY_SET_SIZE, BLOCK_SIZE)]:
        raise Refusal(status.WRONG_DATA)


def pad(data: bytes) -> bytes:
    """`data` in whole blocks: 80, then zeros (section 4.1.4)."""
    padded = data + _PADDING
    return padded + bytes(-len(padded) % BLOCK_SIZE)


def unpad(padded: bytes) -> bytes:
    """The data in whole blocks. Raises WireError where the padding is not as `pad` makes it."""
    data = padded.rstrip(b"\0")
    if data[-1:] != _PADDING or len(padded) - len(data) >= BLOCK_SIZE:
        raise WireError("scp03: the padding is wrong")
    return data[:-1]


def _derive(key: bytes, constant: int, context: bytes, size: int) -> bytes:
    """The KDF in counter mode of NIST SP 800-108, as section 4.1.5 has it; at most one block."""
    label = bytes(11) + bytes([constant])
    length_and_counter = b"\0" + (8 * size).to_bytes(2, "big") + b"\x01"
    return aes_cmac(key, label + length_and_counter + context)[:size]
