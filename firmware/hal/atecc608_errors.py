# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with an ATECC608: its status codes, and a bus on which nobody answers.

Microchip ATECC508A/608A data sheets, section "Status/Error Codes".
"""


class AteccError(OSError):
    """The chip did not do what it was asked. To a card it is memory that failed (6581)."""


class ChipSilent(AteccError):
    """Nothing answers: no chip, no power, or a command that took longer than it may."""


class NotTaken(AteccError):
    """The chip did not take a command, for it was asleep. Nothing was executed."""


class AnswerGarbled(AteccError):
    """An answer's length or CRC is wrong, and stays so when it is read again."""


class StatusError(AteccError):
    """The chip took a command and answered with a status other than success."""


class Miscompare(StatusError):
    """01: a signature does not fit."""


class ParseRefused(StatusError):
    """03: a length, mode or parameter that the command does not have."""


class EccFault(StatusError):
    """05: the computation on the curve went wrong, or a new key was none; try again."""


class SelfTestFailed(StatusError):
    """07: the chip found itself broken."""


class RandomFailed(StatusError):
    """08: the chip's source of random numbers failed its health test."""


class ExecutionRefused(StatusError):
    """0F: not in this state: a locked zone, an empty slot, a counter at its end."""


class JustAwake(StatusError):
    """11: the chip woke up and has seen no command since."""


class WatchdogNear(StatusError):
    """EE: too little time is left before the watchdog; nothing was executed."""


class CommandGarbled(StatusError):
    """FF: the command arrived with a wrong CRC; nothing was executed."""


_CLASSES = {
    0x01: Miscompare,
    0x03: ParseRefused,
    0x05: EccFault,
    0x07: SelfTestFailed,
    0x08: RandomFailed,
    0x0F: ExecutionRefused,
    0x11: JustAwake,
    0xEE: WatchdogNear,
    0xFF: CommandGarbled,
}


def status_error(status: int) -> StatusError:
    """The error that stands for a status; an unknown one is a plain StatusError."""
    kind = _CLASSES.get(status, StatusError)
    return kind("the secure element answered with status %02X" % status)
