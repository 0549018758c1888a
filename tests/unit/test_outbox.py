# SPDX-License-Identifier: Apache-2.0
"""The outbox, bundle files, and what a sync makes of the bank's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.wire import apdu
from firmware.wire.bundle import ITEM_CERTIFICATE, ITEM_EXPORT, ITEM_SALE
from firmware.wire.token import parse_tokens
from host_bridge.sync import outbox
from host_bridge.sync.bundle_file import BundleFileError, read_bundle, write_bundle
from host_bridge.sync.port import (
    MAX_BUNDLE_BYTES,
    BankUnreachable,
    Directory,
    SaleResult,
    SaleState,
)
from pos_terminal.cheque import Cheque
from pos_terminal.errors import TillError
from pos_terminal.states import PaymentState
from pos_terminal.till import Till
from tests.doubles.desk import NOW, Desk
from tests.doubles.shop import PaperBank, Shop, held

BREAD = Cheque.of_amount(30_000)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "till")


@pytest.fixture
def till(shop: Shop) -> Iterator[Till]:
    with shop.open() as opened:
        yield opened


@pytest.fixture
def bank(shop: Shop) -> PaperBank:
    return PaperBank(shop)


def test_b01_what_was_sent_is_not_sent_again(shop: Shop, till: Till, bank: PaperBank) -> None:
    payment = till.sell(BREAD, held(shop.card(100_000)))
    report = till.sync(bank)
    assert (report.sent, report.waiting, report.failed, report.unreachable) == (1, 0, [], "")
    assert till.payment(payment.payment_id).state is PaymentState.SYNCHRONISED
    assert till.payment(payment.payment_id).tokens  # the evidence stays
    assert (till.sync(bank).sent, bank.uploads) == (0, 1)


def test_b07_one_bad_item_does_not_stop_the_others(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(200_000)
    first, *others = [till.sell(BREAD, held(card)) for _ in range(4)]
    bank.bad.add(first.payment_id)
    for _ in range(2):
        report = till.sync(bank)
        assert report.failed == ["the bank does not like this payment"]
        assert report.waiting == 1
    assert report.sent == 0
    assert {till.payment(p.payment_id).state for p in others} == {PaymentState.SYNCHRONISED}
    assert till.payment(first.payment_id).state is PaymentState.PAID
    bank.bad.clear()
    assert till.sync(bank).waiting == 0
    assert till.payment(first.payment_id).state is PaymentState.SYNCHRONISED


def test_b02_a_line_lost_between_items_loses_nothing(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(200_000)
    for _ in range(3):
        till.sell(BREAD, held(card))
    upload = bank.upload_sale

    def once(tokens):  # type: ignore[no-untyped-def]
        result = upload(tokens)
        bank.line = False
        return result

    bank.upload_sale = once  # type: ignore[method-assign]
    report = till.sync(bank)
    assert (report.sent, report.waiting) == (1, 2)
    assert report.unreachable == "There is no line to the bank."
    assert till.sync(bank).unreachable
    bank.line = True
    del bank.upload_sale  # type: ignore[method-assign]
    assert till.sync(bank).waiting == 0
    assert len(bank.posted) == 3


def test_an_item_that_the_bank_stumbles_over_goes_last(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(200_000)
    first, second = (till.sell(BREAD, held(card)) for _ in range(2))
    upload = bank.upload_sale

    def stumbling(tokens):  # type: ignore[no-untyped-def]
        if tokens[0].transfer.payment_id == first.payment_id:
            raise BankUnreachable("The bank has trouble of its own.")
        return upload(tokens)

    bank.upload_sale = stumbling  # type: ignore[method-assign]
    assert till.sync(bank).sent == 0
    assert till.sync(bank).sent == 1
    assert till.payment(second.payment_id).state is PaymentState.SYNCHRONISED


def test_a_flush_is_bounded_and_bad_items_go_last(
    shop: Shop, till: Till, bank: PaperBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = shop.card(200_000)
    payments = [till.sell(BREAD, held(card)) for _ in range(5)]
    bank.bad = {payment.payment_id for payment in payments[:2]}
    flushed = [till._outbox.flush(bank, till._keep_word, limit=2) for _ in range(3)]
    assert [report.sent for report in flushed] == [0, 2, 1]
    assert till.waiting() == 2


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (SaleState.SYNCHRONISED, PaymentState.SYNCHRONISED),
        (SaleState.DISPUTED, PaymentState.DISPUTED),
        (SaleState.REFUSED, PaymentState.REFUSED_BY_BANK),
    ],
)
def test_the_banks_word_is_the_payments_state(
    shop: Shop, till: Till, bank: PaperBank, word: SaleState, state: PaymentState
) -> None:
    payment = till.sell(BREAD, held(shop.card(100_000)))
    bank.words[payment.payment_id] = SaleResult(payment.payment_id, word, 30_000, "because")
    till.sync(bank)
    settled = till.payment(payment.payment_id)
    assert (settled.state, settled.reason) == (state, "because")


def test_b06_an_answer_about_another_payment_is_not_taken(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    payment = till.sell(BREAD, held(shop.card(100_000)))
    other = SaleResult(bytes(16), SaleState.SYNCHRONISED, 30_000)
    bank.words[payment.payment_id] = other
    assert till.sync(bank).failed == ["the bank answered about another payment"]
    assert till.payment(payment.payment_id).state is PaymentState.PAID


def test_t06_the_payers_sync_resolves_what_the_till_does_not_know(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(200_000)
    card.tear = (apdu.INS_PAY, "after")
    given_up = till.give_up(till.sell(BREAD, held(card)).payment_id)
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    card.tear = (apdu.INS_GET_RESPONSE, "before")
    cut = till.sell(BREAD, held(card))
    card.tear = (apdu.INS_PAY, "before")
    never = till.sell(BREAD, held(card))
    assert till.sync(bank).resolved == 0
    other_till = Shop(shop.folder.with_name("other"), shop.desk)
    with other_till.open() as elsewhere:
        assert elsewhere.sync_card(held(card), card.pin, bank).acknowledged
    assert till.sync(bank).resolved == 3
    assert till.payment(given_up.payment_id).state is PaymentState.SYNCHRONISED
    settled = till.payment(torn.payment_id)
    assert settled.state is PaymentState.SYNCHRONISED
    assert "payer" in settled.reason and settled.tokens == []
    evidence = till.payment(cut.payment_id)
    assert evidence.state is PaymentState.SYNCHRONISED
    assert len(evidence.answer) == 256 and evidence.tokens == []  # not money, and no error
    assert till.payment(never.payment_id).state is PaymentState.TORN


def test_a_payment_to_somebody_else_under_the_same_id_resolves_nothing(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_PAY, "before")
    torn = till.sell(BREAD, held(card))
    word = SaleResult(torn.payment_id, SaleState.SYNCHRONISED, 30_000)
    bank.words[torn.payment_id] = word
    bank.payees[torn.payment_id] = shop.desk.clinic.record_id
    assert till.sync(bank).resolved == 0


def test_a_bank_that_has_another_amount_makes_a_dispute(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(100_000)
    card.tear = (apdu.INS_PAY, "after")
    torn = till.sell(BREAD, held(card))
    bank.words[torn.payment_id] = SaleResult(torn.payment_id, SaleState.SYNCHRONISED, 1)
    till.sync(bank)
    assert till.payment(torn.payment_id).state is PaymentState.DISPUTED


def test_r15_a_bank_under_another_root_is_not_believed(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    payment = till.sell(BREAD, held(shop.card(100_000)))
    other = Directory(Desk().root.public_key, (), None, NOW)
    bank.directory = lambda: other  # type: ignore[method-assign]
    with pytest.raises(TillError, match="another root"):
        till.sync(bank)
    assert bank.uploads == 0
    assert till.payment(payment.payment_id).state is PaymentState.PAID


def test_a_certificate_that_the_root_did_not_sign_is_passed_over(shop: Shop, till: Till) -> None:
    stranger = Desk().issuer
    known = shop.directory()
    directory = Directory(known.root, (*known.certificates, stranger), None, NOW)
    (sentence,) = till.refresh(directory)
    assert "not signed by this root" in sentence
    assert till.sell(BREAD, held(shop.card(100_000))).state is PaymentState.PAID


def test_a_card_is_synced_over_the_line(shop: Shop, till: Till, bank: PaperBank) -> None:
    card = shop.card(100_000)
    till.sell(BREAD, held(card))
    result = till.sync_card(held(card), card.pin, bank)
    assert (result.entries, result.acknowledged, result.queued) == (1, True, False)
    assert result.serial == card.certificate.serial
    assert card.entries == [] and card.acknowledged[0] == 1
    assert till.sync_card(held(card), card.pin, bank).entries == 0


def test_a_card_is_synced_without_a_line(shop: Shop, till: Till, bank: PaperBank) -> None:
    card = shop.card(200_000)
    till.sell(BREAD, held(card))
    bank.line = False
    for port in (None, bank):
        result = till.sync_card(held(card), card.pin, port)
        assert (result.acknowledged, result.queued) == (False, True)
    assert till.waiting() == 2  # the sale, and one export: it was the same journal twice
    till.sell(BREAD, held(card))
    bank.line = True
    assert till.sync(bank).waiting == 0
    assert len(bank.exports) == 1
    assert len(card.entries) == 2
    bank.line = False
    result = till.sync_card(held(card), card.pin)  # brings the acknowledgement, offline
    assert (result.entries, card.acknowledged[0]) == (1, 1)


def test_a_newer_policy_is_carried_to_the_card(shop: Shop, till: Till, bank: PaperBank) -> None:
    card = shop.card(100_000)
    bank.policy = shop.desk.policy(policy_version=4)
    assert till.sync_card(held(card), card.pin, bank).policy_version == 4
    assert card.policy_version == 4
    till.sell(BREAD, held(card))
    till.sync_card(held(card), card.pin)
    bank.policy = shop.desk.policy(policy_version=5)
    till.sync(bank)
    assert till.sync_card(held(card), card.pin).policy_version == 5  # with no line any more


def test_a_policy_that_is_stale_by_now_does_no_harm(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(100_000)
    till.sell(BREAD, held(card))
    till.sync_card(held(card), card.pin)
    bank.policy = shop.desk.policy(policy_version=4)
    till.sync(bank)
    card.policy_version = 9  # the card has been elsewhere
    result = till.sync_card(held(card), card.pin)
    assert (result.policy_version, card.policy_version, card.acknowledged[0]) == (None, 9, 1)
    bank.policy = shop.desk.policy(policy_version=5)  # but fresh word that is refused is told
    with pytest.raises(TillError, match="not in a state"):
        till.sync_card(held(card), card.pin, bank)


def test_a_journal_stays_until_the_bank_acknowledged_all_of_it(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(200_000)
    till.sell(BREAD, held(card))
    till.sync_card(held(card), card.pin, bank)
    till.sync(bank)
    till.sell(BREAD, held(card))
    till.sync_card(held(card), card.pin)
    take = bank._take
    bank._take = lambda export: bank.acknowledged[export.certificate.serial]  # type: ignore
    report = till.sync(bank)
    assert (report.sent, report.waiting) == (1, 1)
    assert report.failed == ["the bank has not acknowledged a card's journal"]
    bank._take = take  # type: ignore[method-assign]
    assert till.sync(bank).waiting == 0


def test_a_line_lost_after_the_export_keeps_it(shop: Shop, till: Till, bank: PaperBank) -> None:
    card = shop.card(100_000)
    till.sell(BREAD, held(card))
    challenge = bank.challenge

    def last_word() -> bytes:
        given = challenge()
        bank.line = False
        return given

    bank.challenge = last_word  # type: ignore[method-assign]
    assert till.sync_card(held(card), card.pin, bank).queued
    assert till.waiting() == 2


def test_a_card_torn_at_the_acknowledgement_gets_it_next_time(
    shop: Shop, till: Till, bank: PaperBank
) -> None:
    card = shop.card(100_000)
    till.sell(BREAD, held(card))
    card.tear = (apdu.INS_ACKNOWLEDGE, "before")
    with pytest.raises(TillError, match="taken away"):
        till.sync_card(held(card), card.pin, bank)
    assert len(card.entries) == 1
    assert till.sync_card(held(card), card.pin).entries == 0
    assert card.acknowledged[0] == 1
    card.tear = (apdu.INS_ACKNOWLEDGE, "after")
    till.sell(BREAD, held(card))
    with pytest.raises(TillError, match="in time"):
        till.sync_card(held(card), card.pin, bank)
    result = till.sync_card(held(card), card.pin, bank)  # the stale word does no harm
    assert result.acknowledged and card.acknowledged[0] == 2


def test_a_wrong_pin_syncs_nothing(shop: Shop, till: Till, bank: PaperBank) -> None:
    for pin in ("0000", "12", "х" * 4):
        with pytest.raises(TillError) as caught:
            till.sync_card(held(shop.card(100_000)), pin, bank)
        assert pin not in str(caught.value) or pin == "12"
    assert bank.exports == [] and till.waiting() == 0


def test_a_bundle_file_carries_all_and_takes_nothing_out(
    shop: Shop, till: Till, bank: PaperBank, tmp_path: Path
) -> None:
    card = shop.card(200_000)
    payments = [till.sell(BREAD, held(card)) for _ in range(3)]
    till.sync_card(held(card), card.pin)
    path = tmp_path / "stick" / "monday.qalta"
    path.parent.mkdir()
    assert till.write_bundle(path) == 4
    bundle = read_bundle(path)
    owed = [item for item in bundle.items if item[0] != ITEM_CERTIFICATE]
    assert [kind for kind, _ in owed] == [ITEM_SALE] * 3 + [ITEM_EXPORT]
    assert parse_tokens(owed[0][1])[0].raw == payments[0].tokens[0].raw
    carried = {raw for kind, raw in bundle.items if kind == ITEM_CERTIFICATE}
    assert {shop.desk.issuer.raw, shop.desk.bank.raw} <= carried, "what the tokens stand on"
    assert bundle.terminal == shop.desk.shop and bundle.bank == shop.desk.bank
    assert till.waiting() == 4
    bank.upload_bundle(bundle)
    assert till.sync(bank).waiting == 0
    assert len(bank.posted) == 3
    with pytest.raises(TillError, match="Nothing waits"):
        till.write_bundle(path)
    assert [file.name for file in path.parent.iterdir()] == ["monday.qalta"]


def test_more_than_one_bundle_holds_goes_to_more_files(
    shop: Shop, till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = shop.card(200_000)
    for _ in range(5):
        till.sell(BREAD, held(card))
    monkeypatch.setattr(outbox, "MAX_PARCEL_BYTES", 728)  # two tokens of 360 bytes, each headed
    assert till.write_bundle(tmp_path / "b") == 5
    files = [read_bundle(tmp_path / name) for name in ("b", "b.2", "b.3")]
    assert [[kind for kind, _ in file.items].count(ITEM_SALE) for file in files] == [2, 2, 1]


def test_a_full_bundle_is_no_larger_than_a_bank_takes(shop: Shop, till: Till) -> None:
    table = till._outbox._table
    rows = [
        {"kind": ITEM_EXPORT, "key": bytes([number]), "data": bytes(0xFFFF), "created": 0}
        for number in range(256)
    ]
    with till._database.transaction() as connection:
        connection.execute(table.insert(), rows)
    bundles = till._outbox.bundles()
    assert len(bundles) == 2
    assert all(len(bundle.raw) <= MAX_BUNDLE_BYTES for bundle in bundles)


def test_a_bundle_file_that_was_changed_is_not_read(
    shop: Shop, till: Till, tmp_path: Path
) -> None:
    till.sell(BREAD, held(shop.card(100_000)))
    path = tmp_path / "bundle"
    till.write_bundle(path)
    raw = path.read_bytes()
    for bad, sentence in [
        (raw[:-1], "no bundle"),
        (b"", "no bundle"),
        (raw[:600] + bytes([raw[600] ^ 1]) + raw[601:], "changed after"),
    ]:
        path.write_bytes(bad)
        with pytest.raises(BundleFileError, match=sentence):
            read_bundle(path)
    with pytest.raises(BundleFileError, match="cannot be read"):
        read_bundle(tmp_path / "none")
    path.write_bytes(raw)
    with pytest.raises(BundleFileError, match="cannot be written"):
        write_bundle(tmp_path / "no" / "folder", read_bundle(path))
