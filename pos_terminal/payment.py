# SPDX-License-Identifier: Apache-2.0
"""One tap: asking a card for money, and knowing afterwards whether it may have paid.

Nothing here writes or believes anything. The till writes before and after, and verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from firmware.wire import status
from firmware.wire.apdu import INS_GET_RESPONSE, INS_PAY, INS_RECOVER, LIFECYCLE_ACTIVE
from firmware.wire.certificate import Certificate
from firmware.wire.limits import PIN_TRIES
from firmware.wire.token import Token
from host_bridge.closing import Closing
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused
from host_bridge.session.purse import BadPinFormat, PayRequest, PurseSession, WrongPin
from host_bridge.transport.base import Traffic, Transport, TransportError

OpenCard = Callable[[], Transport]
AskPin = Callable[[str], str | None]  # what to say to the holder -> the PIN, None if given up

MAX_EVIDENCE = 65_536  # bytes of answers that are kept of one tap

# After these a card that had begun to pay may have finished, or may have lost its power and come
# back as a card that was never asked. Any other status word of PAY says: nothing was paid.
_DOUBTFUL = frozenset(
    {
        status.MEMORY_FAILURE,
        status.CONDITIONS_NOT_MET,
        status.UNKNOWN_INSTRUCTION,
        status.UNKNOWN_CLASS,
        status.FAILURE,
    }
)


class NotKnown(CardError):
    """RECOVER found nothing: another card (T07), or one that PAY never reached (T01)."""


class NoPin(CardError):
    """The card wants a PIN and its holder gave none."""


@dataclass(frozen=True)
class Tap:
    """What one tap cost. The time is the card's and the link's, not the people's."""

    apdus: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    wall_ms: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What came of a tap.

    `tokens` are parsed and not yet believed; without any, `reason` says why, and `in_doubt`
    whether the card may have paid all the same. `raw` is what the card sent, as evidence.
    """

    tokens: list[Token]
    reason: str
    in_doubt: bool
    raw: bytes
    tap: Tap


class Witness(Closing):
    """A transport that remembers whether a PAY is unanswered, and what was answered to it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.in_doubt = False
        self.evidence = b""

    @property
    def traffic(self) -> Traffic:
        """The transport's own."""
        return self._transport.traffic

    def transmit(self, command: bytes) -> bytes:
        """Passes one command on."""
        ins = command[1]
        if ins == INS_PAY:
            self.in_doubt = True
        if ins in (INS_PAY, INS_RECOVER):
            self.evidence = b""
        response = self._transport.transmit(command)
        if ins in (INS_PAY, INS_RECOVER, INS_GET_RESPONSE):
            self.evidence = (self.evidence + response[:-2])[:MAX_EVIDENCE]
        if ins == INS_PAY and len(response) == 2:
            word = int.from_bytes(response, "big")
            self.in_doubt = _may_have_paid(word)
        return response

    def reset(self) -> str:
        """Begins a new tap."""
        return self._transport.reset()

    def close(self) -> None:
        """Lets the card go."""
        self._transport.close()


@dataclass(frozen=True)
class Question:
    """What a card is asked: the request, whose bank it may not know, and the holder's PIN.

    The PIN is shown first if it is given, else asked for when the card wants it.
    """

    request: PayRequest
    bank: Certificate
    pin: str | None = field(default=None, repr=False)
    ask_pin: AskPin | None = None


def ask_to_pay(open_card: OpenCard, question: Question) -> Answer:
    """A first tap: PAY."""
    return _tap(open_card, question, _pay)


def ask_again(open_card: OpenCard, question: Question, *, pay_again: bool) -> Answer:
    """A later tap for the same payment: RECOVER.

    If the card does not know the payment and `pay_again`, the very same PAY is sent: a card
    that did pay gives its old answer, one that did not pays now (reliability case T01).
    """

    def recover(session: PurseSession, asked: Question) -> list[Token]:
        try:
            return session.recover(asked.request.payment_id)
        except CardRefused as refused:
            if refused.word != status.NOT_FOUND:
                raise
        if not pay_again:
            raise NotKnown(
                "this card does not know the payment: it is another card, or was not asked"
            )
        return _pay(session, asked)

    return _tap(open_card, question, recover)


def sentence(error: Exception) -> str:
    """An error's message as one sentence for people."""
    text = str(error).rstrip(".")
    return text[:1].upper() + text[1:] + "."


def _tap(
    open_card: OpenCard, question: Question, ask: Callable[[PurseSession, Question], list[Token]]
) -> Answer:
    try:
        witness = Witness(open_card())
    except TransportError as error:
        return Answer([], sentence(error), False, b"", Tap())
    except KeyboardInterrupt:  # while it waited for a card: none was asked
        return Answer([], "The till was stopped before a card was asked.", False, b"", Tap())
    before = _copy(witness.traffic)
    tokens: list[Token] = []
    reason = ""
    with witness:
        try:
            session = PurseSession(witness)
            if session.select().lifecycle != LIFECYCLE_ACTIVE and ask is _pay:
                raise CardMisbehaved("this card cannot pay; its bank must see to it")
            tokens = ask(session, question)
        except (CardError, TransportError) as error:
            reason = sentence(error)
        tap = _difference(before, witness.traffic)
        return Answer(tokens, reason, witness.in_doubt, witness.evidence, tap)


def _pay(session: PurseSession, question: Question) -> list[Token]:
    if question.pin is not None:
        session.verify_pin(question.pin)
    try:
        return _pay_presenting(session, question)
    except CardRefused as refused:
        if refused.word != status.NOT_AUTHENTICATED or question.ask_pin is None:
            raise
        _verify_asking(session, question.ask_pin)
    return _pay_presenting(session, question)


def _pay_presenting(session: PurseSession, question: Question) -> list[Token]:
    """PAY; if the card does not know the till's bank, the bank is presented, once."""
    try:
        return session.pay(question.request)
    except CardRefused as refused:
        if refused.word != status.NOT_FOUND:
            raise
    session.present(question.bank)
    return session.pay(question.request)


def _verify_asking(session: PurseSession, ask_pin: AskPin) -> None:
    prompt = "The card wants its PIN"
    for _ in range(PIN_TRIES):
        pin = ask_pin(prompt)
        if pin is None:
            raise NoPin("the card wants its PIN, and none was given")
        try:
            session.verify_pin(pin)
            return
        except (WrongPin, BadPinFormat) as error:
            prompt = sentence(error)
    raise NoPin("no right PIN was given")


def _may_have_paid(word: int) -> bool:
    known = word in status.MEANINGS or word & 0xFFF0 == status.TRIES_LEFT
    return word == status.OK or word in _DOUBTFUL or not known


def _copy(traffic: Traffic) -> Traffic:
    return Traffic(traffic.apdus, traffic.bytes_out, traffic.bytes_in, traffic.wall_ms)


def _difference(before: Traffic, after: Traffic) -> Tap:
    return Tap(
        after.apdus - before.apdus,
        after.bytes_out - before.bytes_out,
        after.bytes_in - before.bytes_in,
        after.wall_ms - before.wall_ms,
    )
