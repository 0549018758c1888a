# SPDX-License-Identifier: Apache-2.0
"""The purse as a till, a holder's bridge and a bank see it: domain verbs over a transport."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from firmware.wire import apdu, status, tlv
from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, MAX_SHORT_ANSWER, Command
from firmware.wire.bundle import PurseExport
from firmware.wire.certificate import PURPOSE_BEST_MATCH, Certificate
from firmware.wire.journal import JournalEntry, KeyAttestation, Statement
from firmware.wire.layout import WireError
from firmware.wire.limits import PIN_MAX, PIN_MIN, PUK_SIZE
from firmware.wire.note import Note
from firmware.wire.policy import Policy
from firmware.wire.token import Token, parse_tokens
from host_bridge.session.exchange import CardError, CardMisbehaved, CardRefused, Exchange
from host_bridge.transport.base import Transport

T = TypeVar("T")

MAX_STORED = 8192  # records of the journal's log that a purse is asked for


class WrongPin(CardError):
    """The PIN or PUK was wrong; `tries_left` more may be made."""

    def __init__(self, tries_left: int, what: str = "PIN") -> None:
        super().__init__(f"wrong {what}, {status.tries_left(tries_left)}")
        self.tries_left = tries_left


class BadPinFormat(CardError):
    """The PIN or PUK cannot be one; the card was not asked."""


@dataclass(frozen=True)
class PurseInfo:
    """What SELECT tells: nothing in it identifies the purse."""

    protocol: int
    tier: int
    currency: int
    policy_version: int
    lifecycle: int
    flags: int

    @property
    def pin_blocked(self) -> bool:
        """Whether the PIN's tries are used up."""
        return bool(self.flags & apdu.FLAG_PIN_BLOCKED)


@dataclass(frozen=True)
class PayRequest:
    """What a payee asks for. `payment_id` is the payee's own, 16 bytes, never used before."""

    amount_tiyn: int
    payment_id: bytes
    time: int
    payee: Certificate
    purpose: int = PURPOSE_BEST_MATCH

    @property
    def data(self) -> bytes:
        """The data of PAY."""
        fields = {
            "amount": self.amount_tiyn,
            "currency": self.payee.currency,
            "purpose": self.purpose,
            "payment_id": self.payment_id,
            "time": self.time,
            "payee": self.payee.raw,
        }
        return apdu.PAY_DATA.pack(fields)


