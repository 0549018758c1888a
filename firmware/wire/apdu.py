# SPDX-License-Identifier: Apache-2.0
"""Commands of the purse application: their numbers, and the layouts of their data (section 4).

Every command fits in one short APDU; a longer one may come chained, a longer answer goes out
by `61xx` and GET RESPONSE.
"""

from firmware.wire.layout import Layout, WireError

AID = b"\xf0\x51\x41\x4c\x54\x41\x01"  # unregistered; production needs a registered RID

CLA_ISO = 0x00
CLA_QALTA = 0x80
CLA_SECURED = 0x84  # under a GlobalPlatform SCP03 channel
CLA_CHAINED = 0x10  # this bit: more of the same command follows

INS_SELECT = 0xA4
INS_VERIFY = 0x20
INS_CHANGE_REFERENCE_DATA = 0x24
INS_RESET_RETRY_COUNTER = 0x2C
INS_GET_RESPONSE = 0xC0

INS_PRESENT_CERTIFICATE = 0x30
INS_PAY = 0x32
INS_RECOVER = 0x34
INS_GET_BALANCE = 0x3A
INS_LOAD = 0x3C
INS_EXPORT = 0x3E
INS_ACKNOWLEDGE = 0x40
INS_SET_POLICY = 0x42
INS_GENERATE_KEY = 0x46

INS_INITIALIZE_UPDATE = 0x50
INS_EXTERNAL_AUTHENTICATE = 0x82
INS_STORE_DATA = 0xE2

COMMAND_NAMES = {
    INS_SELECT: "SELECT",
    INS_VERIFY: "VERIFY",
    INS_CHANGE_REFERENCE_DATA: "CHANGE REFERENCE DATA",
    INS_RESET_RETRY_COUNTER: "RESET RETRY COUNTER",
    INS_GET_RESPONSE: "GET RESPONSE",
    INS_PRESENT_CERTIFICATE: "PRESENT CERTIFICATE",
    INS_PAY: "PAY",
    INS_RECOVER: "RECOVER",
    INS_GET_BALANCE: "GET BALANCE",
    INS_LOAD: "LOAD",
    INS_EXPORT: "EXPORT",
    INS_ACKNOWLEDGE: "ACKNOWLEDGE",
    INS_SET_POLICY: "SET POLICY",
    INS_GENERATE_KEY: "GENERATE KEY",
    INS_INITIALIZE_UPDATE: "INITIALIZE UPDATE",
    INS_EXTERNAL_AUTHENTICATE: "EXTERNAL AUTHENTICATE",
    INS_STORE_DATA: "STORE DATA",
}

P1_SELECT_BY_NAME = 0x04
P2_PIN = 0x81  # ISO 7816-4: a reference specific to the application

P1_EXPORT_STATEMENT = 0x00  # data: a challenge; answer: the statement
P1_EXPORT_ENTRY = 0x01  # P2: index; answer: the journal entry
P1_EXPORT_CERTIFICATE = 0x02  # answer: the purse's identity certificate
P1_EXPORT_STORED = 0x03  # data: an index; answer: that record of the journal, as it is stored

P1_TOKEN_KEY = 0x00  # GENERATE KEY, data: a challenge; answer: a key attestation
P1_IDENTITY_KEY = 0x01  # GENERATE KEY before ACTIVE; answer: the identity's public key

# STORE DATA: what P1 says that the data is. Only before ACTIVE, in this order or any other.
ITEM_ROOT = 0x01  # the root's public key, 64 bytes
ITEM_BANK = 0x02  # the bank's certificate
ITEM_PURSE = 0x03  # the purse's certificate, over the identity key
ITEM_VIEW_KEY = 0x04  # 16 bytes, shared with the bank alone
ITEM_PIN = 0x05  # ASCII digits
ITEM_PUK = 0x06  # ASCII digits
ITEM_POLICY = 0x07  # the bank's policy
ITEM_CHANNEL_KEYS = 0x08  # SCP03 keys ENC ‖ MAC ‖ DEK, 48 bytes, for the channels after this one
ITEM_ACTIVATE = 0x7F  # no data: the purse is complete; lifecycle goes to ACTIVE

LIFECYCLE_BLANK = 0
LIFECYCLE_ACTIVE = 1
LIFECYCLE_SYNC_ONLY = 2  # the purse found its own memory rolled back: it no longer pays
LIFECYCLE_DAMAGED = 3  # it cannot read a part of its memory: it pays nothing, and keeps it all

FLAG_PIN_BLOCKED = 1
FLAG_JOURNAL_FULL = 2

SELECT_ANSWER = Layout(
    ("protocol", "B"),
    ("tier", "B"),
    ("currency", "H"),
    ("policy_version", "I"),
    ("lifecycle", "B"),
    ("flags", "B"),
)

PAY_DATA = Layout(
    ("amount", "I"),
    ("currency", "H"),
    ("purpose", "H"),
    ("payment_id", "16s"),
    ("time", "I"),
    ("payee", "200s"),
)

STORED_INDEX = Layout(("index", "H"))  # EXPORT of a stored record
STORED_RECORD = Layout(("kind", "B"))  # its answer begins so; the payload follows

BALANCE = Layout(("purpose", "H"), ("amount", "I"))  # GET BALANCE answers one a purpose

MAX_SHORT_DATA = 255
MAX_SHORT_ANSWER = 256


class Command:
    """A command APDU. `le` is how many bytes are expected back, None where none are."""

    def __init__(
        self,
        cla: int,
        ins: int,
        p1: int = 0,
        p2: int = 0,
        data: bytes = b"",
        le: "int | None" = None,
    ) -> None:
        self.cla = cla
        self.ins = ins
        self.p1 = p1
        self.p2 = p2
        self.data = data
        self.le = le

    @classmethod
    def parse(cls, raw: bytes) -> "Command":
        """A short command APDU, cases 1 to 4. Raises WireError for anything else."""
        size = len(raw)
        if size < 4:
            raise WireError("apdu: shorter than its header")
        head = (raw[0], raw[1], raw[2], raw[3])
        if size == 4:
            return cls(*head)
        if size == 5:
            return cls(*head, le=raw[4] or MAX_SHORT_ANSWER)
        end = 5 + raw[4]
        if raw[4] == 0 or size not in (end, end + 1):
            raise WireError("apdu: its length byte does not fit")
        le = (raw[end] or MAX_SHORT_ANSWER) if size > end else None
        return cls(*head, data=bytes(raw[5:end]), le=le)

    @property
    def raw(self) -> bytes:
        """The command's bytes. Raises WireError for more data than a short APDU holds."""
        if len(self.data) > MAX_SHORT_DATA:
            raise WireError("apdu: more data than a short command holds")
        head = bytes([self.cla, self.ins, self.p1, self.p2])
        body = bytes([len(self.data)]) + self.data if self.data else b""
        tail = b"" if self.le is None else bytes([self.le & 0xFF])
        return head + body + tail


def split_answer(raw: bytes) -> "tuple[bytes, int]":
    """A response APDU as (data, status word). Raises WireError if it has no status word."""
    if len(raw) < 2:
        raise WireError("apdu: the answer has no status word")
    return bytes(raw[:-2]), raw[-2] << 8 | raw[-1]
