# SPDX-License-Identifier: Apache-2.0
"""The commands of a CCID reader with one slot: each message of the computer has one answer.

    type u8 · size of the data u32 · slot u8 · sequence u8 · three bytes of the type's own · data

Little-endian. In an answer the three bytes are status, error and one of the type's own. Source:
USB-IF, Device Class: Smart Card CCID, revision 1.1, sections 6.1 (commands), 6.2 (answers and
errors). The commands are those that libccid gives to a reader at TPDU level with T=0.
"""

import sys

from firmware.reader.ports import CardGone, ReaderError
from firmware.reader.t0 import T0, answer_to_reset

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.reader.slot import Slot

HEADER_SIZE = 10
MAX_DATA = 261  # of dwMaxCCIDMessageLength 271: a short APDU with 255 bytes of data and an Le

_SLOT_AT = 5
_SEQUENCE_AT = 6
_OWN_AT = 7

_SET_PARAMETERS = 0x61
_POWER_ON = 0x62
_POWER_OFF = 0x63
_SLOT_STATUS = 0x65
_ESCAPE = 0x6B
_GET_PARAMETERS = 0x6C
_RESET_PARAMETERS = 0x6D
_TRANSFER = 0x6F

_DATA_BLOCK = 0x80
_STATUS = 0x81
_PARAMETERS = 0x82
_ESCAPED = 0x83

# Every command of CCID, and what it is answered with.
COMMANDS = {
    _SET_PARAMETERS: _PARAMETERS,
    _POWER_ON: _DATA_BLOCK,
    _POWER_OFF: _STATUS,
    _SLOT_STATUS: _STATUS,
    0x69: _DATA_BLOCK,  # Secure
    0x6A: _STATUS,  # T0APDU
    _ESCAPE: _ESCAPED,
    _GET_PARAMETERS: _PARAMETERS,
    _RESET_PARAMETERS: _PARAMETERS,
    0x6E: _STATUS,  # IccClock
    _TRANSFER: _DATA_BLOCK,
    0x71: _STATUS,  # Mechanical
    0x72: _STATUS,  # Abort
    0x73: 0x84,  # SetDataRateAndClockFrequency
}

_FAILED = 0x40  # bmCommandStatus, beside the state of the slot in the lowest bits

_NOT_SUPPORTED = 0x00  # bError; 1 to 127 is the place of the byte that is wrong
_WRONG_SIZE = 1
_WRONG_SLOT = 5
_WRONG_PARAMETER = 7
_WRONG_LEVEL = 8
_HARDWARE_ERROR = 0xFB
_MUTE = 0xFE

_T0_DEFAULTS = b"\x11\x00\x00\x0a\x00"  # section 6.2.3: Fi/Di, TCCKS, guard time, WI, clock stop
_MAX_POWER_SELECT = 3  # automatic, 5 V, 3 V, 1.8 V: all the same to a card that the field feeds
_SHORTEST_APDU = 4

# What libccid asks of a GemPC Twin when it opens the port.
_ASK_FIRMWARE = b"\x02"
_SET_NOTICES = b"\x01\x01"
_NOTICES_BEFORE_ANSWERS = b"\x01"
FIRMWARE = b"Qalta reader 1"  # at most 49 bytes


def data_size(header: bytes) -> int:
    """How many bytes of data a message says that it has."""
    return int.from_bytes(header[1:5], "little")


class _Failed(Exception):
    """A command that fails; its argument is bError."""


