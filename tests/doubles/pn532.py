# SPDX-License-Identifier: Apache-2.0
"""A PN532 (NXP), firmware 1.6, written from its user manual UM0701-02 and its data sheet.

It knows nothing of a driver. Where the manual leaves a choice it is the stricter chip: until
SAMConfiguration ends its low-battery mode it carries out no command that needs the antenna.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from tests.doubles.pn532_frames import (
    ACK,
    ACK_DEFECTS,
    ANSWER_DEFECTS,
    DEAF,
    ENDLESS,
    LINK_DEFECTS,
    SYNTAX_ERROR,
    TO_CHIP,
    Listener,
    encode,
)
from tests.doubles.pn532_initiator import Initiator
from tests.doubles.pn532_target import Target
from tests.doubles.pn532_time import ModelledTime
from tests.doubles.rf_field import Field

FIRMWARE = bytes([0x32, 0x01, 0x06, 0x07])  # IC, version, revision, support
WAKE_US = 1_000  # from the first sign of life on the bus, data sheet: about 1 ms
_ACK_US = 100  # the manual gives no figures for its own program: these are assumed
_COMMAND_US = 300
_NEVER_STEP_US = 10_000

BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1288000)
ISO14443_4_PICC, BARE_FRAMES = 0x20, 0x40  # of SetParameters
_DEFAULT_PARAMETERS = 0x14  # automatic ATR_RES and RATS
_NEEDS_ANTENNA = 0x32  # this command code and those above it
_DEFAULT_REGISTERS = {0x6302: 0x80, 0x6303: 0x80}  # CIU_TxMode, CIU_RxMode: with CRC, 106 kbit/s

Result = bytes | None  # what follows the answer's code; None: a syntax error
Handler = Callable[[bytes], "Result | Generator[None, None, Result]"]


@dataclass
class Outgoing:
    """A frame for the host, and when it is there."""

    ready_us: int
    data: bytes


class Pn532Double:
    """One chip with one antenna. A bus of `pn532_buses` stands between it and its host.

    executed: the codes of the commands that it carried out. deaf: while true, no frame is heard.
    """

    def __init__(self, field: Field | None = None, time: ModelledTime | None = None) -> None:
        self.time = time or ModelledTime()
        self.field = field or Field()
        self.executed: list[int] = []
        self.commands: list[bytes] = []  # each command's code and data, as the host sent it
        self.deaf = False
        self._defects: list[tuple[str, bool]] = []
        self.registers: dict[int, int] = {}
        self.initiator = Initiator(self)
        self.target = Target(self)
        self.reset()

    # -- power -------------------------------------------------------------------------------

    def reset(self) -> None:
        """RSTPDN, or the power came back: everything is forgotten, and it sleeps."""
        self.awake = False
        self.normal = False  # SAMConfiguration has ended the low-battery mode
        self.sam_mode = 0
        self.baud_rate = 115_200
        self.parameters = _DEFAULT_PARAMETERS
        self.last_error = 0
        self.registers.clear()
        self.registers.update(_DEFAULT_REGISTERS)
        self._gpio = [0x3F, 0x06]
        self._awake_us: int | None = None
        self._sleeps_next = False
        self._new_baud_rate = 0
        self._queue: deque[Outgoing] = deque()
        self._last = b""  # the last answer, for a NAK
        self._running: Generator[None, None, Result] | None = None
        self._listener = Listener()
        self._code = 0
        self._defect: tuple[str, bool] = ("", False)
        self.initiator.reset()
        self.target.reset()

    def stir(self) -> bool:
        """A sign of life on the bus: it wakes. Whether it is awake already and hears this."""
        if not self.awake and self._awake_us is None:
            self._awake_us = self.time.now_us + WAKE_US
        return self.is_awake()

    def is_awake(self) -> bool:
        """Whether it hears what is said now; one that was woken needs a moment."""
        if self._awake_us is not None and self.time.now_us >= self._awake_us:
            self.awake = True
            self._awake_us = None
        return self.awake

    # -- defects -----------------------------------------------------------------------------

    def spoil(self, name: str, times: int = 1, lasting: bool = False) -> None:
        """The next commands' link has this defect, in the order of the calls.

        lasting: an answer that is repeated after a NAK is spoilt again. Names: LINK_DEFECTS.
        """
        if name not in LINK_DEFECTS:
            raise ValueError(name)
        self._defects += [(name, lasting)] * times

    # -- the host's link ---------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """A command runs, and needs more time or something from outside."""
        return self._running is not None

    @property
    def has_answer(self) -> bool:
        """A frame waits for the host, or will when its time has come."""
        return bool(self._queue)

    @property
    def next_us(self) -> int | None:
        """When it may have something to say next; None: not before the host speaks."""
        if self._queue:
            return self._queue[0].ready_us
        return self.time.work_us if self._running is not None else None

    def hear(self, data: bytes) -> None:
        """Bytes from the host, to a chip that is awake."""
        for frame in self._listener.feed(data):
            if self.deaf:
                continue
            if frame.kind == "ack":
                self._stop()
                self._change_baud_rate()
            elif frame.kind == "nak":
                self._stop()
                self._say(self._spoilt(self._last) if self._defect[1] else self._last)
            else:
                self._stop()
                self._begin(frame.body)

    def end_transaction(self) -> None:
        """On SPI and I2C: what came is all that comes of this frame."""
        self._listener.forget()
        self.rest()

    def rest(self) -> None:
        """The link is quiet: it sleeps if it was told to, once its answer is gone."""
        if self._sleeps_next and not self._queue:
            self._sleeps_next = False
            self.awake = False

    def is_ready(self) -> bool:
        """Whether a frame waits for the host."""
        if not self._queue:
            self.poll()
        return bool(self._queue) and self._queue[0].ready_us <= self.time.now_us

    def take(self) -> Outgoing | None:
        """The next frame, if it is there."""
        if not self.is_ready():
            return None
        return self._queue.popleft()

    def poll(self) -> None:
        """Lets a command that runs go on, if its time has come."""
        if self._running is not None and self.time.now_us >= self.time.work_us:
            self._go_on()

    def _say(self, data: bytes) -> None:
        if data:
            ready_us = max(self.time.now_us, self.time.work_us)
            self._queue.append(Outgoing(ready_us, data))

    def _spoilt(self, frame: bytes) -> bytes:
        spoil = ANSWER_DEFECTS.get(self._defect[0])
        return frame if spoil is None else spoil(frame)

    def _stop(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None
        self._queue.clear()
        self.time.work_us = self.time.now_us

    # -- commands ----------------------------------------------------------------------------

    def _begin(self, body: bytes) -> None:
        self._defect = self._defects.pop(0) if self._defects else ("", False)
        if self._defect[0] == DEAF:
            return
        self.time.in_chip(_ACK_US)
        self._say(ACK_DEFECTS.get(self._defect[0], bytes)(ACK))
        self.time.in_chip(_COMMAND_US)
        code = body[1] if len(body) > 1 else -1
        handler = self._handlers().get(code)
        allowed = self.normal or code < _NEEDS_ANTENNA
        if body[0] != TO_CHIP or handler is None or not allowed:
            self._finish(None)
            return
        self.executed.append(code)
        self.commands.append(body[1:])
        self._code = code
        result = handler(body[2:])
        if isinstance(result, Generator):
            self._running = result
        else:
            self._finish(result)

    def _go_on(self) -> None:
        assert self._running is not None
        try:
            next(self._running)
        except StopIteration as end:
            self._running = None
            self._finish(end.value)

    def _finish(self, result: Result) -> None:
        if self._defect[0] == ENDLESS:
            self._running = self._never()
            return
        if result is None:
            self._last = SYNTAX_ERROR
        else:
            bare = bool(self.parameters & BARE_FRAMES)
            self._last = encode(bytes([self._code + 1]) + result, bare=bare)
        self._say(self._spoilt(self._last))

    def _handlers(self) -> dict[int, Handler]:
        own: dict[int, Handler] = {
            0x00: self._diagnose,
            0x02: lambda data: None if data else FIRMWARE,
            0x04: self._general_status,
            0x06: self._read_register,
            0x08: self._write_register,
            0x0C: lambda data: None if data else bytes([*self._gpio, 0x00]),
            0x0E: self._write_gpio,
            0x10: self._set_baud_rate,
            0x12: self._set_parameters,
            0x14: self._sam_configuration,
            0x16: self._power_down,
        }
        return own | self.initiator.handlers() | self.target.handlers()

    def _diagnose(self, data: bytes) -> Result:
        """Communication line, ROM, RAM, echo in the air, presence of a card, antenna."""
        if not data or data[0] not in (0, 1, 2, 4, 5, 6, 7):
            return None
        test, rest = data[0], data[1:]
        if test == 0:
            return data
        if test in (1, 2):
            return b"\x00"
        if test == 6:
            return bytes([self.initiator.attention()]) if self.normal else None
        if test == 7:
            return b"\x00" if len(rest) == 1 else None
        return b"\x01"  # nobody of FeliCa's kind answers

    def _general_status(self, data: bytes) -> Result:
        if data:
            return None
        head = bytes([self.last_error, self.target.sees_field, len(self.initiator.targets)])
        each = b"".join(bytes([number, 0, 0, 0]) for number in self.initiator.targets)
        return head + each + b"\x00"

    def _read_register(self, data: bytes) -> Result:
        if not data or len(data) % 2:
            return None
        places = [data[at] << 8 | data[at + 1] for at in range(0, len(data), 2)]
        return bytes(self.registers.get(place, 0) for place in places)

    def _write_register(self, data: bytes) -> Result:
        if not data or len(data) % 3:
            return None
        for at in range(0, len(data), 3):
            self.registers[data[at] << 8 | data[at + 1]] = data[at + 2]
        return b""

    def _write_gpio(self, data: bytes) -> Result:
        if len(data) != 2:
            return None
        for port, value in enumerate(data):
            if value & 0x80:
                self._gpio[port] = value & 0x7F
        return b""

    def _set_baud_rate(self, data: bytes) -> Result:
        if len(data) != 1 or data[0] >= len(BAUD_RATES):
            return None
        self._new_baud_rate = BAUD_RATES[data[0]]
        return b""

    def _change_baud_rate(self) -> None:
        """It changes once the host has acknowledged the answer."""
        if self._new_baud_rate:
            self.baud_rate, self._new_baud_rate = self._new_baud_rate, 0

    def _set_parameters(self, data: bytes) -> Result:
        if len(data) != 1 or data[0] & 0x88:
            return None
        self.parameters = data[0]
        return b""

    def _sam_configuration(self, data: bytes) -> Result:
        """Mode 1 is normal; 2 needs a timeout; the third byte says whether P70_IRQ is driven."""
        if not 1 <= len(data) <= 3 or not 1 <= data[0] <= 4:
            return None
        self.sam_mode = data[0]
        self.normal = True
        return b""

    def _power_down(self, data: bytes) -> Result:
        if not 1 <= len(data) <= 2:
            return None
        self.initiator.forget()
        self.field.switch(False)
        self._sleeps_next = True
        return b"\x00"

    def _never(self) -> Generator[None, None, Result]:
        while True:
            self.time.idle(_NEVER_STEP_US)
            yield
