# SPDX-License-Identifier: Apache-2.0
"""An ATECC608 on a simulated I2C bus, written from its data sheets' packet formats alone.

It knows nothing of the driver. Where the public data sheets leave a choice it is the stricter
chip: GENKEY and COUNTER want the configuration locked, SIGN wants both zones locked.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from tests.doubles.i2c_bus import SimulatedClock

SLEEPING, IDLE, ACTIVE = "sleeping", "idle", "active"

OK, MISCOMPARE, PARSE, ECC_FAULT, EXECUTION = 0x00, 0x01, 0x03, 0x05, 0x0F
AFTER_WAKE, WATCHDOG, BAD_CRC = 0x11, 0xEE, 0xFF

COUNTER_MAX = 2_097_151
_WAKE_LOW_US = 60
_WAKE_HIGH_US = 1_500
_CRC_ERROR_US = 300
_READ_ONLY = (*range(16), 84, 85, 86, 87)

# opcode: (typical ms, longest ms) of the data sheet's table
_TIMES = {
    0x02: (1, 5),  # READ
    0x12: (7, 45),  # WRITE
    0x16: (1, 20),  # NONCE
    0x17: (8, 35),  # LOCK
    0x1B: (1, 23),  # RANDOM
    0x24: (5, 25),  # COUNTER
    0x30: (1, 5),  # INFO
    0x40: (59, 115),  # GENKEY
    0x41: (50, 115),  # SIGN
    0x45: (58, 105),  # VERIFY
}

# What it answers, and what it will have done to its EEPROM when it answers.
Outcome = tuple[int | bytes, Callable[[], None] | None]


def chip_crc(data: bytes) -> bytes:
    """The CRC by another way than the driver's: the mirrored register, turned round at the end."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return int(f"{register:016b}"[::-1], 2).to_bytes(2, "little")


def packed(content: int | bytes) -> bytes:
    """A status or data as the group that is read: count, content, CRC."""
    body = bytes([content]) if isinstance(content, int) else content
    group = bytes([len(body) + 3]) + body
    return group + chip_crc(group)


