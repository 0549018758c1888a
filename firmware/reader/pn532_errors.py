# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a PN532: the link to it, its refusals, and its status byte.

NXP UM0701-02, sections 6.2.1 (frames), 6.2.2 (dialogue) and 7.1 (error handling).
"""

from firmware.reader.ports import CardGone, ReaderError


class NotTaken(ReaderError):
    """The chip acknowledged no command: it is not there, asleep, or the command arrived broken."""


class TooLate(ReaderError):
    """The chip took a command and answered nothing in the time that was given."""


class BusFailed(ReaderError):
    """The bus itself raised an error: whether anything passed is not known."""


class FrameDefect(ReaderError):
    """A frame of the chip's is broken, and stays so when it is asked for again."""


class Noise(FrameDefect):
    """What came has not even a frame's header: it may not have been the chip's answer at all."""


class CommandRefused(ReaderError):
    """The chip answered with the error frame: it knows no such command. Nothing was executed."""


class StatusError(ReaderError):
    """The chip carried a command out, and its status byte says that it failed."""


# The status byte's lower six bits. In the field: nobody answers, or nothing that can be used.
_CARD_GONE = {
    0x01: "the card does not answer any more",
    0x02: "the card's answer has a wrong CRC",
    0x03: "the card's answer has a wrong parity",
    0x04: "a wrong number of bits came in the anticollision",
    0x05: "the card's frame is broken",
    0x06: "two cards answer at once",
    0x07: "the card sends more than the reader chip can hold",
    0x09: "the card sends more than the reader chip's antenna can take",
    0x0A: "the other side's field did not come in time",
    0x0B: "the other side does not keep to the protocol",
    0x13: "what came from the other side has a wrong format",
    0x23: "the card's number has a wrong check byte",
    0x25: "the other side is in another state",
    0x29: "the other side has let go",
    0x2A: "there is another card now",
    0x2B: "the card has left the field",
}
# In the chip: it is too hot, it was asked for what it cannot do, or its state is another one.
_CHIP = {
    0x0D: "the reader chip is too hot and has switched its field off",
    0x0E: "the reader chip's buffer is too small",
    0x10: "the reader chip was given a wrong parameter",
    0x12: "the reader chip does not know what the other side asked",
    0x14: "the card refused an authentication",
    0x26: "the reader chip does not allow this in its configuration",
    0x27: "the reader chip is in another state",
    0x2C: "another device answers than the one that was chosen",
    0x2D: "the reader chip's antenna draws too much current",
    0x2E: "the reader chip was to send a node address and has none",
}
OUT_OF_CONTEXT = 0x27
_ERROR_BITS = 0x3F


def check(status: int, context_is_card: bool = False) -> None:
    """Raises CardGone or StatusError for a status byte that is not 0 in its error bits.

    context_is_card: the command is one whose context only the other side can have ended, so that
    27 says that it is gone.
    """
    error = status & _ERROR_BITS
    if not error:
        return
    if error in _CARD_GONE or (context_is_card and error == OUT_OF_CONTEXT):
        raise CardGone("%s (status %02X)" % (_CARD_GONE.get(error, _CHIP[0x27]), error))
    raise StatusError("%s (status %02X)" % (_CHIP.get(error, "the reader chip failed"), error))
