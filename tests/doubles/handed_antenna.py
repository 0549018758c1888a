# SPDX-License-Identifier: Apache-2.0
"""An antenna without a chip: a list of cards, each a function, and what can happen to them.

For both interpreters.
"""

from firmware.reader.ports import CardGone, Contactless, ReaderError

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable

    Card = Callable[[bytes], bytes]


class PlainAntenna(Contactless):
    """cards: what lies in the field; each makes an answer of a command.

    sent: every command that reached a card. activations: how often one began anew. fails: the
    chip does not answer. torn: the card leaves in so many commands from now, having acted.
    """

    def __init__(self) -> None:
        self.cards: "list[Card]" = []
        self.sent: "list[bytes]" = []
        self.activations = 0
        self.looks = 0
        self.releases = 0
        self.fails = False
        self.torn = 0
        self._active: "Card | None" = None
        self.historical = b""
        self.crowded = False

    def look(self) -> bool:
        """Takes the card, if there is exactly one."""
        self._need_chip()
        self.looks += 1
        self.crowded = len(self.cards) > 1
        self._active = self.cards[0] if len(self.cards) == 1 else None
        self.historical = b"plain" if self._active else b""
        if self._active:
            self.activations += 1
        return self._active is not None

    def is_there(self) -> bool:
        """Whether the card that was taken lies there."""
        self._need_chip()
        return self._active in self.cards

    def transmit(self, command: bytes) -> bytes:
        """What the card makes of it."""
        self._need_chip()
        if self._active is None or self._active not in self.cards:
            raise CardGone("no card")
        self.sent.append(command)
        answer = self._active(command)
        if self.torn:
            self.torn -= 1
            if not self.torn:
                self.cards.clear()
                self._active = None
                raise CardGone("torn")
        return answer

    def release(self) -> None:
        """Lets it go."""
        self._need_chip()
        self.releases += 1
        self._active = None

    def _need_chip(self) -> None:
        if self.fails:
            self._active = None
            raise ReaderError("silent")


class PlainClock:
    """Time that passes when somebody says so, in MicroPython's functions."""

    def __init__(self) -> None:
        self.now_ms = 0

    def ticks_ms(self) -> int:
        """Milliseconds."""
        return self.now_ms

    def ticks_diff(self, end_ms: int, start_ms: int) -> int:
        """How much later."""
        return end_ms - start_ms

    def ticks_add(self, start_ms: int, duration_ms: int) -> int:
        """Then."""
        return start_ms + duration_ms

    def sleep_ms(self, duration_ms: int) -> None:
        """It passes."""
        self.now_ms += duration_ms