def encoded_counter(value: int) -> bytes:
    """A counter as the configuration zone holds it: two unary parts, two binary ones."""
    late = value - 16 if value >= 16 else 0
    parts = (0xFFFF >> value % 32, 0xFFFF >> late % 32, value // 32, late // 32)
    return b"".join(part.to_bytes(2, "big") for part in parts)


def _factory_config() -> bytearray:
    """A chip as it comes, as read from several and published; the number is its own."""
    config = bytearray(128)
    config[0:4] = bytes([0x01, 0x23]) + secrets.token_bytes(2)
    config[4:8] = bytes([0x00, 0x00, 0x60, 0x02])
    config[8:13] = secrets.token_bytes(4) + bytes([0xEE])
    config[13:20] = bytes([0xC1, 0x39, 0x00, 0xC0, 0x00, 0x00, 0x00])
    config[20:36] = bytes.fromhex("832087208f20c48f8f8f8f8f9f8faf8f")
    config[50:52] = bytes([0xAF, 0x8F])
    config[52:68] = 2 * encoded_counter(0)
    config[86:90] = bytes([0x55, 0x55, 0xFF, 0xFF])
    config[96:128] = bytes.fromhex(3 * "3300" + 5 * "1c00" + 7 * "3c00" + "1c00")
    return config


@dataclass
class Eeprom:
    """What the chip keeps without power."""

    config: bytearray = field(default_factory=_factory_config)
    keys: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    counters: list[int] = field(default_factory=lambda: [0, 0])


class Atecc608Double:
    """One chip. What may go wrong is set from outside:

    slow: every command takes the longest that it may.
    garbled_answers, garbled_commands: how many of the next ones lose a bit on the bus.
    steps: what the next increments of a counter add, where it is not one.
    torn_steps: what an increment that loses its power has added; a torn GENKEY leaves no key.
    before: by opcode and mode, what happens just before the next such command arrives.
    warns: whether it refuses what its watchdog would not let it end; else it begins, and sleeps.
    ecc_faults: how many of the next computations on the curve fail.
    """

    def __init__(self, clock: SimulatedClock, watchdog_ms: int = 1_300) -> None:
        self.eeprom = Eeprom()
        self.slow = False
        self.garbled_answers = 0
        self.garbled_commands = 0
        self.steps: list[int] = []
        self.torn_steps = 0
        self.before: dict[tuple[int, int], Callable[[], object]] = {}
        self.warns = True
        self.ecc_faults = 0
        self.executed: list[int] = []  # opcodes that were carried out
        self.wakes = 0
        self.strikes = 0  # of the watchdog
        self.warnings = 0  # that it was near, to a host that had not thought of it
        self._clock = clock
        self._watchdog_us = 1000 * watchdog_ms
        self._forget()

    # -- power -------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """SLEEPING, IDLE or ACTIVE, at this moment."""
        self._catch_up()
        return self._state

    @property
    def left_ms(self) -> int:
        """Until the watchdog strikes."""
        return (self._sleeps_us - self._clock.now_us) // 1000

    def cut_power(self) -> None:
        """Power goes and comes back; a command in the middle is torn."""
        self._catch_up()
        self._tear()
        self._forget()

    def _forget(self) -> None:
        self._state = SLEEPING
        self._buffers: dict[str, bytes] = {}
        self._answer = b""
        self._pointer = 0
        self._ready_us = 0
        self._sleeps_us = 0
        self._pending: tuple[int, Callable[[], None]] | None = None  # opcode, effect

    def _catch_up(self) -> None:
        """What time has done: a command ended, the watchdog struck, whichever came first."""
        if self._state != ACTIVE:
            return
        now = self._clock.now_us
        if self._pending is not None and self._ready_us <= min(now, self._sleeps_us):
            effect = self._pending[1]
            self._pending = None
            effect()
        if now >= self._sleeps_us:
            self.strikes += 1
            self._tear()
            self._forget()

    def _tear(self) -> None:
        if self._pending is None:
            return
        opcode, effect = self._pending
        if opcode == 0x24 and self.torn_steps:
            self.steps.insert(0, self.torn_steps)
            effect()
        elif opcode == 0x40:
            effect()
            self.eeprom.keys.popitem()
        self._pending = None

    # -- the bus -----------------------------------------------------------------------------

    def line_low(self, duration_us: int) -> None:
        """SDA low: it wakes a chip that is not awake."""
        self._catch_up()
        if self._state == ACTIVE or duration_us < _WAKE_LOW_US:
            return
        self._state = ACTIVE
        self.wakes += 1
        self._ready_us = self._clock.now_us + _WAKE_HIGH_US
        self._sleeps_us = self._clock.now_us + self._watchdog_us
        self._put(AFTER_WAKE)

    def receive(self, data: bytes) -> bool:
        """A write; asleep, idle or busy it does not acknowledge."""
        if data[0] == 0x03 and (data[2], data[3]) in self.before:
            self.before.pop((data[2], data[3]))()
        if not self._is_listening():
            return False
        word, rest = data[0], data[1:]
        if word == 0x00:
            self._pointer = 0
        elif word == 0x01:
            self._forget()
        elif word == 0x02:
            self._state = IDLE
        elif word == 0x03:
            self._command(rest)
        return True

    def deliver(self, size: int) -> bytes | None:
        """A read goes on where the last one ended; beyond the answer there are ones."""
        if not self._is_listening():
            return None
        data = self._answer[self._pointer : self._pointer + size]
        self._pointer += size
        if self.garbled_answers and len(data) > 1:
            self.garbled_answers -= 1
            data = data[:1] + bytes([data[1] ^ 0x10]) + data[2:]
        return data + b"\xff" * (size - len(data))

    def _is_listening(self) -> bool:
        self._catch_up()
        return self._state == ACTIVE and self._clock.now_us >= self._ready_us

    def _put(self, content: int | bytes) -> None:
        self._answer = packed(content)
        self._pointer = 0

    # -- commands ----------------------------------------------------------------------------

    def _command(self, group: bytes) -> None:
        now = self._clock.now_us
        if self.garbled_commands:
            self.garbled_commands -= 1
            group = group[:-1] + bytes([group[-1] ^ 0x01])
        if len(group) < 7 or group[0] != len(group) or chip_crc(group[:-2]) != group[-2:]:
            self._ready_us = now + _CRC_ERROR_US
            self._put(BAD_CRC)
            return
        opcode, mode, parameter = group[1], group[2], int.from_bytes(group[3:5], "little")
        handler = self._handlers().get(opcode)
        if handler is None:
            self._put(PARSE)
            return
        duration_us = 1000 * _TIMES[opcode][self.slow]
        if self.warns and now + duration_us > self._sleeps_us:
            self.warnings += 1
            self._put(WATCHDOG)
            return
        self.executed.append(opcode)
        content, effect = handler(mode, parameter, group[5:-2])
        if self.ecc_faults and opcode in (0x40, 0x41, 0x45) and content not in (PARSE, EXECUTION):
            self.ecc_faults -= 1
            content, effect = ECC_FAULT, None
        self._put(content)
        self._ready_us = now + duration_us
        if effect is not None:
            self._pending = (opcode, effect)

    def _handlers(self) -> dict[int, Callable[[int, int, bytes], Outcome]]:
        return {
            0x02: self._read,
            0x12: self._write,
            0x16: self._nonce,
            0x17: self._lock,
            0x1B: self._random,
            0x24: self._counter,
            0x30: self._info,
            0x40: self._genkey,
            0x41: self._sign,
            0x45: self._verify,
        }

    @property
    def _config(self) -> bytearray:
        return self.eeprom.config

    @property
    def _config_locked(self) -> bool:
        return self._config[87] != 0x55

    @property
    def _data_locked(self) -> bool:
        return self._config[86] != 0x55

    def _slot(self, number: int) -> tuple[int, int]:
        """SlotConfig and KeyConfig as numbers."""
        slot = int.from_bytes(self._config[20 + 2 * number : 22 + 2 * number], "little")
        key = int.from_bytes(self._config[96 + 2 * number : 98 + 2 * number], "little")
        return slot, key

    def _is_slot_locked(self, number: int) -> bool:
        return not int.from_bytes(self._config[88:90], "little") >> number & 1

    def _zone(self) -> bytes:
        counters = b"".join(encoded_counter(value) for value in self.eeprom.counters)
        return bytes(self._config[:52]) + counters + bytes(self._config[68:])

    def _read(self, mode: int, parameter: int, data: bytes) -> Outcome:
        size = 32 if mode & 0x80 else 4
        if mode & 0x7F == 2:
            return EXECUTION, None  # no slot of these tests may be read
        if mode & 0x7F or parameter > 31 or (size == 32 and parameter % 8) or data:
            return PARSE, None
        return self._zone()[4 * parameter : 4 * parameter + size], None

    def _write(self, mode: int, parameter: int, data: bytes) -> Outcome:
        size = 32 if mode & 0x80 else 4
        if mode & 0x7F == 2:
            return EXECUTION, None  # nor written in the clear
        start = 4 * parameter
        if mode & 0x7F or parameter > 31 or len(data) != size or start + size > 128:
            return PARSE, None
        places = range(start, start + size)
        if self._config_locked or any(place in _READ_ONLY for place in places):
            return EXECUTION, None

        def keep() -> None:
            self._config[start : start + size] = data

        return OK, keep

    def _lock(self, mode: int, parameter: int, data: bytes) -> Outcome:
        what = mode & 0x03
        if data or what == 3 or (what == 2 and mode & 0x80):
            return PARSE, None
        if what == 2:
            return self._lock_slot(mode >> 2 & 0x0F)
        if what == 1:
            place, good = 86, self._config_locked and not self._data_locked
        else:
            place, good = 87, not self._config_locked
        seen = what == 1 or parameter == int.from_bytes(chip_crc(self._zone()), "little")
        if not good or not (seen or mode & 0x80):
            return EXECUTION, None
        return OK, lambda: self._config.__setitem__(place, 0x00)

    def _lock_slot(self, number: int) -> Outcome:
        lockable = self._slot(number)[1] & 0x20
        if not self._config_locked or not lockable or self._is_slot_locked(number):
            return EXECUTION, None
        left = int.from_bytes(self._config[88:90], "little") & ~(1 << number)
        return OK, lambda: self._config.__setitem__(slice(88, 90), left.to_bytes(2, "little"))

    def _info(self, mode: int, parameter: int, data: bytes) -> Outcome:
        if data or mode > 1 or parameter > 15:
            return PARSE, None
        if mode == 0:
            return bytes(self._config[4:8]), None
        return bytes([0, 0, 0, parameter in self.eeprom.keys]), None

    def _random(self, mode: int, parameter: int, data: bytes) -> Outcome:
        if data or mode > 1 or parameter:
            return PARSE, None
        return secrets.token_bytes(32) if self._config_locked else b"\xff\xff\0\0" * 8, None

    def _nonce(self, mode: int, parameter: int, data: bytes) -> Outcome:
        target = {0x03: "temp key", 0x43: "digest buffer"}.get(mode)
        if target is None or parameter or len(data) != 32:
            return PARSE, None
        self._buffers[target] = data
        return OK, None

    def _counter(self, mode: int, parameter: int, data: bytes) -> Outcome:
        if data or mode > 1 or parameter > 1:
            return PARSE, None
        value = self.eeprom.counters[parameter]
        if not self._config_locked or (mode == 1 and value >= COUNTER_MAX):
            return EXECUTION, None
        if mode == 0:
            return value.to_bytes(4, "little"), None

        def count() -> None:
            step = self.steps.pop(0) if self.steps else 1
            self.eeprom.counters[parameter] = min(value + step, COUNTER_MAX)
            self._put(self.eeprom.counters[parameter].to_bytes(4, "little"))

        return OK, count

    def _genkey(self, mode: int, parameter: int, data: bytes) -> Outcome:
        if data or mode not in (0x00, 0x04) or parameter > 15:
            return PARSE, None
        slot, key = self._slot(parameter)
        if not self._config_locked or key & 0x1D != 0x11:  # private, P-256
            return EXECUTION, None
        if mode == 0x00:
            known = self.eeprom.keys.get(parameter)
            if known is None or not key & 0x02:
                return EXECUTION, None
            return _point(known), None
        if not slot & 0x2000 or self._is_slot_locked(parameter):
            return EXECUTION, None
        fresh = ec.generate_private_key(ec.SECP256R1())

        def keep() -> None:
            self.eeprom.keys.pop(parameter, None)
            self.eeprom.keys[parameter] = fresh

        return _point(fresh), keep

    def _sign(self, mode: int, parameter: int, data: bytes) -> Outcome:
        source = {0x80: "temp key", 0xA0: "digest buffer"}.get(mode)
        if data or source is None or parameter > 15:
            return PARSE, None
        digest = self._buffers.pop(source, None)
        key = self.eeprom.keys.get(parameter)
        allowed = self._config_locked and self._data_locked and self._slot(parameter)[0] & 0x01
        if digest is None or key is None or not allowed:
            return EXECUTION, None
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big"), None

    def _verify(self, mode: int, parameter: int, data: bytes) -> Outcome:
        source = {0x02: "temp key", 0x22: "digest buffer"}.get(mode)
        if source is None or parameter != 4 or len(data) != 128:
            return PARSE, None
        digest = self._buffers.pop(source, None)
        if digest is None:
            return EXECUTION, None
        r, s, x, y = (int.from_bytes(data[at : at + 32], "big") for at in range(0, 128, 32))
        try:
            key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        except ValueError:
            return ECC_FAULT, None
        try:
            signature = encode_dss_signature(r, s)
            key.verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        except InvalidSignature:
            return MISCOMPARE, None
        return OK, None


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
