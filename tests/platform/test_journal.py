# SPDX-License-Identifier: Apache-2.0
"""Purses' journals at the bank: continuity, forks, acknowledgements, bundles.

Guards I5 (a payment is credited even if the till never uploads), I6 (no fork is missed).
"""

from __future__ import annotations

import pytest

from firmware.wire.bundle import ITEM_EXPORT, ITEM_SALE, Bundle, PurseExport
from firmware.wire.journal import JournalEntry, Statement
from firmware.wire.layout import key_id
from host_bridge.bank.registry import MAX_CHALLENGES
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused, PurseSync, SaleState
from tests.doubles.paper_purse import PaperPurse, spoiled
from tests.platform.town import Till, Town


def sync(town: Town, purse: PaperPurse) -> PurseSync:
    return town.bank.upload_export(purse.export(town.bank.challenge()))


def kinds(town: Town) -> set[str]:
    return {finding.kind for finding in town.bank.findings()}


def test_the_payee_is_credited_though_the_till_never_uploads(town: Town) -> None:
    """Reliability case T06."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    (token,) = town.pay(purse, town.cafe, piece, 2_500)
    assert town.bank.payment_state(token.transfer.payment_id) is None
    answer = sync(town, purse)
    assert answer.acknowledgement.counter == 1
    assert answer.acknowledgement.chain == purse.head
    assert town.wallet("cafe") == 2_500
    payee = town.cafe.certificate.record_id
    state = town.bank.payment_state(token.transfer.payment_id, payee)
    assert state is not None and state.state is SaleState.SYNCHRONISED
    other = town.shop.certificate.record_id
    assert town.bank.payment_state(token.transfer.payment_id, other) is None
    assert town.bank.upload_sale([token]).state is SaleState.SYNCHRONISED
    assert town.wallet("cafe") == 2_500
    assert town.bank.findings() == []
    town.assert_sound()


def test_the_acknowledgement_is_the_banks_and_carries_a_newer_policy(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    answer = sync(town, purse)
    bank = town.bank.certificate_of("bank-a")
    assert town.bank._office.trust.signed(bank.public_key, answer.acknowledgement)
    assert answer.policy == town.bank.policy("bank-a")
    purse.policy_version = answer.policy.policy_version
    assert sync(town, purse).policy is None
    newer = town.bank.new_policy("bank-a", max_payment=123)
    assert sync(town, purse).policy == newer
    found = town.bank.acknowledgement(purse.papers.serial)
    assert found is not None and found.policy == newer
    assert town.bank.acknowledgement(bytes(16)) is None


def test_a_policy_for_another_tier_is_not_given_to_a_card_that_would_refuse_it(town: Town) -> None:
    purse = town.purse()
    purse.policy_version = town.bank.policy("bank-a").policy_version
    town.bank.new_policy("bank-a", tier=2)
    assert sync(town, purse).policy is None
    mine = town.bank.new_policy("bank-a", tier=0)
    assert sync(town, purse).policy == mine


def test_the_same_export_gets_the_same_acknowledgement(town: Town) -> None:
    purse = town.purse()
    town.pay(purse, town.cafe, town.load(purse, 10_000), 100)
    export = purse.export(town.bank.challenge())
    first = town.bank.upload_export(export)
    town.now += 60
    assert town.bank.upload_export(export) == first
    # A new statement over the same entries is a new sync, with the time of it.
    assert sync(town, purse).acknowledgement.time == town.now


def test_a_journal_goes_on_behind_its_acknowledgement(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for _ in range(2):
        town.pay(purse, town.cafe, piece, 100)
        word = sync(town, purse).acknowledgement
        purse.acknowledge(word.counter, word.chain)
    purse.counter += 5  # a hardware counter may jump (reliability case S11)
    town.pay(purse, town.cafe, piece, 100)
    word = sync(town, purse).acknowledgement
    assert word.counter == 8
    purse.acknowledge(word.counter, word.chain)
    assert sync(town, purse).acknowledgement.counter == 8  # nothing new is fine, too
    assert town.wallet("cafe") == 300
    town.assert_sound()


def test_a_challenge_is_good_for_one_export(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    challenge = town.bank.challenge()
    town.bank.upload_export(purse.export(challenge))
    town.pay(purse, town.cafe, piece, 100)
    for bad in (challenge, bytes(16)):
        with pytest.raises(BankRefused, match="challenge"):
            town.bank.upload_export(purse.export(bad))
    assert town.wallet("cafe") == 0


def test_challenges_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CHALLENGES == 4096
    monkeypatch.setattr("host_bridge.bank.registry.MAX_CHALLENGES", 3)
    purse = town.purse()
    old = town.bank.challenge()
    kept = [town.bank.challenge() for _ in range(3)]
    with pytest.raises(BankRefused, match="challenge"):
        town.bank.upload_export(purse.export(old))
    town.bank.upload_export(purse.export(kept[0]))


def test_papers_of_another(town: Town) -> None:
    purse, other = town.purse(), town.purse()
    town.pay(purse, town.cafe, town.load(purse, 10_000), 100)
    export = purse.export(town.bank.challenge())
    export.certificate = other.papers
    with pytest.raises(BankRefused, match="not this card's"):
        town.bank.upload_export(export)
    forged = purse.export(town.bank.challenge())
    forged.statement = Statement.parse(forged.statement.body + spoiled(forged.statement.signature))
    with pytest.raises(BankRefused, match="not signed by this card"):
        town.bank.upload_export(forged)
    assert town.wallet("cafe") == 0
    assert {"certificate", "statement"} <= kinds(town)


def test_a_carrier_that_changes_entries_accuses_nobody(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    export = purse.export(town.bank.challenge())
    body = bytearray(export.entries[0].body)
    body[11] ^= 1  # its time
    export.entries[0] = JournalEntry(bytes(body), export.entries[0].signatures)
    with pytest.raises(BankRefused, match="not those that the card signed"):
        town.bank.upload_export(export)
    assert [line.state for line in town.bank.purses()] == ["active"]
    assert sync(town, purse).acknowledgement.counter == 1


def test_two_histories_are_quarantined(town: Town) -> None:
    """Reliability cases B08, R09: a clone is found at sync, and its payees are paid."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    twin = purse.clone()
    town.pay(purse, town.cafe, piece, 100)
    town.pay(twin, town.shop, twin.pieces[0], 100)
    sync(town, purse)
    with pytest.raises(BankRefused, match="two histories"):
        sync(town, twin)
    assert [line.state for line in town.bank.purses()] == ["quarantined"]
    denied = town.bank.denylist()
    assert denied is not None
    assert denied.denies_key(purse.papers.key_id)
    assert denied.denies_key(key_id(piece.key.public_key))
    assert (town.wallet("cafe"), town.wallet("shop")) == (200, 100)
    assert town.line("alibek")["claims_tiyn"] == 100
    for either in (purse, twin):
        with pytest.raises(BankRefused, match=r"blocked|two histories"):
            sync(town, either)
    with pytest.raises(BankRefused, match="blocked"):
        town.load(purse, 100)
    assert "fork" in kinds(town)
    town.assert_sound()