class Ccid:
    """Answers messages on behalf of one slot."""

    def __init__(self, slot: "Slot") -> None:
        self._slot = slot
        self._t0 = T0(slot)
        self._parameters = _T0_DEFAULTS
        self.wants_notices = False  # of card movement, before the next answer
        self._actions = {
            _SET_PARAMETERS: self._set_parameters,
            _POWER_ON: self._power_on,
            _POWER_OFF: self._power_off,
            _SLOT_STATUS: self._slot_status,
            _ESCAPE: self._escape,
            _GET_PARAMETERS: self._get_parameters,
            _RESET_PARAMETERS: self._reset_parameters,
            _TRANSFER: self._transfer,
        }

    def process(self, message: bytes) -> bytes:
        """The answer to a whole message whose type is among COMMANDS. Never raises."""
        kind, slot, sequence = message[0], message[_SLOT_AT], message[_SEQUENCE_AT]
        data, status = b"", 0
        try:
            data, error = self.dispatch(message), 0
        except _Failed as failed:
            status, error = _FAILED, failed.args[0]
        size = len(data)
        head = bytes((COMMANDS[kind], size & 0xFF, size >> 8, 0, 0, slot, sequence))
        return head + bytes((status | self._slot.state, error, 0)) + data

    def dispatch(self, message: bytes) -> bytes:
        """The data of a command's answer. Raises _Failed, and nothing else."""
        action = self._actions.get(message[0])
        if message[_SLOT_AT]:
            raise _Failed(_WRONG_SLOT)
        if action is None:
            raise _Failed(_NOT_SUPPORTED)
        try:
            return action(message[_OWN_AT:HEADER_SIZE], message[HEADER_SIZE:])
        except _Failed:
            raise
        except (CardGone, ReaderError, OSError):
            raise _Failed(_MUTE) from None
        except Exception as error:  # MemoryError too: who waits must be answered, come what may
            _report(error)
            self.drop()
            raise _Failed(_HARDWARE_ERROR) from None

    def drop(self) -> None:
        """Something failed that should not: the card's session is over."""
        self._t0.forget()
        self._slot.drop()

    # -- one command, one method: the three bytes of its header, its data → the answer's data ----

    def _power_on(self, own: bytes, data: bytes) -> bytes:
        _require_size(data, 0)
        if own[0] > _MAX_POWER_SELECT:
            raise _Failed(_WRONG_PARAMETER)
        self._t0.forget()
        self._parameters = _T0_DEFAULTS
        return answer_to_reset(self._slot.power_on())

    def _power_off(self, own: bytes, data: bytes) -> bytes:
        _require_size(data, 0)
        self._t0.forget()
        self._slot.power_off()
        return b""

    def _slot_status(self, own: bytes, data: bytes) -> bytes:
        _require_size(data, 0)
        return b""

    def _transfer(self, own: bytes, data: bytes) -> bytes:
        if len(data) < _SHORTEST_APDU:
            raise _Failed(_WRONG_SIZE)
        if own[1] or own[2]:
            raise _Failed(_WRONG_LEVEL)  # a part of something longer: not at TPDU level
        return self._t0.exchange(data)

    def _set_parameters(self, own: bytes, data: bytes) -> bytes:
        if own[0]:
            raise _Failed(_WRONG_PARAMETER)  # T=1
        _require_size(data, len(_T0_DEFAULTS))
        self._parameters = data
        return data

    def _get_parameters(self, own: bytes, data: bytes) -> bytes:
        _require_size(data, 0)
        return self._parameters

    def _reset_parameters(self, own: bytes, data: bytes) -> bytes:
        _require_size(data, 0)
        self._parameters = _T0_DEFAULTS
        return self._parameters

    def _escape(self, own: bytes, data: bytes) -> bytes:
        if data == _ASK_FIRMWARE:
            return FIRMWARE
        if len(data) == 3 and data[:2] == _SET_NOTICES:
            self.wants_notices = data[2:] == _NOTICES_BEFORE_ANSWERS
            return b""
        raise _Failed(_NOT_SUPPORTED)


def _require_size(data: bytes, size: int) -> None:
    if len(data) != size:
        raise _Failed(_WRONG_SIZE)


def _report(error: Exception) -> None:
    # On a board stderr may be the line itself; only on a PC it is a log.
    if sys.platform == "linux" and hasattr(sys, "print_exception"):
        sys.print_exception(error, sys.stderr)
