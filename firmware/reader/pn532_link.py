# SPDX-License-Identifier: Apache-2.0
"""Commands to a PN532 and their answers. NXP UM0701-02, section 6.2.2.

A command is sent once. Where its answer arrives broken, the *answer* is asked for again, with
NAK; where the acknowledgement is missing, nobody knows whether the command was taken, and it is
given up. So no command is carried out twice, and no APDU reaches a card twice. Only what comes
after a command's acknowledgement can be its answer: a late answer to an earlier one cannot. One
doubt is left. What was broken may have been noise, and the chip still at work: then NAK brings the
answer *before* this one. So an answer that came after noise, and is the same as the last one or as
one that was never heard, is not believed.
"""

from firmware.reader.pn532_errors import (
    BusFailed,
    CommandRefused,
    FrameDefect,
    Noise,
    NotTaken,
    TooLate,
)
from firmware.reader.pn532_frame import (
    ACK,
    ACK_FRAME,
    ERROR,
    NAK,
    NAK_FRAME,
    TO_CHIP,
    write_frame,
)

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware.reader.bus import Bus, Clock

_ACK_MS = 200  # T_ACK is 15 ms at most; a command that is given up too early is a tap lost
_AGAIN_MS = 100  # for an answer that NAK asked for, until NAK itself may have been lost
_SLICE_MS = 100  # how often a long wait says that it goes on
_STALE = 4  # frames that may come in front of an acknowledgement
_NAKS = 3  # askings for one answer
_FRAMES = 16  # frames, and slices of silence after a NAK, until there must be an answer

SHORT_BODY = 16  # most answers fit, with TFI and code


class ChipLink:
    """One command after the other to one chip.

    on_wait: called now and then while an answer is waited for, if it is set; where somebody else
    waits too, this is the moment to say that it takes longer.
    """

    def __init__(self, bus: "Bus", clock: "Clock") -> None:
        self._bus = bus
        self._clock = clock
        self._is_in_step = False  # nothing that was sent is still without its answer
        self._last: "bytes | None" = None  # the chip's last answer, if it was heard
        self._open: "tuple[bytes, bytes | None] | None" = None  # a frame, and the answer before it
        self.on_wait: "Callable[[], object] | None" = None

    def wake(self) -> None:
        """Wakes the chip, and makes it forget what it was asked. Raises NotTaken, BusFailed."""
        try:
            self._bus.wake()
            self._synchronise()
        except OSError:
            self._is_in_step = False
            raise BusFailed("the bus to the reader chip failed") from None

    def _synchronise(self) -> None:
        """Makes the chip forget what it was asked, and hears out what it still has to say."""
        self._bus.send(ACK_FRAME)
        self._bus.clear()
        self._is_in_step = True

    def run(
        self, code: int, data: bytes, max_ms: int, size: int = SHORT_BODY, keep: bool = False
    ) -> bytes:
        """What the chip answers to a command, after the response code.

        max_ms: how long the command may take; size: how long the answer's body is likely to be.
        keep: a command whose answer does not come in time goes on, and its answer is waited for
        when the same is run again. Any other command ends it.
        Raises NotTaken, TooLate, FrameDefect, CommandRefused or BusFailed; ValueError, before
        anything is sent, for more data than a frame carries.
        """
        frame = write_frame(bytes([TO_CHIP, code]) + data)
        try:
            body = self._run(frame, code, max_ms, size, keep)
        except OSError:
            raise BusFailed("the bus to the reader chip failed") from None
        if body == ERROR:
            raise CommandRefused("the reader chip does not know command %02X so" % code)
        return body[2:]

    def _run(self, frame: bytes, code: int, max_ms: int, size: int, keep: bool) -> bytes:
        opened, self._open = self._open, None
        if opened is not None and opened[0] == frame:
            before = opened[1]
        else:
            if not self._is_in_step:
                self._synchronise()
            self._is_in_step = False
            self._bus.send(frame)
            self._await_acknowledgement()
            before, self._last = self._last, None
        body = self._await_answer(code + 1, max_ms, size, before, keep)
        if body is None:
            self._open = frame, before
            raise TooLate("the reader chip has nothing to say yet")
        self._is_in_step = True
        self._last = body
        return body

    def _await_acknowledgement(self) -> None:
        for _ in range(_STALE):
            try:
                frame = self._bus.receive(_ACK_MS, 0)
            except FrameDefect:
                return  # the acknowledgement, broken: the answer will tell
            if frame == ACK:
                return
            if frame is None:
                break
        raise NotTaken("the reader chip acknowledges no command")

    def _await_answer(
        self, response: int, max_ms: int, size: int, before: "bytes | None", keep: bool
    ) -> "bytes | None":
        """The answer's body, or ERROR; asked for again where it is broken.

        None: there is none yet, and it may still come.
        """
        began_ms = self._clock.ticks_ms()
        askings = 0
        defect: "FrameDefect | None" = None
        is_doubtful = False
        for _ in range(_FRAMES):
            left_ms = max_ms - self._clock.ticks_diff(self._clock.ticks_ms(), began_ms)
            if askings:
                left_ms = _AGAIN_MS if askings < _NAKS else max(_AGAIN_MS, left_ms)
            try:
                frame = self._receive(left_ms, size)
                if frame is not None and frame not in (ACK, NAK):
                    if is_doubtful and (before is None or frame == before):
                        break
                    return _answer_to(response, frame)
            except FrameDefect as broken:
                if askings == _NAKS:
                    raise
                defect, frame = broken, None
                is_doubtful = is_doubtful or isinstance(broken, Noise)
            if frame is None:
                if defect is None or askings == _NAKS:
                    break
                askings += 1
                self._bus.clear()
                self._bus.send(NAK_FRAME)
        if keep and defect is None:
            return None
        self._synchronise()
        if is_doubtful:
            raise Noise("what answers command %02X cannot be told from noise" % (response - 1))
        raise TooLate("the reader chip does not answer command %02X" % (response - 1))

    def _receive(self, wait_ms: int, size: int) -> "bytes | None":
        """The next frame within this time, or None; tells `on_wait` that it takes long."""
        for _ in range(max(wait_ms, 0) // _SLICE_MS):
            frame = self._bus.receive(_SLICE_MS, size)
            if frame is not None:
                return frame
            if self.on_wait is not None:
                self.on_wait()
        return self._bus.receive(max(wait_ms, 0) % _SLICE_MS, size)


def _answer_to(response: int, frame: bytes) -> bytes:
    if frame != ERROR and frame[1] != response:
        raise FrameDefect("the reader chip answers %02X, not %02X" % (frame[1], response))
    return frame