def test_another_entry_behind_an_acknowledged_point_is_a_fork(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    word = sync(town, purse).acknowledgement
    purse.acknowledge(word.counter, word.chain)
    twin = purse.clone()
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    twin.counter += 10  # another counter, but the same point of the chain
    town.pay(twin, town.shop, twin.pieces[0], 100)
    with pytest.raises(BankRefused, match="two histories"):
        sync(town, twin)


def test_another_history_at_a_counter_that_is_known_is_a_fork(town: Town) -> None:
    """The second history claims an acknowledgement of its own, so its fork is out of sight."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    twin = purse.clone()
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    town.pay(twin, town.shop, twin.pieces[0], 100)
    twin.acknowledge(1, twin.head)
    with pytest.raises(BankRefused, match="two histories"):
        sync(town, twin)
    assert [line.state for line in town.bank.purses()] == ["quarantined"]


def test_a_journal_that_begins_nowhere(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    purse.acknowledge(1, purse.head)  # the bank never said so
    town.pay(purse, town.cafe, piece, 100)
    with pytest.raises(BankRefused, match="knows nothing"):
        sync(town, purse)
    assert [line.state for line in town.bank.purses()] == ["active"]
    assert "gap" in kinds(town)


def test_counters_must_rise(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    purse.counter -= 1
    town.pay(purse, town.cafe, piece, 100)
    with pytest.raises(BankRefused, match="not in order"):
        sync(town, purse)


@pytest.mark.parametrize("spoil", [False, True])
def test_an_entry_that_is_not_settled_stays_on_the_purse(town: Town, spoil: bool) -> None:
    """No signature yet, or one spoiled by the carrier: nothing is freed that would be lost."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    purse.pay(town.cafe.certificate, [(piece, 100)], town.payment_id(), town.now)
    town.pay(purse, town.cafe, piece, 100)
    export = purse.export(town.bank.challenge())
    entry = export.entries[1]
    broken = [spoiled(entry.signatures[0])] if spoil else []
    export.entries[1] = JournalEntry(entry.body, broken)
    answer = town.bank.upload_export(export)
    assert answer.acknowledgement.counter == 1
    assert town.wallet("cafe") == 200
    whole = sync(town, purse)
    assert whole.acknowledgement.counter == 3
    assert town.wallet("cafe") == 300
    town.assert_sound()


def test_an_unsigned_entry_whose_till_has_uploaded_is_done(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    tokens = purse.pay(
        town.cafe.certificate, [(piece, 100)], town.payment_id(), town.now, signed=False
    )
    assert sync(town, purse).acknowledgement.counter == 0
    town.bank.upload_sale(tokens)
    assert sync(town, purse).acknowledgement.counter == 1


def test_a_seal_that_names_another_place_is_noted(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    purse.view_key = bytes(16)
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    assert kinds(town) == {"seal"}
    assert town.wallet("cafe") == 100


def test_a_transfer_that_is_refused_is_kept_and_acknowledged(town: Town) -> None:
    purse = town.purse()
    town.pay(purse, town.cafe, town.label(purse, 10_000), 100)
    assert sync(town, purse).acknowledgement.counter == 1  # it will never be anything else
    assert kinds(town) == {"refused: purpose"}
    assert town.wallet("cafe") == 0


def test_unknown_purse(town: Town) -> None:
    purse = town.purse()
    export = purse.export(town.bank.challenge())
    other = PaperPurse.new()
    other.certificate = purse.papers
    fields = Statement.LAYOUT.unpack(export.statement.raw)
    for name in ("type", "version", "signature"):
        del fields[name]
    stranger = Statement.issue(other.identity.sign, **fields | {"serial": bytes(16)})
    with pytest.raises(BankRefused, match="no purse"):
        town.bank.upload_export(PurseExport(purse.papers, stranger, []))


# ---------------------------------------------------------------------- bundles


def bundle(town: Town, till: Till, items: list[tuple[int, bytes]]) -> Bundle:
    bank = town.bank.certificate_of("bank-b")
    return Bundle.issue(till.key.sign, town.now, till.certificate, bank, items)


def test_a_bundle_settles_all_that_is_good_in_it(town: Town) -> None:
    """Reliability cases B01, B07."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    good = town.pay(purse, town.cafe, piece, 100)
    bad = town.pay_run(purse, town.cafe, piece, 10_000, 10_001)
    last = town.pay(purse, town.cafe, piece, 300)
    raws = [b"".join(token.raw for token in sale) for sale in (good, bad, last)]
    items = [
        (ITEM_SALE, raws[0]),
        (ITEM_SALE, b"rubbish"),
        (ITEM_SALE, raws[1]),
        (ITEM_EXPORT, b"rubbish"),
        (ITEM_EXPORT, purse.export(bytes(16)).raw),  # no line, so no challenge
        (ITEM_SALE, raws[2]),
    ]
    made = bundle(town, town.cafe, items)
    first = town.bank.upload_bundle(made)
    good_states = [SaleState.SYNCHRONISED, SaleState.REFUSED, SaleState.REFUSED]
    assert [result.state for result in first] == [*good_states, SaleState.SYNCHRONISED]
    assert town.bank.upload_bundle(made) == first
    assert town.wallet("cafe") == 400
    word = town.bank.acknowledgement(purse.papers.serial)
    assert word is not None and word.acknowledgement.counter == 3
    town.assert_sound()


def test_a_bundle_of_a_stranger(town: Town) -> None:
    stranger = Till(SigningKey.generate(), town.cafe.certificate)
    with pytest.raises(BankRefused, match="not signed"):
        town.bank.upload_bundle(bundle(town, stranger, []))
    purse = town.purse()
    as_till = Till(purse.identity, purse.papers)
    with pytest.raises(BankRefused, match="not registered"):
        town.bank.upload_bundle(bundle(town, as_till, []))
