# SPDX-License-Identifier: Apache-2.0
"""Commands to an ATECC608 and their answers, asked again where a bit was lost on the way.

Two faults look alike and are not: an answer that arrives broken is *read* again, a command that
arrives broken is *sent* again, for the chip did nothing. So no command is executed twice, and no
counter goes up by two.
"""

from firmware.hal.atecc608_errors import (
    AnswerGarbled,
    CommandGarbled,
    NotTaken,
    WatchdogNear,
)
from firmware.hal.atecc608_opcodes import MAX_MS
from firmware.hal.atecc608_packet import (
    ANSWER_BUFFER,
    COMMAND_BUFFER,
    answer_size,
    read_answer,
    write_command,
)
from firmware.hal.atecc608_power import ChipPower

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    # opcode, mode, parameter, data, bytes of data in the answer
    Command = tuple[int, int, int, bytes, int]

_BUS_MS = 20  # the longest command and the longest answer at 100 kHz
_SENDINGS = 3  # of one command that arrives broken or comes too late
_READINGS = 3  # of one answer that arrives broken
_RUNS = 2  # of one run of commands that the chip fell asleep in


class ChipLink:
    """Runs of commands to one chip."""

    def __init__(self, power: ChipPower) -> None:
        self._power = power
        self._out = memoryview(bytearray(COMMAND_BUFFER))
        self._in = memoryview(bytearray(ANSWER_BUFFER))

    def run(self, *commands: "Command") -> bytes:
        """The answer to the last of these commands, which the chip carries out in one go.

        If the chip sleeps before it takes one of them, all are sent again: of several, none may
        change what the chip keeps. Raises AteccError.
        """
        needed_ms = 0
        for command in commands:
            needed_ms += MAX_MS[command[0]] + _BUS_MS
        for _ in range(_RUNS - 1):
            try:
                return self._run_once(commands, needed_ms)
            except NotTaken:
                pass
        return self._run_once(commands, needed_ms)

    def _run_once(self, commands: "tuple[Command, ...]", needed_ms: int) -> bytes:
        self._power.stay_awake(needed_ms)
        answer = b""
        for command in commands:
            answer = self._execute(command)
        return answer

    def _execute(self, command: "Command") -> bytes:
        """One command's answer; it is sent again while the chip says that it did nothing."""
        for _ in range(_SENDINGS - 1):
            try:
                return self._send(command)
            except CommandGarbled:
                pass
            except WatchdogNear:
                self._power.idle()
                self._power.wake()
        return self._send(command)

    def _send(self, command: "Command") -> bytes:
        opcode, mode, parameter, data, size = command
        length = write_command(self._out, opcode, mode, parameter, data)
        if not self._power.send(self._out[:length]):
            self._power.is_awake = False
            raise NotTaken("the secure element fell asleep")
        return self._receive(MAX_MS[opcode], size)

    def _receive(self, max_ms: int, size: int) -> bytes:
        answer = self._in[: answer_size(size)]
        self._power.poll(answer, max_ms)
        for _ in range(_READINGS - 1):
            try:
                return read_answer(answer, size)
            except AnswerGarbled:
                self._power.read_again(answer)
        return read_answer(answer, size)
