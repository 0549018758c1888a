# SPDX-License-Identifier: Apache-2.0
"""The till and one card: paid, refused, rejected, torn, recovered (reliability cases T, R)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from firmware.wire import apdu, status
from firmware.wire.token import parse_tokens
from host_bridge.crypto.keys import SigningKey
from host_bridge.transport.base import LinkLost, Transport
from pos_terminal.cheque import Cheque, Line
from pos_terminal.errors import TillError
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import DAY, MEDICAL
from tests.doubles.paper_card import PaperCard, sign_transfer
from tests.doubles.shop import Shop, held

BREAD = Cheque.of_amount(30_000, "Bread")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till")


@pytest.fixture
def till(shop: Shop) -> Iterator[Till]:
    with shop.open() as opened:
        yield opened


def test_a_sale_is_paid_kept_and_owed_to_the_bank(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.PAID
    assert payment.amount_tiyn == 30_000
    assert [token.amount_tiyn for token in payment.tokens] == [30_000]
    assert payment.answer == card.answers[payment.payment_id]
    assert sha256(payment.cheque.raw + payment.salt).digest()[:16] == payment.payment_id
    assert payment.tap.apdus == len(card.seen) == 3  # SELECT, PAY, GET RESPONSE
    assert payment.tap.bytes_in > 360 and payment.tap.wall_ms == 3.0
    assert till.waiting() == 1
    assert till.totals().by_state == {PaymentState.PAID: (1, 30_000)}


def test_a_payment_of_several_notes(shop: Shop, till: Till) -> None:
    card = shop.card(10_000, 15_000, 50_000)
    payment = till.sell(BREAD, held(card))
    assert [token.amount_tiyn for token in payment.tokens] == [10_000, 15_000, 5_000]
    assert till.sell(BREAD, held(card)).state is PaymentState.PAID
    assert card.balance_tiyn == 15_000


def test_the_bank_is_presented_to_a_card_that_does_not_know_it(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.known_banks.clear()
    assert till.sell(BREAD, held(card)).state is PaymentState.PAID
    assert card.seen.count(apdu.INS_PRESENT_CERTIFICATE) == 1
    assert card.seen.count(apdu.INS_PAY) == 2


def test_a_card_that_never_learns_the_bank_is_asked_twice_only(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.known_banks = frozenset()  # type: ignore[assignment]
    card._present = lambda command: b""  # type: ignore[method-assign]
    assert till.sell(BREAD, held(card)).state is PaymentState.REFUSED
    assert card.seen.count(apdu.INS_PAY) == 2


def test_the_pin_is_asked_for_when_the_card_wants_it(shop: Shop, till: Till) -> None:
    asked: list[str] = []
    answers = iter(["0000", "12", "2580"])

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    card = shop.card(2_000_000)
    payment = till.sell(Cheque.of_amount(600_000), held(card), ask_pin=ask)
    assert payment.state is PaymentState.PAID
    assert "2 tries left" in asked[1] and "digits" in asked[2]
    assert "2580" not in repr(payment)


@pytest.mark.parametrize(
    ("pin", "ask", "sentence"),
    [
        (None, None, "PIN is needed"),
        ("0000", None, "Wrong PIN, 2 tries left"),
        (None, lambda prompt: None, "none was given"),
        (None, lambda prompt: "0000", "No right PIN"),
    ],
)
def test_without_the_right_pin_nothing_is_paid(
    shop: Shop,
    till: Till,
    pin: str | None,
    ask: Callable[[str], str | None] | None,
    sentence: str,
) -> None:
    card = shop.card(2_000_000)
    payment = till.sell(Cheque.of_amount(600_000), held(card), pin=pin, ask_pin=ask)
    assert payment.state is PaymentState.REFUSED
    assert card.debits == 0
    assert sentence in payment.reason


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (status.INSUFFICIENT_FUNDS, PaymentState.REFUSED),
        (status.JOURNAL_FULL, PaymentState.REFUSED),
        (status.PAYEE_CERTIFICATE, PaymentState.REFUSED),
        (status.BLOCKED, PaymentState.REFUSED),
        (status.FAILURE, PaymentState.TORN),
        (status.MEMORY_FAILURE, PaymentState.TORN),
        (status.CONDITIONS_NOT_MET, PaymentState.TORN),
        (0x6FFF, PaymentState.TORN),
        (0x0000, PaymentState.TORN),
    ],
)
def test_only_a_clear_refusal_is_a_refusal(
    shop: Shop, till: Till, word: int, state: PaymentState
) -> None:
    """A card that failed inside, or came back after a loss of power, may have paid."""
    card = shop.card(100_000)
    card.refuse_pay = word
    payment = till.sell(BREAD, held(card))
    assert payment.state is state
    assert payment.reason.endswith(f"({word:04X}).")


def test_a_card_that_only_syncs_is_not_asked_to_pay(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.lifecycle = apdu.LIFECYCLE_SYNC_ONLY
    assert till.sell(BREAD, held(card)).state is PaymentState.REFUSED
    assert apdu.INS_PAY not in card.seen


def test_no_card_within_reach_is_refused(till: Till) -> None:
    def nothing() -> Transport:
        raise LinkLost("There is no card.")

    payment = till.sell(BREAD, nothing)
    assert (payment.state, payment.reason) == (PaymentState.REFUSED, "There is no card.")


def test_lost_before_pay_is_refused(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_SELECT, "after")
    assert till.sell(BREAD, held(card)).state is PaymentState.REFUSED
    card.tear = (apdu.INS_VERIFY, "before")
    assert till.sell(BREAD, held(card), pin="2580").state is PaymentState.REFUSED
    assert card.debits == 0


def test_t01_torn_before_the_card_has_pay(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_PAY, "before")
    torn = till.sell(BREAD, held(card))
    assert torn.state is PaymentState.TORN
    again = till.recover(torn.payment_id, held(card))
    assert again.state is PaymentState.TORN and "does not know" in again.reason
    assert card.debits == 0
    paid = till.recover(torn.payment_id, held(card), pay_again=True)
    assert (paid.state, paid.payment_id) == (PaymentState.PAID, torn.payment_id)
    assert (card.debits, card.balance_tiyn) == (1, 70_000)


def test_t02_torn_after_the_commit(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    assert torn.state is PaymentState.TORN
    shop.now += 600  # the request of a later tap is the same all the same
    paid = till.recover(torn.payment_id, held(card), pay_again=True)
    assert paid.state is PaymentState.PAID
    assert paid.answer == card.answers[torn.payment_id]
    assert (card.debits, card.balance_tiyn) == (1, 70_000)
    assert till.waiting() == 1
    with pytest.raises(TillError, match="nothing to recover"):
        till.recover(torn.payment_id, held(card))


def test_t05_torn_within_a_chained_answer(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_GET_RESPONSE, "before")
    torn = till.sell(BREAD, held(card))
    assert torn.state is PaymentState.TORN
    assert len(torn.answer) == 256 and torn.tokens == []  # evidence, not money
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID
    assert card.debits == 1


def test_a_card_that_lost_its_power_before_get_response_is_torn(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    honest = card.transmit

    def forgetful(command: bytes) -> bytes:
        if command[1] == apdu.INS_GET_RESPONSE:
            return b"\x6d\x00"
        return honest(command)

    card.transmit = forgetful  # type: ignore[method-assign]
    assert till.sell(BREAD, held(card)).state is PaymentState.TORN
    assert card.debits == 1


def test_t07_another_card_at_recovery(shop: Shop, till: Till) -> None:
    card, stranger = shop.card(100_000), shop.card(100_000)
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    kept = till.recover(torn.payment_id, held(stranger))
    assert kept.state is PaymentState.TORN
    assert stranger.debits == 0
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID


def test_a_refusal_at_recovery_voids_nothing(shop: Shop, till: Till) -> None:
    card, poor = shop.card(100_000), shop.card()
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    kept = till.recover(torn.payment_id, held(poor), pay_again=True)
    assert kept.state is PaymentState.TORN
    unknown = till.give_up(torn.payment_id)
    assert unknown.state is PaymentState.UNKNOWN
    assert till.recover(torn.payment_id, held(poor)).state is PaymentState.UNKNOWN
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID


def test_t10_the_till_loses_power_after_the_commit(shop: Shop) -> None:
    card = shop.card(100_000)

    class Blackout(BaseException):
        pass

    def dying(command: bytes) -> bytes:
        answer = PaperCard.transmit(card, command)
        if command[1] == apdu.INS_PAY:
            raise Blackout
        return answer

    card.transmit = dying  # type: ignore[method-assign]
    till = shop.open()
    with pytest.raises(Blackout):
        till.sell(BREAD, held(card))
    till.close()
    del card.transmit  # type: ignore[method-assign]
    with shop.open() as till:
        (left,) = till.payments()
        assert left.state is PaymentState.TORN
        assert till.recover(left.payment_id, held(card)).state is PaymentState.PAID
    assert card.debits == 1


def test_t11_the_till_cannot_write(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    with till._database.transaction() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(TillError, match="cannot use its books"):
        till.sell(BREAD, held(card))
    assert card.seen == []


def test_t12_recover_with_the_id_of_another_terminal(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    with pytest.raises(TillError, match="no payment"):
        till.recover(bytes(16), held(card))
    assert card.seen == []


def resigned(card: PaperCard, honest: bytes, **changes: object) -> bytes:
    """The honest first token with a transfer of other fields, signed by the same key."""
    (token, *_) = parse_tokens(honest)
    fields = {name: getattr(token.transfer, name) for name in ("parent", "start", "end")}
    fields.update({name: getattr(token.transfer, name) for name in ("payee", "payment_id")})
    fields.update(time=token.transfer.time)
    fields.update(changes)
    return bytes(token.note.raw + sign_transfer(card.notes[0][1], **fields).raw)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"end": 1}, "another amount"),
        ({"end": 29_999}, "another amount"),
        ({"payee": bytes(32)}, "somebody else"),
        ({"payment_id": bytes(16)}, "another payment"),
        ({"parent": bytes(32)}, "does not follow"),
        ({"start": 100_000, "end": 130_000}, "never had"),
        ({"time": 0xFFFF_FFFF}, "expired"),
        ({"seq": 1000}, "too often"),
    ],
)
def test_r06_a_changed_transfer_is_rejected_and_kept(
    shop: Shop, till: Till, changes: dict[str, object], sentence: str
) -> None:
    card = shop.card(100_000)
    card.lie = lambda honest: resigned(card, honest, **changes)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.REJECTED
    assert sentence in payment.reason
    assert payment.tokens == [] and len(payment.answer) == 360
    assert till.waiting() == 0
    assert till.totals().amount_tiyn(PaymentState.PAID) == 0


def test_r06_each_byte_that_is_flipped_is_noticed(shop: Shop, till: Till) -> None:
    """Every 7th byte of a token; the answer is torn or rejected, and never paid."""
    card = shop.card(30_000 * 60)
    for at in range(0, 360, 7):
        card.lie = lambda honest, at=at: flipped(honest, at)  # type: ignore[misc]
        state = till.sell(BREAD, held(card)).state
        assert state in (PaymentState.REJECTED, PaymentState.TORN), at
    assert till.waiting() == 0


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_r01_an_old_answer_is_rejected(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    first = till.sell(BREAD, held(card))
    card.lie = lambda honest: first.answer
    again = till.sell(BREAD, held(card))
    assert again.state is PaymentState.REJECTED and "another payment" in again.reason
    assert till.sell(Cheque.of_amount(1), held(card)).state is PaymentState.REJECTED


def test_r02_an_old_answer_at_recovery_settles_nothing(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    first = till.sell(BREAD, held(card))
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    card.lie = lambda honest: first.answer
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.TORN
    card.lie = None
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID


@pytest.mark.parametrize("garbage", [b"\x02", b"\xff" * 360, b"\x01" * 65_000])
def test_garbage_is_torn_with_its_bytes_kept(shop: Shop, till: Till, garbage: bytes) -> None:
    card = shop.card(100_000)
    card.lie = lambda honest: garbage
    torn = till.sell(BREAD, held(card))
    assert torn.state is PaymentState.TORN and "nonsense" in torn.reason
    assert torn.answer == garbage
    card.lie = None
    assert till.recover(torn.payment_id, held(card)).state is PaymentState.PAID


def test_an_answer_without_end_is_torn(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    card._more = lambda: bytes(256) + b"\x61\xff"  # type: ignore[method-assign]
    assert till.sell(BREAD, held(card)).state is PaymentState.TORN
    assert len(till.payments()[0].answer) == 65_536


def test_a_note_of_an_unknown_issuer_is_rejected(shop: Shop, till: Till) -> None:
    forger = SigningKey.generate()
    card = shop.card(100_000, issuer=forger.key_id)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.REJECTED and "not known" in payment.reason


def test_a_counterfeit_note_is_rejected(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    note, key = card.notes[0]
    forged = type(note).issue(
        SigningKey.generate().sign,
        **{
            name: getattr(note, name)
            for name, _ in note.LAYOUT.fields
            if name not in ("type", "version", "signature")
        },
    )
    card.notes[0] = (forged, key)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.REJECTED and "not signed by its issuer" in payment.reason


def test_i6_the_same_units_twice_are_rejected(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    assert till.sell(BREAD, held(card)).state is PaymentState.PAID
    card.spent.clear()  # the memory was put back
    twice = till.sell(Cheque.of_amount(20_000), held(card))
    assert twice.state is PaymentState.REJECTED and "spent here before" in twice.reason


def test_special_purpose_money_is_not_taken_here(shop: Shop, till: Till) -> None:
    card = shop.card(100_000, purpose=MEDICAL)
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.REJECTED and "may not be spent here" in payment.reason


def test_expired_money_is_rejected(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    shop.now += 200 * DAY
    assert till.sell(BREAD, held(card)).state is PaymentState.REJECTED


def test_a_denied_key_is_rejected_and_an_older_list_changes_nothing(
    shop: Shop, till: Till
) -> None:
    """R14, too: an older epoch, or one that the notary did not sign."""
    card = shop.card(100_000)
    denied = {card.notes[0][1].key_id}
    assert till.refresh(shop.directory(shop.denylist(5, denied))) == []
    assert till.refresh(shop.directory(shop.denylist(4, set()))) == []
    forged = shop.denylist(9, set(), signer=SigningKey.generate())
    assert "denylist" in till.refresh(shop.directory(forged))[0]
    payment = till.sell(BREAD, held(card))
    assert payment.state is PaymentState.REJECTED and "blocked" in payment.reason
    assert till.refresh(shop.directory(shop.denylist(6, set()))) == []
    assert till.sell(BREAD, held(card)).state is PaymentState.PAID


def test_a_rejected_payment_may_be_recovered_after_news(shop: Shop, till: Till) -> None:
    """An issuer that is newer than the till's directory."""
    key, issuer = shop.desk._under_root(2)
    card = shop.card()
    owner = SigningKey.generate()
    note = shop.desk.note(owner.public_key, 50_000, issuer=issuer.key_id)
    fields = [name for name, _ in note.LAYOUT.fields if name not in ("type", "version")]
    values = {name: getattr(note, name) for name in fields if name != "signature"}
    card.notes.append((type(note).issue(key.sign, **values), owner))
    rejected = till.sell(BREAD, held(card))
    assert rejected.state is PaymentState.REJECTED
    directory = shop.directory()
    news = type(directory)(directory.root, (*directory.certificates, issuer), None, shop.now)
    assert till.refresh(news) == []
    assert till.recover(rejected.payment_id, held(card)).state is PaymentState.PAID
    assert card.debits == 1


