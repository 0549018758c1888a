# SPDX-License-Identifier: Apache-2.0
"""Cards for the field of an antenna, Type A: found and chosen as ISO/IEC 14443-3 has it."""

from __future__ import annotations

import threading

from tests.doubles.rf_field import RfFrame, crc_a, from_bits, has_crc, to_bits

OFF, IDLE, READY, ACTIVE, HALTED, PROTOCOL = "off", "idle", "ready", "active", "halted", "protocol"

REQA, WUPA, HLTA = 0x26, 0x52, b"\x50\x00"
SELECT_CODES = (0x93, 0x95, 0x97)
CASCADE_TAG = 0x88
_SAK_UID_INCOMPLETE = 0x04
_WHOLE_UID = 0x70


def cascade_levels(uid: bytes) -> list[bytes]:
    """The five bytes of each level: four of the number, or a cascade tag and three; their XOR."""
    if len(uid) not in (4, 7, 10):
        raise ValueError("a UID has 4, 7 or 10 bytes")
    parts = []
    while len(uid) > 4:
        parts.append(bytes([CASCADE_TAG]) + uid[:3])
        uid = uid[3:]
    parts.append(uid)
    return [part + bytes([part[0] ^ part[1] ^ part[2] ^ part[3]]) for part in parts]


class Picc:
    """A card up to its selection; what it does then is for a subclass.

    atqa: two bytes, as they are sent. silent: it does not answer what comes after the selection.
    """

    def __init__(self, uid: bytes, sak: int, atqa: bytes | None = None) -> None:
        self.uid = uid
        self.sak = sak
        self.atqa = atqa or bytes([0x04 | (len(uid) // 3 - 1) << 6, 0x00])
        self.silent = False
        self.state = OFF
        self.guard: threading.RLock | None = None
        self._rest = IDLE  # where an error takes it back to
        self._level = 0

    # -- power -------------------------------------------------------------------------------

    def power(self, on: bool) -> None:
        """The field came or went."""
        if on and self.state == OFF:
            self.state = self._rest = IDLE
        elif not on and self.state != OFF:
            self.state = OFF
            self.lose_power()

    def lose_power(self) -> None:
        """What a subclass forgets."""

    def go_to_sleep(self) -> None:
        """HALT: only a wake-up gets an answer."""
        self.state = self._rest = HALTED

    # -- frames ------------------------------------------------------------------------------

    def hear(self, frame: RfFrame) -> RfFrame | None:
        """One frame of the reader."""
        if self.state == OFF or not frame.data:
            return None
        if self.state == PROTOCOL:
            return None if self.silent else self.hear_protocol(frame.data)
        if frame.bits == 7 and len(frame.data) == 1:
            return self._wake(frame.data[0])
        if self.state == READY:
            return self._choose(frame)
        if self.state == ACTIVE:
            if not has_crc(frame.data):
                return self._fall_back()
            if frame.data[:-2] == HLTA:
                self.go_to_sleep()
                return None
            return None if self.silent else self.hear_active(frame.data[:-2])
        return None

    def hear_active(self, data: bytes) -> RfFrame | None:
        """A command to a card that is selected, without its CRC."""
        return self._fall_back()

    def hear_protocol(self, data: bytes) -> RfFrame | None:
        """A block of ISO-DEP, with its CRC."""
        return None

    def _fall_back(self) -> RfFrame | None:
        """What it did not expect is met with silence."""
        self.state = self._rest
        return None

    def _wake(self, code: int) -> RfFrame | None:
        if self.state in (READY, ACTIVE):
            return self._fall_back()
        if code == WUPA or (code == REQA and self.state == IDLE):
            self.state = READY
            self._level = 0
            return RfFrame(self.atqa)
        return None

    def _choose(self, frame: RfFrame) -> RfFrame | None:
        """Anticollision or selection at the level that is reached."""
        levels = cascade_levels(self.uid)
        if len(frame.data) < 2 or frame.data[0] != SELECT_CODES[self._level]:
            return self._fall_back()
        mine = levels[self._level]
        if frame.data[1] == _WHOLE_UID:
            if not has_crc(frame.data) or frame.data[2:-2] != mine:
                return self._fall_back()
            self._level += 1
            if self._level < len(levels):
                return RfFrame(with_crc(bytes([_SAK_UID_INCOMPLETE])))
            self.state = ACTIVE
            return RfFrame(with_crc(bytes([self.sak])))
        known, own = to_bits(frame)[16:], to_bits(RfFrame(mine))
        if not own.startswith(known):
            return None
        return from_bits(own[len(known) :])


def with_crc(data: bytes) -> bytes:
    """A frame's bytes and its CRC."""
    return data + crc_a(data)


class PlainCard(Picc):
    """A card of another kind, say MIFARE Classic (SAK 08): no ISO-DEP, and no key of ours fits."""

    def __init__(self, uid: bytes = bytes.fromhex("deadbeef"), sak: int = 0x08) -> None:
        super().__init__(uid, sak)

    def hear_active(self, data: bytes) -> RfFrame | None:
        """Anything is refused with its 4-bit NAK, and it goes back to rest."""
        self._fall_back()
        return RfFrame(b"\x00", bits=4)
