# SPDX-License-Identifier: Apache-2.0
"""The PN532 as a card of ISO 14443-4. NXP UM0701-02, sections 7.3.14 to 7.3.21."""

from firmware.reader.pn532_errors import check
from firmware.reader.ports import ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.pn532_link import ChipLink

_TG_GET_DATA = 0x86
_TG_GET_TARGET_STATUS = 0x8A
_TG_INIT_AS_TARGET = 0x8C
_TG_SET_DATA = 0x8E
_TG_SET_META_DATA = 0x94

_PASSIVE_AND_PICC_ONLY = 0x05
_SENS_RES = b"\x04\x00"  # as any card with a single-size number
_SEL_RES = b"\x20"  # ISO 14443-4, no NFC-DEP
_NO_FELICA = bytes(18)
_NO_NFCID3 = bytes(10)
_IS_PICC = 0x08  # of the mode in TgInitAsTarget's answer
_ACTIVATED = (0x01, 0x81)
_MORE = 0x40

MAX_DATA = 262  # bytes of data in one command, in either direction
MAX_HISTORICAL = 15  # an ATS of 20 bytes has room for no more
UID_SIZE = 3  # the fourth, in front, is always 08

_MS = 100
_SET_MS = 5_000  # the longest waiting time that ISO 14443-4 knows
_LIKELY_BODY = 72


class Target:
    """The commands for a chip that is a card. Each may raise ReaderError."""

    def __init__(self, link: "ChipLink") -> None:
        self._link = link

    def init(self, uid: bytes, historical: bytes, wait_ms: int) -> bool:
        """Waits for a reader that activates ISO 14443-4; whether that is what it did.

        Raises TooLate where none came in time: asked again, the chip goes on waiting. Raises
        ValueError for a uid or historical bytes of another size.
        """
        if len(uid) != UID_SIZE or len(historical) > MAX_HISTORICAL:
            raise ValueError("a card's number has 3 bytes, its history at most 15")
        data = bytes([_PASSIVE_AND_PICC_ONLY]) + _SENS_RES + uid + _SEL_RES
        data += _NO_FELICA + _NO_NFCID3 + b"\x00" + bytes([len(historical)]) + historical
        answer = self._link.run(_TG_INIT_AS_TARGET, data, wait_ms, keep=True)
        if not answer:
            raise ReaderError("the reader chip does not say how it was activated")
        return bool(answer[0] & _IS_PICC)

    def get_data(self, wait_ms: int) -> "tuple[bytes, bool]":
        """What the reader sends, and whether more follows. Raises CardGone too.

        Raises TooLate where nothing came in time: asked again, the chip goes on waiting. To ask
        it anything else ends that, and loses what came in that moment.
        """
        answer = self._link.run(_TG_GET_DATA, b"", wait_ms, _LIKELY_BODY, keep=True)
        status = _status(answer)
        check(status, context_is_card=True)
        return answer[1:], bool(status & _MORE)

    def set_data(self, data: bytes, more: bool) -> None:
        """Answers with up to MAX_DATA bytes; more: others follow. Raises CardGone too."""
        if len(data) > MAX_DATA:
            raise ValueError("an answer carries no more than %d bytes" % MAX_DATA)
        code = _TG_SET_META_DATA if more else _TG_SET_DATA
        check(_status(self._link.run(code, data, _SET_MS)), context_is_card=True)

    def is_activated(self) -> bool:
        """Whether a reader still holds the chip."""
        return _status(self._link.run(_TG_GET_TARGET_STATUS, b"", _MS)) in _ACTIVATED


def _status(answer: bytes) -> int:
    if not answer:
        raise ReaderError("the reader chip's answer has no status")
    return answer[0]
