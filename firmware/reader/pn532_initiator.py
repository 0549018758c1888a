# SPDX-License-Identifier: Apache-2.0
"""The PN532 as a reader: finding cards, and talking to one.

NXP UM0701-02, sections 7.2.1 (Diagnose) and 7.3.5 to 7.3.12.
"""

from firmware.reader.pn532_errors import check
from firmware.reader.ports import CardGone, ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.pn532_link import ChipLink

_DIAGNOSE = 0x00
_RF_CONFIGURATION = 0x32
_IN_DATA_EXCHANGE = 0x40
_IN_DESELECT = 0x44
_IN_LIST_PASSIVE_TARGET = 0x4A
_IN_RELEASE = 0x52
_IN_SELECT = 0x54

_FIELD = 0x01  # items of RFConfiguration
_TIMINGS = 0x02
_RETRIES = 0x05
_PRESENCE_TEST = b"\x06"
_TYPE_A = 0  # at 106 kbit/s
_ISO_DEP = 0x20  # of SEL_RES: the card knows ISO 14443-4
_MORE = 0x40  # more information: in the target number there, in the status byte back
_TARGET_BITS = 0x07

MAX_TARGETS = 2
MAX_DATA = 262  # bytes of data in one InDataExchange, in either direction
ALL = 0  # for `release`

_MS = 100
_LIST_MS = 1000  # for some tries to activate two cards
_LIKELY_BODY = 72  # a short APDU's answer; longer ones are asked for again on I2C alone


class Card:
    """A card that was found. `ats` is without its length byte, and None if it has none."""

    def __init__(self, number: int, sel_res: int, uid: bytes, ats: "bytes | None") -> None:
        self.number = number
        self.sel_res = sel_res
        self.uid = uid
        self.ats = ats

    @property
    def is_iso_dep(self) -> bool:
        """Whether APDUs can be exchanged with it."""
        return self.ats is not None

    @property
    def historical(self) -> bytes:
        """The historical bytes of its ATS (ISO 14443-4, section 5.2)."""
        if not self.ats:
            return b""
        interface_bytes = (self.ats[0] >> 4 & 1) + (self.ats[0] >> 5 & 1) + (self.ats[0] >> 6 & 1)
        return self.ats[1 + interface_bytes :]


class Initiator:
    """The commands for a chip that reads cards. Each may raise ReaderError."""

    def __init__(self, link: "ChipLink") -> None:
        self._link = link

    def field(self, is_on: bool) -> None:
        """Switches the field on or off; a card loses its power by that."""
        self._link.run(_RF_CONFIGURATION, bytes([_FIELD, is_on]), _MS)

    def retries(self, activations: int, atr: int = 2, psl: int = 1) -> None:
        """How often the chip tries again to activate a card; FF is for ever."""
        self._link.run(_RF_CONFIGURATION, bytes([_RETRIES, atr, psl, activations]), _MS)

    def timings(self, atr_code: int, answer_code: int) -> None:
        """Timeouts for ATR_RES and for answers outside ISO-DEP: n is 100 µs · 2^(n-1), 0 none."""
        self._link.run(_RF_CONFIGURATION, bytes([_TIMINGS, 0, atr_code, answer_code]), _MS)

    def list_cards(self) -> "tuple[int, list[Card]]":
        """How many cards of type A the chip found, at most two; and each, if it is one."""
        data = bytes([MAX_TARGETS, _TYPE_A])
        answer = self._link.run(_IN_LIST_PASSIVE_TARGET, data, _LIST_MS, _LIKELY_BODY)
        if not answer or answer[0] > MAX_TARGETS:
            raise ReaderError("the reader chip's list of cards makes no sense")
        return answer[0], [_card(answer[1:])] if answer[0] == 1 else []

    def exchange(self, number: int, data: bytes, more: bool, max_ms: int) -> "tuple[bytes, bool]":
        """Sends up to MAX_DATA bytes to a card. Returns its answer, and whether there is more.

        more: what follows belongs to this; no answer yet. Without data it fetches what was more.
        Raises CardGone too, and ValueError for more than MAX_DATA.
        """
        if len(data) > MAX_DATA:
            raise ValueError("an exchange carries no more than %d bytes" % MAX_DATA)
        head = bytes([number | (_MORE if more else 0)])
        answer = self._link.run(_IN_DATA_EXCHANGE, head + data, max_ms, _LIKELY_BODY)
        status = _status(answer)
        check(status)
        return answer[1:], bool(status & _MORE)

    def is_present(self, max_ms: int) -> bool:
        """Whether the active ISO-DEP card answers an R(NAK) block; that changes nothing in it."""
        try:
            check(_status(self._link.run(_DIAGNOSE, _PRESENCE_TEST, max_ms)))
        except CardGone:
            return False
        return True

    def select(self, number: int) -> None:
        """Makes a listed card the active one, if it is not. Raises CardGone too.

        Where the chip looked for a second card, the manual does not say which is active then.
        """
        check(_status(self._link.run(_IN_SELECT, bytes([number]), _LIST_MS)))

    def deselect(self, number: int = ALL) -> None:
        """Sends the card S(DESELECT); it stays listed. Raises CardGone too."""
        check(_status(self._link.run(_IN_DESELECT, bytes([number]), _LIST_MS)))

    def release(self, number: int = ALL) -> None:
        """Deselects the card and forgets it. Raises CardGone too."""
        check(_status(self._link.run(_IN_RELEASE, bytes([number]), _LIST_MS)))


def _status(answer: bytes) -> int:
    if not answer:
        raise ReaderError("the reader chip's answer has no status")
    return answer[0]


def _card(data: bytes) -> Card:
    """One entry of the list: Tg, SENS_RES (2), SEL_RES, length and NFCID1, length and ATS."""
    if len(data) < 5 or len(data) < 5 + data[4] or data[0] not in (1, 2):
        raise ReaderError("the reader chip's list of cards makes no sense")
    end = 5 + data[4]
    uid, rest = data[5:end], data[end:]
    ats = None
    if data[3] & _ISO_DEP and rest:
        if rest[0] != len(rest):
            raise ReaderError("the reader chip's list of cards makes no sense")
        ats = rest[1:]
    return Card(data[0] & _TARGET_BITS, data[3], uid, ats)
