# SPDX-License-Identifier: Apache-2.0
"""The till: everything that a cashier, a demo or a web page asks of it, without printing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from pathlib import Path

from sqlalchemy import Connection

from firmware.purse.trust import Rejected
from firmware.purse.verify import Expectation, check_payment
from firmware.wire.bundle import ITEM_CERTIFICATE, Bundle
from firmware.wire.certificate import PURPOSE_BEST_MATCH, ROLE_BANK, Certificate
from firmware.wire.token import Token
from host_bridge.closing import Closing
from host_bridge.files import replace_file
from host_bridge.session.purse import PayRequest
from host_bridge.sync.bundle_file import BundleFileError, write_bundle
from host_bridge.sync.outbox import MAX_CARRIED, Outbox, Word
from host_bridge.sync.port import (
    BankPort,
    BankRefused,
    BankUnreachable,
    Directory,
    PurseSync,
    SaleResult,
    SaleState,
)
from pos_terminal import schema
from pos_terminal.book import Payment, PaymentBook
from pos_terminal.card_sync import CardDesk, CardSync
from pos_terminal.catalogue import Catalogue
from pos_terminal.cheque import SALT_SIZE, Cheque, payment_id_of
from pos_terminal.database import Database
from pos_terminal.errors import TillError
from pos_terminal.install import BOOKS, Setup, load_setup
from pos_terminal.payment import (
    Answer,
    AskPin,
    OpenCard,
    Question,
    Tap,
    ask_again,
    ask_to_pay,
    sentence,
)
from pos_terminal.receipt import WIDTHS, receipt
from pos_terminal.states import UNFINISHED, PaymentState
from pos_terminal.trust_store import TrustStore

MAX_ASKED = 500  # unfinished payments that one sync asks the bank about
_FROM_THE_PAYER = "The payer's own sync brought this payment to the bank."
_LEFT_BEHIND = "The till stopped during this tap; the card may have paid."

_BANKS_STATES = {
    SaleState.SYNCHRONISED: PaymentState.SYNCHRONISED,
    SaleState.DISPUTED: PaymentState.DISPUTED,
    SaleState.REFUSED: PaymentState.REFUSED_BY_BANK,
}


@dataclass(frozen=True)
class Totals:
    """Counts and sums of a till's payments by state."""

    by_state: dict[PaymentState, tuple[int, int]]

    def count(self, state: PaymentState) -> int:
        """How many payments are in `state`."""
        return self.by_state.get(state, (0, 0))[0]

    def amount_tiyn(self, state: PaymentState) -> int:
        """What they come to."""
        return self.by_state.get(state, (0, 0))[1]


@dataclass
class SyncReport:
    """What a sync did.

    sent: items of the outbox that the bank gave its word on. resolved: unfinished payments that
    it knew. failed: sentences about what it would not do, each stays for the next time.
    waiting: items left in the outbox. unreachable: why the line was lost, empty if it was not.
    """

    sent: int = 0
    resolved: int = 0
    failed: list[str] = field(default_factory=list)
    waiting: int = 0
    unreachable: str = ""


def unix_time() -> int:
    """The machine's clock, in whole seconds."""
    return int(time.time())