class PurseSession:
    """One tap: from the card's arrival in the field to its leaving."""

    def __init__(self, transport: Transport) -> None:
        self._exchange = Exchange(transport)
        self.info: PurseInfo | None = None

    def select(self) -> PurseInfo:
        """Selects the purse application; the first thing in every tap."""
        command = Command(
            CLA_ISO,
            apdu.INS_SELECT,
            apdu.P1_SELECT_BY_NAME,
            data=apdu.AID,
            le=MAX_SHORT_ANSWER,
        )
        answer = self._exchange.send(command)
        try:
            template = tlv.find(answer, tlv.FCI_TEMPLATE)
            fields = apdu.SELECT_ANSWER.unpack(tlv.find(template, tlv.FCI_PROPRIETARY))
        except WireError as error:
            raise CardMisbehaved(f"this card is no purse: {error}") from None
        self.info = PurseInfo(**fields)
        return self.info

    def verify_pin(self, pin: str) -> None:
        """Shows the holder's PIN for the rest of this tap. Raises WrongPin or CardRefused."""
        command = Command(CLA_ISO, apdu.INS_VERIFY, 0, apdu.P2_PIN, pin_bytes(pin))
        self._with_tries(command, "PIN")

    def pin_tries(self) -> int:
        """How many tries the PIN has; none is taken by asking."""
        try:
            self._with_tries(Command(CLA_ISO, apdu.INS_VERIFY, 0, apdu.P2_PIN), "PIN")
        except WrongPin as asked:
            return asked.tries_left
        except CardRefused as refused:
            if refused.word == status.BLOCKED:
                return 0
            raise
        raise CardMisbehaved("the card says that its PIN was shown, and it was not")

    def change_pin(self, old: str, new: str) -> None:
        """Replaces the PIN. Raises WrongPin or CardRefused."""
        first = pin_bytes(old)
        data = bytes([len(first)]) + first + pin_bytes(new)
        command = Command(CLA_ISO, apdu.INS_CHANGE_REFERENCE_DATA, 0, apdu.P2_PIN, data)
        self._with_tries(command, "PIN")

    def unblock_pin(self, puk: str, new: str) -> None:
        """Sets a new PIN by the PUK. Raises WrongPin (of the PUK) or CardRefused."""
        data = puk_bytes(puk) + pin_bytes(new)
        command = Command(CLA_ISO, apdu.INS_RESET_RETRY_COUNTER, 0, apdu.P2_PIN, data)
        self._with_tries(command, "PUK")

    def present(self, certificate: Certificate) -> None:
        """Shows a certificate under the root that the purse may not know yet."""
        self._ask(apdu.INS_PRESENT_CERTIFICATE, data=certificate.raw)

    def pay(self, request: PayRequest) -> list[Token]:
        """Asks the purse to pay. The tokens are parsed, not verified: that is the payee's."""
        return _tokens(self._ask(apdu.INS_PAY, data=request.data, answers=True))

    def recover(self, payment_id: bytes) -> list[Token]:
        """The very same answer as the PAY that was torn; never a second debit.

        Raises CardRefused with 6A88 where the purse knows no such payment.
        """
        return _tokens(self._ask(apdu.INS_RECOVER, data=payment_id, answers=True))

    def balance(self) -> dict[int, int]:
        """Tiyn by purpose. After the PIN only."""
        answer = self._ask(apdu.INS_GET_BALANCE, answers=True)
        size = apdu.BALANCE.size
        try:
            rows = [
                apdu.BALANCE.unpack(answer[at : at + size]) for at in range(0, len(answer), size)
            ]
        except WireError as error:
            raise CardMisbehaved(f"the card's balance is nonsense: {error}") from None
        return {int(row["purpose"]): int(row["amount"]) for row in rows}

    def generate_key(self, challenge: bytes) -> KeyAttestation:
        """A token key for the next note, attested over the bank's challenge. After the PIN."""
        answer = self._ask(apdu.INS_GENERATE_KEY, apdu.P1_TOKEN_KEY, data=challenge, answers=True)
        return _parsed(KeyAttestation.parse, answer)

    def load(self, note: Note) -> None:
        """Gives the purse a note for a key that it made. Repeating it changes nothing."""
        self._ask(apdu.INS_LOAD, data=note.raw)

    def certificate(self) -> Certificate:
        """The identity certificate, for the purse's own bank. After the PIN only."""
        return _parsed(Certificate.parse, self._export(apdu.P1_EXPORT_CERTIFICATE))

    def export(self, challenge: bytes) -> PurseExport:
        """Statement and entries since the last acknowledgement. After the PIN only."""
        certificate = self.certificate()
        raw = self._export(apdu.P1_EXPORT_STATEMENT, data=challenge)
        statement = _parsed(Statement.parse, raw)
        entries = [self.entry(index) for index in range(statement.entries)]
        return PurseExport(certificate, statement, entries)

    def entry(self, index: int) -> JournalEntry:
        """One entry that waits for its acknowledgement, the oldest first; signed where it can be.

        Raises CardRefused with 6A88 behind the last one. After the PIN only.
        """
        return _parsed(JournalEntry.parse, self._export(apdu.P1_EXPORT_ENTRY, index))

    def stored_records(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """(kind, payload) of the journal's log as it is stored, oldest first, from `first` on.

        Only a purse that is locked or damaged gives them. Raises CardRefused, also on the way:
        with 6581 where one record cannot be read, and what came before it stands.
        """
        for index in range(first, MAX_STORED):
            data = apdu.STORED_INDEX.pack({"index": index})
            try:
                answer = self._export(apdu.P1_EXPORT_STORED, data=data)
            except CardRefused as refused:
                if refused.word == status.NOT_FOUND:
                    return
                raise
            head = apdu.STORED_RECORD.size
            kind = _parsed(apdu.STORED_RECORD.unpack, answer[:head])["kind"]
            yield kind, answer[head:]
        raise CardMisbehaved("the card's stored records do not end")

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Brings the bank's acknowledgement: frees the journal and the offline limits."""
        self._ask(apdu.INS_ACKNOWLEDGE, data=acknowledgement.raw)

    def set_policy(self, policy: Policy) -> None:
        """Brings a policy of the purse's bank. An older one than the purse has is refused."""
        self._ask(apdu.INS_SET_POLICY, data=policy.raw)

    def _export(self, what: int, index: int = 0, data: bytes = b"") -> bytes:
        return self._ask(apdu.INS_EXPORT, what, index, data, answers=True)

    def _ask(
        self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", *, answers: bool = False
    ) -> bytes:
        le = MAX_SHORT_ANSWER if answers else None
        return self._exchange.send(Command(CLA_QALTA, ins, p1, p2, data, le))

    def _with_tries(self, command: Command, what: str) -> None:
        try:
            self._exchange.send(command)
        except CardRefused as refused:
            if refused.word & 0xFFF0 == status.TRIES_LEFT:
                raise WrongPin(refused.word & 0x0F, what) from None
            raise


def pin_bytes(pin: str) -> bytes:
    """A PIN as the card takes it. Raises BadPinFormat; the message never shows the PIN."""
    if not (pin.isascii() and pin.isdigit() and PIN_MIN <= len(pin) <= PIN_MAX):
        raise BadPinFormat(f"a PIN has {PIN_MIN} to {PIN_MAX} digits")
    return pin.encode()


def puk_bytes(puk: str) -> bytes:
    """A PUK as the card takes it. Raises BadPinFormat; the message never shows the PUK."""
    if not (puk.isascii() and puk.isdigit() and len(puk) == PUK_SIZE):
        raise BadPinFormat(f"a PUK has {PUK_SIZE} digits")
    return puk.encode()


def _tokens(raw: bytes) -> list[Token]:
    return _parsed(parse_tokens, raw)


def _parsed(parse: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return parse(raw)
    except WireError as error:
        raise CardMisbehaved(f"the card answered nonsense: {error}") from None
