# SPDX-License-Identifier: Apache-2.0
"""The PC/SC service as this house asks it: its readers, and its errors as sentences for people.

Everything goes through pyscard's `smartcard.scard`, which is imported only when it is used. The
calls and their codes are those of the PC/SC Workgroup's part 5, as pcsc-lite documents them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from host_bridge.closing import Closing
from host_bridge.pcscd.service import Answer, find_service
from host_bridge.transport.base import LinkLost, TransportError
from host_bridge.transport.overdue import Caller, Overdue

_PLUG_AND_PLAY = "\\\\?PnP?\\Notification"  # a pseudo-reader that changes when readers come or go
_EVENT_COUNT_SHIFT = 16  # above it in a reader's state: how often a card came or went
_SERVICE_S = 10.0  # for a word of the service, which is asked nothing that takes long
_SLICE_S = 0.5  # Ctrl-C is heard, and a lost service noticed, between two slices of a wait


class PcscError(TransportError):
    """PC/SC cannot be used as it was asked for; the text says what to do."""


class NoPyscard(PcscError):
    """The Python package that speaks to PC/SC is not installed."""


class NoService(PcscError):
    """pcscd does not run."""


class NoPermission(PcscError):
    """pcscd runs, and does not serve this user."""


class NoReader(PcscError):
    """No reader is plugged in, or none of that name."""


class SeveralReaders(PcscError):
    """More than one reader fits what was asked for."""


class NoCard(PcscError):
    """There is no card in the reader."""


class MuteCard(PcscError):
    """There is something in the reader that does not answer as a card does."""


class ReaderBusy(PcscError):
    """Another program uses the card."""


class CardGone(PcscError, LinkLost):
    """The card left the reader, or the reader left the computer, in the middle of its use."""


@dataclass(frozen=True)
class ReaderInfo:
    """One reader as it stands. `number` counts from 1 in the service's order.

    `atr` is empty without a card. `events` grows whenever a card comes or goes.
    """

    number: int
    name: str
    has_card: bool
    is_mute: bool
    in_use: bool
    atr: bytes
    events: int


class PcscContext(Closing):
    """A context of the PC/SC service. Raises NoPyscard, NoService or NoPermission."""

    def __init__(self) -> None:
        self.scard = _import_scard()
        self._caller = Caller(_SERVICE_S)
        self._context: Any = None
        scope = self.scard.SCARD_SCOPE_USER
        code, self._context = self._asked(lambda: self.scard.SCardEstablishContext(scope))
        if code:
            self._context = None
            self._check_permission(code)
            self.fail(code)

    def close(self) -> None:
        """Gives the context back; closing twice is fine."""
        context, self._context = self._context, None
        self._caller.end(lambda: context and self.scard.SCardReleaseContext(context))

    def _asked(self, act: Callable[[], Any]) -> Any:
        """Raises NoService where pcscd listens and does not answer."""
        try:
            return self._caller.call(act)
        except Overdue:
            command = find_service().restart_command
            raise NoService(f"The PC/SC service does not answer: '{command}'.") from None

    def names(self) -> list[str]:
        """The readers' names, in the service's order; none is no error."""
        code, names = self._asked(lambda: self.scard.SCardListReaders(self._context, []))
        if code == self.scard.SCARD_E_NO_READERS_AVAILABLE:
            return []
        self.check(code)
        return list(names)

    def readers(self) -> list[ReaderInfo]:
        """Every reader and what is in it.

        One that no longer answers is not among them, though pcscd may keep its name and number.
        """
        names = self.names()
        states = self._states([(name, self.scard.SCARD_STATE_UNAWARE) for name in names], 0)
        return [
            self._info(number, *state)
            for number, state in enumerate(states, 1)
            if self._exists(state[1])
        ]

    def wait_for_change(self, known: Iterable[ReaderInfo], timeout_s: float) -> list[ReaderInfo]:
        """The readers as they stand once they differ from `known`, or when the time is over.

        Raises NoService if the service ends meanwhile.
        """
        before = {reader.name: (reader.has_card, reader.events) for reader in known}
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.readers()
            left_s = deadline - time.monotonic()
            differs = before != {reader.name: (reader.has_card, reader.events) for reader in now}
            if differs or left_s <= 0:
                return now
            self._sleep_until_event(now, min(left_s, _SLICE_S))

    def connect(self, reader: str) -> tuple[Any, int]:
        """The card in the reader, for this program alone: its handle and its protocol.

        Raises NoCard, MuteCard, ReaderBusy, NoReader or another PcscError.
        """
        scard = self.scard
        code, card, protocol = scard.SCardConnect(
            self._context,
            reader,
            scard.SCARD_SHARE_EXCLUSIVE,
            scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1,
        )
        self._check_permission(code)
        self.check(code, reader)
        return card, protocol

    def check(self, code: int, reader: str = "") -> None:
        """Nothing for success, else `fail`."""
        if code != self.scard.SCARD_S_SUCCESS:
            self.fail(code, reader)

    def fail(self, code: int, reader: str = "") -> None:
        """Raises what `code` means, as one sentence."""
        scard = self.scard
        if code in (scard.SCARD_E_NO_SERVICE, scard.SCARD_E_SERVICE_STOPPED):
            _fail_without_service()
        kind, sentence = {
            # What pcsc-lite's client makes of a connection that the service closed.
            scard.SCARD_W_SECURITY_VIOLATION: (NoService, "The PC/SC service ended."),
            scard.SCARD_E_INVALID_HANDLE: (NoService, "The PC/SC service was started anew."),
            scard.SCARD_F_COMM_ERROR: (NoService, "The PC/SC service ended."),
            scard.SCARD_E_NO_SMARTCARD: (NoCard, "There is no card in the reader {}."),
            scard.SCARD_W_REMOVED_CARD: (CardGone, "The card left the reader {}."),
            scard.SCARD_W_RESET_CARD: (CardGone, "The card in {} was reset by somebody else."),
            scard.SCARD_W_UNPOWERED_CARD: (MuteCard, "The card in the reader {} has no power."),
            scard.SCARD_W_UNRESPONSIVE_CARD: (MuteCard, _MUTE),
            scard.SCARD_W_UNSUPPORTED_CARD: (MuteCard, _MUTE),
            scard.SCARD_E_PROTO_MISMATCH: (MuteCard, _MUTE),
            scard.SCARD_E_SHARING_VIOLATION: (ReaderBusy, "{} is in use by another program."),
            scard.SCARD_E_UNKNOWN_READER: (NoReader, "There is no reader {} any more."),
            scard.SCARD_E_READER_UNAVAILABLE: (CardGone, "The reader {} was unplugged."),
            scard.SCARD_E_NOT_TRANSACTED: (CardGone, "The card in {} stopped answering."),
            scard.SCARD_E_COMM_DATA_LOST: (CardGone, "The card in {} stopped answering."),
        }.get(code, (PcscError, f"The reader {{}} fails: {scard.SCardGetErrorMessage(code)}"))
        raise kind(sentence.format(reader))

    def _check_permission(self, code: int) -> None:
        """polkit lets a user in, and to a card, or not."""
        if code in (self.scard.SCARD_W_SECURITY_VIOLATION, self.scard.SCARD_E_NO_ACCESS):
            raise NoPermission(_NO_PERMISSION)

    def _sleep_until_event(self, known: list[ReaderInfo], timeout_s: float) -> None:
        scard = self.scard
        # Where the pseudo-reader's count is looked at, it is that of all names, silent ones too.
        watched = [(_PLUG_AND_PLAY, len(self.names()) << _EVENT_COUNT_SHIFT)]
        for reader in known:
            state = scard.SCARD_STATE_PRESENT if reader.has_card else scard.SCARD_STATE_EMPTY
            watched.append((reader.name, state | reader.events << _EVENT_COUNT_SHIFT))
        self._states(watched, int(timeout_s * 1000))

    def _states(self, watched: list[tuple[str, int]], timeout_ms: int) -> list[Any]:
        """(name, state, ATR) of each, once one of them differs from its known state."""
        if not watched:
            return []
        ask = self.scard.SCardGetStatusChange
        code, states = self._asked(lambda: ask(self._context, timeout_ms, watched))
        if code == self.scard.SCARD_E_UNKNOWN_READER:
            return []  # it went between two calls; the next list will be without it
        if code != self.scard.SCARD_E_TIMEOUT:
            self.check(code)
        return list(states)

    def _exists(self, state: int) -> bool:
        return not state & (self.scard.SCARD_STATE_UNKNOWN | self.scard.SCARD_STATE_UNAVAILABLE)

    def _info(self, number: int, name: str, state: int, atr: list[int]) -> ReaderInfo:
        scard = self.scard
        has_card = bool(state & scard.SCARD_STATE_PRESENT)
        return ReaderInfo(
            number,
            name,
            has_card,
            bool(state & scard.SCARD_STATE_MUTE),
            bool(state & (scard.SCARD_STATE_EXCLUSIVE | scard.SCARD_STATE_INUSE)),
            bytes(atr) if has_card else b"",
            state >> _EVENT_COUNT_SHIFT,
        )


_MUTE = "What is in the reader {} does not answer as a card does: turn it, or clean it."
_NO_PERMISSION = (
    "The PC/SC service does not serve this user: the administrator allows it by polkit's action "
    "org.debian.pcsc-lite.access_pcsc."
)


def _fail_without_service() -> None:
    service = find_service()
    if service.answer is Answer.DENIED:
        raise NoPermission(_NO_PERMISSION)
    raise NoService(f"The PC/SC service does not run: '{service.start_command}'.")


def choose(readers: list[ReaderInfo], wanted: str) -> ReaderInfo:
    """The reader of this number, name, or part of a name in any case; empty: the only one.

    Raises NoReader, and SeveralReaders rather than taking one of several.
    """
    if not readers:
        raise NoReader("No PC/SC reader is plugged in.")
    found = _matching(readers, wanted)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NoReader(f"No reader is called '{wanted}'; there are: {_listed(readers)}.")
    what = f"'{wanted}' fits {len(found)} readers" if wanted else f"There are {len(found)} readers"
    raise SeveralReaders(f"{what}, say which by its number: {_listed(found)}.")


def _matching(readers: list[ReaderInfo], wanted: str) -> list[ReaderInfo]:
    part = wanted.strip().lower()
    if not part:
        return readers
    for exact in (
        [reader for reader in readers if reader.name.lower() == part],
        [reader for reader in readers if str(reader.number) == part],
    ):
        if exact:
            return exact
    return [reader for reader in readers if part in reader.name.lower()]


def _listed(readers: list[ReaderInfo]) -> str:
    return ", ".join(f"{reader.number} {reader.name}" for reader in readers)


def _import_scard() -> Any:
    try:
        from smartcard import scard
    except ImportError:
        raise NoPyscard(
            "PC/SC readers need pyscard: install it with `pip install -e '.[pcsc]'`."
        ) from None
    return scard