class Till(Closing):
    """One merchant's till: a folder of key, certificate and books. Not for several threads."""

    def __init__(
        self,
        setup: Setup,
        database: Database,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._setup = setup
        self._database = database
        self._clock = clock
        self._random = random
        self._outbox = Outbox(schema.outbox, database.transaction, self._make_bundle)
        self._book = PaymentBook(database, self._outbox)
        self._trust = TrustStore(setup.root, database)
        self._desk = CardDesk(database, self._outbox, clock, random)
        self.catalogue = Catalogue(database)
        for payment in self._book.payments(PaymentState.PENDING):
            self._book.step_to(payment, PaymentState.TORN, _LEFT_BEHIND, clock())

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Callable[[], int] = unix_time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Till:
        """The till that was installed in `folder`; it is held for this program until `close`.

        clock gives Unix seconds, random(n) gives n unpredictable bytes. A payment that a crash
        left `pending` becomes `torn`: its card may have paid (reliability case T10). Raises
        TillError.
        """
        setup = load_setup(folder)
        database = Database(folder / BOOKS)
        try:
            return cls(setup, database, clock, random)
        except TillError:
            database.close()
            raise

    def close(self) -> None:
        """Lets the books go; closing twice is fine."""
        self._database.close()

    @property
    def certificate(self) -> Certificate:
        """The terminal's own."""
        return self._setup.certificate

    @property
    def name(self) -> str:
        """The merchant's name, as its bank certified it."""
        return self._setup.certificate.name

    @property
    def bank_url(self) -> str:
        """Where the bank is on the line; empty if the till was not told."""
        return self._setup.bank_url

    def sell(
        self,
        cheque: Cheque,
        open_card: OpenCard,
        *,
        pin: str | None = None,
        ask_pin: AskPin | None = None,
        purpose: int = PURPOSE_BEST_MATCH,
    ) -> Payment:
        """Sells: written down, then asked of a card, then verified and written down again.

        open_card() gives the transport, which is closed at the end of the tap. pin is shown
        to the card first; ask_pin(what to say) is called if the card wants one.

        Returns the payment as `paid`, `refused`, `rejected` or `torn`. Raises TillError where
        no card was asked; and where the card's answer could not be written down: the payment
        is `pending` then, and `recover` brings the same answer.
        """
        now = self._clock()
        if not self.certificate.valid_at(now):
            raise TillError(
                "The till's certificate is not valid today: ask the bank, or mend the clock."
            )
        if not 0 <= purpose <= PURPOSE_BEST_MATCH:
            raise TillError(f"{purpose} is not the number of a purpose.")
        bank = self._bank()
        salt = self._random(SALT_SIZE)
        new = Payment(
            payment_id=payment_id_of(cheque.raw, salt),
            number=0,
            state=PaymentState.PENDING,
            amount_tiyn=cheque.total_tiyn,
            purpose=purpose,
            time=now,
            cheque=cheque,
            salt=salt,
            payee=self.certificate,
            answer=b"",
            reason="",
            tap=Tap(),
        )
        payment = self._book.open_payment(new)
        answer = ask_to_pay(open_card, _question(payment, bank, pin, ask_pin))
        return self._conclude(payment, answer)

    def recover(
        self,
        payment_id: bytes,
        open_card: OpenCard,
        *,
        pay_again: bool = False,
        pin: str | None = None,
        ask_pin: AskPin | None = None,
    ) -> Payment:
        """Holds the card again for a payment that is torn, unknown or rejected.

        A card that paid gives the very same answer once more. One that does not know the
        payment is another card or was never reached: nothing happens, unless the cashier says
        pay_again; then the same PAY goes out under the same payment_id. In vain, the payment
        stays what it was. Raises TillError if it is not such a payment, and for pay_again where
        a card has answered already: a second one would pay for the same sale.
        """
        payment = self._book.payment(payment_id)
        if payment.state is PaymentState.PENDING:
            payment = self._book.step_to(payment, PaymentState.TORN, _LEFT_BEHIND, self._clock())
        if payment.state not in UNFINISHED:
            raise TillError(f"Payment {payment.short_id} is {payment.state}; nothing to recover.")
        if pay_again and payment.state is PaymentState.REJECTED:
            raise TillError("A card has answered this payment: let another one pay a new sale.")
        question = _question(payment, self._bank(), pin, ask_pin)
        return self._conclude(payment, ask_again(open_card, question, pay_again=pay_again))

    def give_up(self, payment_id: bytes) -> Payment:
        """The card does not come back: `unknown`, until a sync brings the bank's word."""
        payment = self._book.payment(payment_id)
        reason = "The card did not come back; the bank will tell."
        return self._book.step_to(payment, PaymentState.UNKNOWN, reason, self._clock())

    def payment(self, payment_id: bytes) -> Payment:
        """One payment. Raises TillError if the till has none of this id."""
        return self._book.payment(payment_id)

    def find(self, text: str) -> Payment:
        """The payment that people call by its number or the first digits of its id."""
        return self._book.find(text)

    def payments(self) -> list[Payment]:
        """All payments, oldest first."""
        return self._book.payments()

    def totals(self) -> Totals:
        """Counts and sums by state."""
        return Totals(self._book.sums())

    def receipt(self, payment_id: bytes, columns: int = WIDTHS[0]) -> str:
        """A payment's receipt, from what is on the disk (invariant I4)."""
        zone = timezone(timedelta(minutes=self._setup.utc_offset_minutes))
        return receipt(self._book.payment(payment_id), self.name, zone, columns)

    def refresh(self, directory: Directory) -> list[str]:
        """Takes in newer certificates and a newer denylist; returns what was not believed.

        Raises TillError for a directory of another root.
        """
        return self._trust.refresh(directory)

    def sync(self, port: BankPort) -> SyncReport:
        """News from the bank, the outbox to the bank, its word on what is unfinished.

        A lost line ends the sync and loses nothing. Raises TillError if this bank is under
        another root: its word is not believed.
        """
        report = SyncReport()
        try:
            report.failed.extend(self.refresh(port.directory()))
            flushed = self._outbox.flush(port, self._keep_word)
            report.sent = flushed.sent
            report.failed.extend(flushed.failed)
            report.unreachable = flushed.unreachable
            if not flushed.unreachable:
                self._ask_bank(port, report)
        except BankUnreachable as error:
            report.unreachable = sentence(error) or "The bank cannot be reached."
        except BankRefused as error:
            report.failed.append(sentence(error))
        report.waiting = self._outbox.waiting()
        return report

    def sync_card(self, open_card: OpenCard, pin: str, port: BankPort | None = None) -> CardSync:
        """Syncs a card: its journal to the bank, acknowledgement and policy back to the card.

        Without a line the journal goes to the outbox. Raises TillError.
        """
        return self._desk.sync(open_card, pin, port)

    def waiting(self) -> int:
        """How many items of the outbox wait for the bank's word."""
        return self._outbox.waiting()

    def write_bundle(self, path: Path) -> int:
        """Everything in the outbox as a signed file for a USB stick; returns how many items.

        It stays in the outbox until the bank's word comes. More than one bundle holds goes to
        path.2, path.3, … Raises TillError.
        """
        bundles = self._outbox.bundles()
        if not bundles:
            raise TillError("Nothing waits for the bank; no file was written.")
        try:
            for number, bundle in enumerate(bundles, 1):
                name = path.name if number == 1 else f"{path.name}.{number}"
                write_bundle(path.with_name(name), bundle)
        except BundleFileError as error:
            raise TillError(str(error)) from None
        kinds = [kind for bundle in bundles for kind, _ in bundle.items]
        return len(kinds) - kinds.count(ITEM_CERTIFICATE)

    def write_tokens(self, payment_id: bytes, path: Path) -> None:
        """A paid payment's tokens as a file that the root's key alone verifies.

        The certificates under the root come first, then the tokens. Raises TillError.
        """
        payment = self._book.payment(payment_id)
        if not payment.tokens:
            raise TillError(f"Payment {payment.short_id} is {payment.state}; it has no tokens.")
        known = [certificate.raw for certificate in self._trust.load()[0].known]
        try:
            replace_file(path, b"".join(known) + payment.answer)
        except OSError as error:
            raise TillError(f"{path} cannot be written: {error.strerror}.") from None

    def _conclude(self, payment: Payment, answer: Answer) -> Payment:
        """What the tap's answer means for the payment, written down."""
        now = self._clock()
        again = payment.state is not PaymentState.PENDING
        if not answer.tokens:
            state = PaymentState.TORN if answer.in_doubt else PaymentState.REFUSED
            if again:
                state = payment.state
            return self._book.end_without(payment, state, answer.reason, answer, now)
        rejected = self._why_not(payment, answer.tokens, now)
        if rejected is None:
            return self._book.accept(payment, answer, now)
        reason = sentence(rejected)
        if again and not _is_about(payment, answer.tokens):
            return self._book.end_without(payment, payment.state, reason, answer, now)
        return self._book.end_without(payment, PaymentState.REJECTED, reason, answer, now)

    def _why_not(self, payment: Payment, tokens: list[Token], now: int) -> Rejected | None:
        """Why the tokens are not good for this payment; None if they are (protocol section 4)."""
        trust, denylist = self._trust.load()
        expected = Expectation(
            payment.payee, payment.payment_id, payment.amount_tiyn, payment.time, now
        )
        try:
            check_payment(trust, denylist, expected, tokens, self._book.taken_from(tokens))
        except Rejected as rejected:
            return rejected
        return None

    def _bank(self) -> Certificate:
        """The till's own bank, for cards of other banks that do not know it yet."""
        try:
            return self._trust.load()[0].find(self.certificate.issuer, ROLE_BANK)
        except Rejected as rejected:
            raise TillError(sentence(rejected)) from None

    def _make_bundle(self, items: list[tuple[int, bytes]]) -> Bundle:
        """Signed by the till, with the certificates that its tokens are verified under."""
        carried = [(ITEM_CERTIFICATE, one.raw) for one in self._trust.load()[0].known]
        return Bundle.issue(
            self._setup.key.sign,
            self._clock(),
            self.certificate,
            self._bank(),
            carried[:MAX_CARRIED] + items,
        )

    def _ask_bank(self, port: BankPort, report: SyncReport) -> None:
        """Payments that the payer's own sync may have brought to the bank (case T06)."""
        for payment in self._book.unfinished(MAX_ASKED):
            try:
                result = port.payment_state(payment.payment_id, payment.payee.record_id)
            except BankRefused as error:
                report.failed.append(sentence(error))
                continue
            if result is None or result.payment_id != payment.payment_id:
                continue
            with self._database.transaction() as connection:
                self._keep_word(connection, result)
            report.resolved += 1

    def _keep_word(self, connection: Connection, word: Word) -> None:
        if isinstance(word, PurseSync):
            self._desk.keep(connection, word)
        else:
            self._keep_result(connection, word)

    def _keep_result(self, connection: Connection, result: SaleResult) -> None:
        payment = self._book.read(connection, result.payment_id)
        state = _BANKS_STATES[result.state]
        reason = result.reason
        if not reason and payment.state in UNFINISHED:
            reason = _FROM_THE_PAYER
        if state is PaymentState.SYNCHRONISED and result.amount_tiyn != payment.amount_tiyn:
            state = PaymentState.DISPUTED
            reason = f"The bank has {result.amount_tiyn} tiyn for this payment."
        self._book.settle(connection, payment, state, reason, self._clock())


def _question(
    payment: Payment, bank: Certificate, pin: str | None, ask_pin: AskPin | None
) -> Question:
    """The same request each time that a card is asked for this payment."""
    request = PayRequest(
        payment.amount_tiyn, payment.payment_id, payment.time, payment.payee, payment.purpose
    )
    return Question(request, bank, pin, ask_pin)


def _is_about(payment: Payment, tokens: list[Token]) -> bool:
    """Whether the tokens are an answer to this payment; old ones of another prove nothing."""
    return all(token.transfer.payment_id == payment.payment_id for token in tokens)