def test_r03_a_random_source_that_repeats_fails_closed(shop: Shop) -> None:
    card = shop.card(100_000)
    with shop.open(random=lambda n: bytes(n)) as till:
        assert till.sell(BREAD, held(card)).state is PaymentState.PAID
        with pytest.raises(TillError, match="random source"):
            till.sell(Cheque((Line("Milk", 100),)), held(card))
    assert card.debits == 1


def test_s16_a_clock_that_is_wrong_asks_no_card(shop: Shop, till: Till) -> None:
    card = shop.card(100_000)
    shop.now = 946_684_800
    with pytest.raises(TillError, match="clock"):
        till.sell(BREAD, held(card))
    assert card.seen == []


def test_a_card_that_writes_another_time_is_rejected(shop: Shop, till: Till) -> None:
    """The bank refuses a time before the till's certificate: its goods would be for nothing."""
    card = shop.card(100_000)
    for its in (0, shop.now - 1, shop.now + 1):
        card.lie = lambda honest, its=its: resigned(card, honest, time=its)  # type: ignore[misc]
        payment = till.sell(BREAD, held(card))
        assert payment.state is PaymentState.REJECTED and "another time" in payment.reason
        card.spent.clear()
    assert till.waiting() == 0


def test_no_second_card_pays_what_a_first_one_answered(shop: Shop, till: Till) -> None:
    card, other = shop.card(100_000), shop.card(100_000)
    assert till.refresh(shop.directory(shop.denylist(5, {card.notes[0][1].key_id}))) == []
    rejected = till.sell(BREAD, held(card))
    assert rejected.state is PaymentState.REJECTED
    with pytest.raises(TillError, match="new sale"):
        till.recover(rejected.payment_id, held(other), pay_again=True)
    assert other.debits == 0
