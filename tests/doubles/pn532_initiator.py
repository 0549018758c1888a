# SPDX-License-Identifier: Apache-2.0
"""The PN532's double as a reader: the commands In… and RFConfiguration of its user manual."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from tests.doubles.pn532_blocks import (
    BUFFER_SIZE,
    CRC_ERROR,
    GUARD_US,
    OK,
    TIMEOUT,
    Found,
    Reader,
)
from tests.doubles.pn532_isodep_card import waiting_us
from tests.doubles.pn532_time import air_us
from tests.doubles.rf_field import RfFrame, crc_a, has_crc

if TYPE_CHECKING:
    from tests.doubles.pn532 import Handler, Pn532Double, Result

CONTEXT_ERROR = 0x27  # "command not acceptable due to the current context"
MORE = 0x40  # MI
FOR_EVER = 0xFF
TARGETS_MAX = 2
AUTOMATIC_RATS = 0x10
_TX_MODE, _RX_MODE, _CONTROL, _BIT_FRAMING = 0x6302, 0x6303, 0x633C, 0x633D
_WITH_CRC = 0x80
_ATTEMPT_US = 4_000  # one look around, without an answer
_ITEM_SIZES = {0x01: 1, 0x02: 3, 0x04: 1, 0x05: 3, 0x0A: 11, 0x0B: 8, 0x0C: 3, 0x0D: 9}
# What a card's SAK must have, by the kind that is looked for.
_AUTO_POLL_KINDS = {0x00: 0x00, 0x10: 0x08, 0x20: 0x20}


class Initiator:
    """Targets by their number, 1 or 2; one of them is active at a time."""

    def __init__(self, chip: Pn532Double) -> None:
        self._chip = chip
        self.reader = Reader(chip.field, chip.time)
        self.reset()

    def reset(self) -> None:
        """As after power-up."""
        self.forget()
        self.passive_retries = FOR_EVER
        self.configured: dict[int, bytes] = {}  # what RFConfiguration has set, by item
        self._chip.field.switch(False)

    def forget(self) -> None:
        """No target is known any more."""
        self.targets: dict[int, Found] = {}
        self._active = 0

    def handlers(self) -> dict[int, Handler]:
        """By command code."""
        return {
            0x32: self._rf_configuration,
            0x40: self._data_exchange,
            0x42: self._communicate_thru,
            0x44: lambda data: self._by_number(data, self._deselect),
            0x4A: self._list_passive_target,
            0x4E: lambda data: self._change_speed(data),
            0x52: lambda data: self._by_number(data, self._release),
            0x54: lambda data: self._by_number(data, self._select),
            0x56: self._jump_for_dep,
            0x60: self._auto_poll,
        }

    # -- the field ---------------------------------------------------------------------------

    def _rf_configuration(self, data: bytes) -> Result:
        if not data or _ITEM_SIZES.get(data[0]) != len(data) - 1:
            return None
        item, values = data[0], data[1:]
        self.configured[item] = values
        if item == 0x01:
            self._chip.field.switch(bool(values[0] & 0x01))
        elif item == 0x05:
            self.passive_retries = values[2]
        return b""

    def _field_on(self) -> None:
        if not self._chip.field.is_on:
            self._chip.field.switch(True)
            self._chip.time.in_air(GUARD_US)

    # -- finding -----------------------------------------------------------------------------

    def _list_passive_target(self, data: bytes) -> Result | Generator[None, None, Result]:
        """MaxTg and BrTy; for Type A the initiator's data may be a UID, with cascade tags."""
        if len(data) < 2 or not 1 <= data[0] <= TARGETS_MAX or data[1] > 4:
            return None
        known = data[2:] or None
        if known is not None and data[1] == 0:
            if len(known) not in (4, 8, 12):
                return None
            known = _without_tags(known)
        return self._look(data[0], data[1] == 0, known)

    def _look(self, most: int, type_a: bool, known: bytes | None) -> Generator[None, None, Result]:
        self._begin_search()
        attempts = 0
        while not self.targets:
            if type_a:
                self._find(most, known)
            if self.targets or attempts == self.passive_retries != FOR_EVER:
                break
            attempts += 1
            self._chip.time.in_air(_ATTEMPT_US)
            yield
        described = [
            bytes([number]) + self._describe(found) for number, found in self.targets.items()
        ]
        return bytes([len(described)]) + b"".join(described)

    def _begin_search(self) -> None:
        """The targets of before are let go, and need not be there."""
        self._chip.target.reset()
        if self._active and self._chip.field.is_on:
            self.reader.release(self.targets[self._active])
        self.forget()
        self._field_on()

    def _find(self, most: int, known: bytes | None = None) -> None:
        """Finds cards one after the other."""
        while len(self.targets) < most:
            if self.targets and not self._make_room():
                return
            found = self.reader.find(known)
            if found is None and not self.targets:
                found = self.reader.find(known, wake=True)
            if found is None:
                return
            automatic = self._chip.parameters & AUTOMATIC_RATS
            if found.sak & 0x20 and automatic and not self.reader.activate(found):
                return
            number = len(self.targets) + 1
            self.targets[number] = found
            self._active = number

    def _make_room(self) -> bool:
        """Puts the first card to sleep, so that the next can be chosen; False: there is none.

        A card that speaks blocks is deaf to requests: it is let sleep only if another answers.
        """
        first = self.targets[self._active]
        if first.speaks_isodep and not self.reader.hears_somebody():
            return False
        self.reader.release(first)
        self._active = 0
        return True

    def _describe(self, found: Found) -> bytes:
        """SENS_RES (the high byte first), SEL_RES, length and NFCID1, and the ATS."""
        head = bytes([found.atqa[1], found.atqa[0], found.sak, len(found.uid)])
        return head + found.uid + found.ats

    def _auto_poll(self, data: bytes) -> Result | Generator[None, None, Result]:
        """PollNr (FF: for ever), period in 150 ms, and the kinds that are looked for."""
        if len(data) < 3 or not data[0] or not 1 <= data[1] <= 15:
            return None
        return self._poll_for(data[0], data[1], data[2:])

    def _poll_for(self, times: int, period: int, kinds: bytes) -> Generator[None, None, Result]:
        self._begin_search()
        count = 0
        while True:
            for kind in kinds:
                wanted = _AUTO_POLL_KINDS.get(kind)
                if wanted is None:
                    continue
                self._find(1)
                found = self.targets.get(1)
                if found is not None and found.sak & wanted == wanted:
                    described = b"\x01" + self._describe(found)
                    return bytes([1, kind, len(described)]) + described
                if found is not None:
                    self.reader.release(found)
                self.forget()
            count += 1
            if count == times != FOR_EVER:
                return b"\x00"
            self._chip.time.in_air(150_000 * period)
            yield

    # -- exchanging --------------------------------------------------------------------------

    def _data_exchange(self, data: bytes) -> Result | Generator[None, None, Result]:
        if not data or len(data) - 1 > BUFFER_SIZE:
            return None
        found = self.targets.get(data[0] & 0x0F)
        if found is None or not self._chip.field.is_on:
            return self._status(CONTEXT_ERROR)
        return self._exchange(data[0] & 0x0F, found, data[1:], bool(data[0] & MORE))

    def _exchange(
        self, number: int, found: Found, data: bytes, unfinished: bool
    ) -> Generator[None, None, Result]:
        status = self._make_active(number)
        answer, more = b"", False
        if status == OK and found.speaks_isodep:
            status, answer, more = yield from self.reader.transact(found, data, unfinished)
        elif status == OK:
            status, answer, more = self.reader.raw(found, data)
        return self._status(status | (MORE if more else 0)) + answer

    def _make_active(self, number: int) -> int:
        """A target that is not active is chosen anew, and the other one sleeps."""
        if self._active == number and self.targets[number].active:
            return OK
        if self._active and self.targets[self._active].active:
            self.reader.release(self.targets[self._active])
        self._active = 0
        if not self.reader.find_again(self.targets[number]):
            return TIMEOUT
        self._active = number
        return OK

    def _communicate_thru(self, data: bytes) -> Result:
        """A frame as it is; the registers of the CIU say how many bits and whether with CRC.

        With no data it listens only, and here nobody speaks unasked.
        """
        if len(data) > BUFFER_SIZE + 2:
            return None
        registers, time = self._chip.registers, self._chip.time
        self._field_on()
        bits = registers.get(_BIT_FRAMING, 0) & 0x07
        sent = data + (crc_a(data) if registers[_TX_MODE] & _WITH_CRC and not bits else b"")
        time.in_air(air_us(len(sent)))
        answer = self._chip.field.exchange(RfFrame(sent, bits)) if data else None
        if answer is None:
            time.in_air(waiting_us(8))
            return self._status(TIMEOUT)
        time.in_air(answer.delay_us + air_us(len(answer.data)))
        registers[_CONTROL] = registers.get(_CONTROL, 0) & 0xF8 | answer.bits
        if not registers[_RX_MODE] & _WITH_CRC:
            return self._status(OK) + answer.data
        if not has_crc(answer.data):
            return self._status(CRC_ERROR)
        return self._status(OK) + answer.data[:-2]

    def attention(self) -> int:
        """Diagnose 6: whether the active card is still there."""
        found = self.targets.get(self._active)
        if found is None or not found.speaks_isodep:
            return CONTEXT_ERROR
        return self.reader.is_there(found)

    # -- choosing ----------------------------------------------------------------------------

    def _by_number(self, data: bytes, action: Callable[[int], int]) -> Result:
        """A command whose data is a target's number; 0 means all of them."""
        if len(data) != 1 or data[0] > TARGETS_MAX:
            return None
        numbers = [data[0]] if data[0] else list(self.targets)
        if any(number not in self.targets for number in numbers):
            return self._status(CONTEXT_ERROR)
        results = [action(number) for number in numbers]
        return self._status(max(results, default=OK))

    def _deselect(self, number: int) -> int:
        """It sleeps, and its number stays."""
        found = self.targets[number]
        if self._active == number:
            self._active = 0
            if self._chip.field.is_on and found.active and not self.reader.release(found):
                return TIMEOUT
        return OK

    def _release(self, number: int) -> int:
        """It sleeps, and is forgotten."""
        self._deselect(number)
        del self.targets[number]
        return OK

    def _select(self, number: int) -> int:
        return self._make_active(number)

    def _change_speed(self, data: bytes) -> Result:
        """InPSL: these cards know no more than 106 kbit/s."""
        if len(data) != 3 or data[1] > 2 or data[2] > 2:
            return None
        known = data[0] in self.targets
        return self._status(OK if known and data[1:] == b"\x00\x00" else CONTEXT_ERROR)

    def _jump_for_dep(self, data: bytes) -> Result:
        """No peer of NFCIP-1 is ever there."""
        if len(data) < 3:
            return None
        self._field_on()
        self._chip.time.in_air(waiting_us(8))
        return self._status(TIMEOUT) if not self.targets else self._status(CONTEXT_ERROR)

    def _status(self, status: int) -> bytes:
        if status & 0x3F:
            self._chip.last_error = status & 0x3F
        return bytes([status])


def _without_tags(uid: bytes) -> bytes:
    return b"".join(
        uid[at : at + 4] if at + 4 == len(uid) else uid[at + 1 : at + 4]
        for at in range(0, len(uid), 4)
    )
