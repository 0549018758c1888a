# SPDX-License-Identifier: Apache-2.0
"""An ISO-DEP card, which takes whole APDUs, shown as a card with the protocol T=0.

At T=0 a command either brings data or fetches data (ISO 7816-3, section 12). One that brings data
and is answered with some gets 61xx, and the data wait here for GET RESPONSE. What the card itself
answers with 61xx or 6Cxx is passed on, and so is the GET RESPONSE for it. No command goes to the
card twice, and none that the computer did not send.
"""

from firmware.reader.ports import CardGone

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.slot import Slot

_TS_DIRECT = 0x3B
_HAS_TD1 = 0x80
_TD1 = 0x40  # T=0, and TC2 follows
_TC2 = 0x01  # the waiting integer; see answer_to_reset
_MAX_HISTORICAL = 15

_INS = 1
_P3 = 4
_GET_RESPONSE = 0xC0
_HEADER_SIZE = 5
_MAX_PART = 256  # bytes of an answer that one TPDU carries

_MORE = 0x61
_MAX_PARTS = 512  # of one answer: twice as many as 65,536 bytes need
_ENDLESS = b"\x6f\x00"


def answer_to_reset(historical: bytes) -> bytes:
    """The ATR of a card with T=0 alone, so without a checksum, and with these historical bytes.

    With the waiting integer 1 libccid waits 23 s for an answer, and not the 232 s of the usual
    10: a reader that dies within a command is found out so much earlier. A card that needs
    longer has the reader ask for time.
    """
    kept = historical[:_MAX_HISTORICAL]
    return bytes((_TS_DIRECT, _HAS_TD1 | len(kept), _TD1, _TC2)) + kept


class T0:
    """The TPDUs of one slot."""

    def __init__(self, slot: "Slot") -> None:
        self._slot = slot
        self.forget()

    def forget(self) -> None:
        """The card begins anew."""
        self._held = b""  # data of an answer, and behind it the card's status word
        self._parts = 0

    def exchange(self, tpdu: bytes) -> bytes:
        """The answer to a TPDU, or to an APDU of case 4: data, at most 256 bytes, and status word.

        Raises CardGone, also for an answer that is none, or ReaderError.
        """
        asks_for_more = tpdu[_INS] == _GET_RESPONSE and not _brings_data(tpdu)
        if asks_for_more and self._held:
            return self._part(_expected(tpdu))
        self._held = b""
        self._parts = self._parts + 1 if asks_for_more else 0
        if self._parts > _MAX_PARTS:
            self.forget()
            return _ENDLESS
        answer = self._slot.transmit(tpdu)
        if len(answer) < 2:
            raise CardGone("an answer without a status word")
        if len(answer) == 2:
            return answer
        self._held = answer
        return self._part(_expected(tpdu))

    def _part(self, size: int) -> bytes:
        """As much of the answer as is asked for; then the card's status word, or 61xx."""
        end = len(self._held) - 2
        if size >= end:
            answer, self._held = self._held, b""
            return answer
        data, self._held = self._held[:size], self._held[size:]
        left = end - size
        return data + bytes((_MORE, left if left < _MAX_PART else 0))


def _brings_data(tpdu: bytes) -> bool:
    return len(tpdu) > _HEADER_SIZE


def _expected(tpdu: bytes) -> int:
    """How many bytes may come back: Le, or none from a command that only brings data."""
    if len(tpdu) == _HEADER_SIZE:
        return tpdu[_P3] or _MAX_PART
    if not _brings_data(tpdu):
        return 0
    if not tpdu[_P3]:
        return _MAX_PART  # extended length
    if len(tpdu) > _HEADER_SIZE + tpdu[_P3]:
        return tpdu[_HEADER_SIZE + tpdu[_P3]] or _MAX_PART
    return 0
