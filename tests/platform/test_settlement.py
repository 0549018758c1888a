# SPDX-License-Identifier: Apache-2.0
"""Sales settled in any order, refused for good reasons, and double spends paid for once.

Guards I1, I2 (no value created, none lost), I5 (one posting for a payment), I6 (no fork missed).
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.purse.fraud import verify_proof
from firmware.purse.trust import Rejected
from firmware.wire.fraud_proof import FraudProof
from firmware.wire.layout import key_id
from firmware.wire.note import Note
from firmware.wire.token import Token
from firmware.wire.transfer import Transfer
from host_bridge.bank import runs
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from host_bridge.sync.port import BankRefused, SaleState
from tests.doubles.paper_purse import spoiled
from tests.platform.town import HEALTH, START, Town


def resigned(token: Token, signature: bytes) -> Token:
    return Token(token.note, token.hops, Transfer.parse(token.transfer.body + signature))


# ---------------------------------------------------------------------- honest payments


def test_a_sale_is_posted_once(town: Town) -> None:
    purse = town.purse()
    sale = town.pay(purse, town.cafe, town.load(purse, 100_000), 2_500)
    first = town.bank.upload_sale(sale)
    assert (first.state, first.amount_tiyn, first.reason) == (SaleState.SYNCHRONISED, 2_500, "")
    assert town.bank.upload_sale(sale) == first
    assert town.wallet("cafe") == 2_500
    assert town.line("alibek")["purses_tiyn"] == 97_500
    town.assert_sound()


def test_a_malleable_signature_is_the_same_payment(town: Town) -> None:
    """Reliability case C05."""
    purse = town.purse()
    (token,) = town.pay(purse, town.cafe, town.load(purse, 100_000), 2_500)
    r, s = token.transfer.signature[:32], token.transfer.signature[32:]
    twin = r + (p256.ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    town.bank.upload_sale([token])
    assert town.bank.upload_sale([resigned(token, twin)]).state is SaleState.SYNCHRONISED
    assert town.wallet("cafe") == 2_500


def test_one_payment_of_two_notes(town: Town) -> None:
    purse = town.purse()
    pieces = [(town.load(purse, 1_000), 1_000), (town.load(purse, 5_000), 700)]
    sale = purse.pay(town.cafe.certificate, pieces, town.payment_id(), town.now)
    assert town.bank.upload_sale(sale).amount_tiyn == 1_700
    assert town.wallet("cafe") == 1_700
    town.assert_sound()


def test_labelled_money_goes_where_it_is_accepted(town: Town) -> None:
    purse = town.purse()
    piece = town.label(purse, 50_000)
    assert town.bank.upload_sale(town.pay(purse, town.clinic, piece, 1_000)).state == (
        SaleState.SYNCHRONISED
    )
    refused = town.bank.upload_sale(town.pay(purse, town.cafe, piece, 1_000))
    assert refused.state is SaleState.REFUSED
    assert "may not be spent" in refused.reason
    assert (town.wallet("clinic"), town.wallet("cafe")) == (1_000, 0)
    town.assert_sound()


def test_a_chain_of_three_over_two_banks_in_any_order(town: Town) -> None:
    """Seed checklist SR-23, from purse to purse to till."""
    first, second = town.purse(), town.purse("bank-b", "bahtiyar")
    (token,) = town.pay(first, second, town.load(first, 10_000), 4_000)
    received = second.take_token(token)
    sale = town.pay(second, town.cafe, received, 1_500)
    # The till has the whole chain; its upload alone settles both steps.
    assert town.bank.upload_sale(sale).state is SaleState.SYNCHRONISED
    assert town.line("alibek")["purses_tiyn"] == 6_000
    assert town.line("bahtiyar")["purses_tiyn"] == 2_500
    assert town.wallet("cafe") == 1_500
    town.bank.upload_export(first.export(town.bank.challenge()))
    town.bank.upload_export(second.export(town.bank.challenge()))
    assert town.wallet("cafe") == 1_500
    town.assert_sound()


def test_a_child_that_comes_before_its_parent_waits(town: Town) -> None:
    first, second = town.purse(), town.purse("bank-b", "bahtiyar")
    (token,) = town.pay(first, second, town.load(first, 10_000), 4_000)
    town.pay(second, town.cafe, second.take_token(token), 1_500)
    early = town.bank.upload_export(second.export(town.bank.challenge()))
    assert early.acknowledgement.counter == 0  # the purse must keep it until it is settled
    assert town.wallet("cafe") == 0
    town.bank.upload_export(first.export(town.bank.challenge()))
    assert town.wallet("cafe") == 1_500
    late = town.bank.upload_export(second.export(town.bank.challenge()))
    assert late.acknowledgement.counter == 1
    town.assert_sound()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_cards_that_paid_for_one_sale_are_seen(town: Town, order: tuple[int, int]) -> None:
    """T07 gone wrong: a torn tap was paid again by another card. Both are genuine."""
    cards = [town.purse(), town.purse("bank-b", "bahtiyar")]
    payment_id = town.payment_id()
    sales = []
    for card, bank_name in zip(cards, ("bank-a", "bank-b"), strict=True):
        piece = town.load(card, 10_000, bank_name)
        sales.append(card.pay(town.cafe.certificate, [(piece, 2_500)], payment_id, town.now))
    for index in order:
        town.bank.upload_sale(sales[index])
    for sale in sales:
        word = town.bank.upload_sale(sale)
        assert (word.state, word.credited_tiyn) == (SaleState.DISPUTED, 2_500)
        assert "give one of them its money back" in word.reason
        assert "twice" not in word.reason
    whole = town.bank.payment_state(payment_id, town.cafe.certificate.record_id)
    assert whole is not None and whole.amount_tiyn == town.wallet("cafe") == 5_000
    (finding,) = town.bank.findings()
    assert (finding.kind, finding.subject) == ("paid twice", payment_id.hex())
    assert town.bank.fraud_cases() == []
    town.assert_sound()


# ---------------------------------------------------------------------- refusals


def refusal(town: Town, sale: list[Token]) -> str:
    """The reason for refusing `sale`; nothing moves, and the bytes are kept as evidence."""
    before, kept = town.end_state(), len(town.bank.findings())
    result = town.bank.upload_sale(sale)
    assert result.state is SaleState.REFUSED
    assert town.end_state() == before
    assert len(town.bank.findings()) == kept + 1
    town.assert_sound()
    return result.reason


def test_wrong_signature(town: Town) -> None:
    purse = town.purse()
    (token,) = town.pay(purse, town.cafe, town.load(purse, 10_000), 2_500)
    bad = resigned(token, spoiled(token.transfer.signature))
    assert "not signed by its payer" in refusal(town, [bad])


def test_signed_by_another_key(town: Town) -> None:
    purse, piece = town.purse(), None
    piece = town.load(purse, 10_000)
    sale = purse.pay_runs(
        town.cafe.certificate,
        [(piece, 0, 2_500)],
        town.payment_id(),
        town.now,
        key=SigningKey.generate(),
    )
    assert "not signed by its payer" in refusal(town, sale)


def test_units_the_note_never_had(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    assert "never had" in refusal(town, town.pay_run(purse, town.cafe, piece, 9_000, 10_001))


def test_child_outside_its_parent(town: Town) -> None:
    first, second = town.purse(), town.purse("bank-b", "bahtiyar")
    (token,) = town.pay(first, second, town.load(first, 10_000), 4_000)
    received = second.take_token(token)
    sale = town.pay_run(second, town.cafe, received, 3_999, 4_001)
    assert "never had" in refusal(town, sale)


def test_a_note_that_nobody_issued(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    forger = SigningKey.generate()
    fields = Note.LAYOUT.unpack(piece.note.raw)
    for name in ("type", "version", "signature"):
        del fields[name]
    piece.note = Note.issue(forger.sign, **fields | {"value": 1_000_000})
    piece.parent = piece.note.record_id
    assert "not signed by its issuer" in refusal(town, town.pay(purse, town.cafe, piece, 50_000))


def test_a_payee_that_nobody_registered(town: Town, tmp_path: Path) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    stranger = Town(tmp_path / "other", seed=2)
    assert "not registered" in refusal(town, town.pay(purse, stranger.cafe, piece, 100))
    stranger.bank.close()


def test_labelled_money_from_purse_to_purse(town: Town) -> None:
    first, second = town.purse(), town.purse("bank-b", "bahtiyar")
    piece = town.label(first, 10_000)
    assert piece.note.purpose == HEALTH
    assert "purse to purse" in refusal(town, town.pay(first, second, piece, 100))


def test_over_the_notes_payment_cap(town: Town) -> None:
    town.bank.new_policy("bank-a", max_balance=100_000_000)
    town.bank.open_books("bank-a", correspondent_tiyn=10_000_000)
    town.bank.issue("bank-a", 9_000_000)
    town.bank.deposit("alibek", 6_000_000)
    purse = town.purse()
    piece = town.load(purse, 6_000_000)
    assert "one payment" in refusal(town, town.pay(purse, town.cafe, piece, 5_000_001))


def test_the_same_money_twice_in_one_payment(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    runs_twice = [(piece, 0, 100), (piece, 50, 150)]
    sale = purse.pay_runs(town.cafe.certificate, runs_twice, town.payment_id(), town.now)
    assert "twice" in refusal(town, sale)


def test_tokens_of_different_payments(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    sale = town.pay(purse, town.cafe, piece, 100) + town.pay(purse, town.cafe, piece, 100)
    assert "one payment" in refusal(town, sale)


def test_too_late(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    known, late = (
        town.pay(purse, town.cafe, piece, 100),
        town.pay(purse, town.cafe, piece, 100),
    )
    town.bank.upload_sale(known)
    town.now = piece.note.expires_at + 30 * 86_400
    town.bank.upload_sale(town.pay(purse, town.cafe, piece, 100))  # refused: paid after expiry
    assert town.bank.upload_sale(known).state is SaleState.SYNCHRONISED
    town.now += 1
    assert "time to bring it is over" in refusal(town, late)
    assert town.bank.upload_sale(known).state is SaleState.SYNCHRONISED  # the same word again


def test_no_tokens_at_all(town: Town) -> None:
    with pytest.raises(BankRefused, match="1 to 4 tokens"):
        town.bank.upload_sale([])


# ---------------------------------------------------------------------- double spends


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_tills_are_both_paid_and_the_overlap_is_claimed_once(
    town: Town, order: tuple[int, int]
) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    sales = [
        town.pay_run(purse, town.cafe, piece, 0, 3_000),
        town.pay_run(purse, town.shop, piece, 2_000, 6_000),
    ]
    for index in order:
        town.bank.upload_sale(sales[index])
    for sale in sales:
        assert town.bank.upload_sale(sale).state is SaleState.DISPUTED
        assert "paid in full" in town.bank.upload_sale(sale).reason
    assert (town.wallet("cafe"), town.wallet("shop")) == (3_000, 4_000)
    assert town.line("alibek")["claims_tiyn"] == 1_000  # the overlap, no more
    assert town.line("alibek")["purses_tiyn"] == 4_000  # 10 000 less the 6 000 of the union
    town.assert_sound()


def test_the_proof_stands_on_the_root_alone(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 500))
    town.bank.upload_sale(town.pay_run(purse, town.shop, piece, 0, 500))
    (case,) = town.bank.fraud_cases()
    raw = town.bank.fraud_proof(case.proof_id[:8]).raw
    root = town.bank.root_public_key
    assert verify_proof(root, p256.verify, FraudProof.parse(raw)) == piece.key.public_key
    assert case.key_id == key_id(piece.key.public_key)
    other = SigningKey.generate().public_key
    with pytest.raises(Rejected):
        verify_proof(other, p256.verify, FraudProof.parse(raw))


def test_only_the_spenders_bank_learns_the_name(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 500))
    town.bank.upload_sale(town.pay_run(purse, town.shop, piece, 100, 700))
    (own,) = town.bank.fraud_cases("bank-a")
    assert (own.name, own.client_id, own.serial) == ("Alibek", "alibek", purse.papers.serial)
    assert own.overlap_tiyn == 400
    for viewer in ("bank-b", "health", None):
        (other,) = town.bank.fraud_cases(viewer)
        assert (other.name, other.client_id, other.serial) == (None, None, None)


def test_key_and_note_are_denied_and_no_new_money_is_given(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    assert town.bank.directory().denylist is None
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 500))
    town.bank.upload_sale(town.pay_run(purse, town.shop, piece, 0, 500))
    denied = town.bank.directory().denylist
    assert denied is not None and denied.epoch == 1
    assert denied.denies_key(key_id(piece.key.public_key))
    assert denied.denies_note(piece.note.note_id)
    notary = town.bank.certificate_of("notary")
    assert town.bank._office.trust.signed(notary.public_key, denied)
    with pytest.raises(BankRefused, match="blocked"):
        town.load(purse, 100)


def test_a_payee_who_spent_what_it_received_twice(town: Town) -> None:
    first, second = town.purse(), town.purse("bank-b", "bahtiyar")
    (token,) = town.pay(first, second, town.load(first, 10_000), 4_000)
    received = second.take_token(token)
    town.bank.upload_sale(town.pay_run(second, town.cafe, received, 0, 2_000))
    town.bank.upload_sale(town.pay_run(second, town.shop, received, 1_000, 4_000))
    (case,) = town.bank.fraud_cases("bank-b")
    assert case.name == "Bahtiyar"
    proof = town.bank.fraud_proof(case.proof_id)
    root = town.bank.root_public_key
    assert verify_proof(root, p256.verify, proof) == second.identity.public_key
    assert town.line("bahtiyar")["claims_tiyn"] == 1_000
    assert town.line("alibek")["claims_tiyn"] == 0
    town.assert_sound()


def test_the_same_till_is_not_paid_twice_for_the_same_units(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 3_000))
    again = town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 1_000, 4_000))
    assert again.state is SaleState.DISPUTED
    assert "20,00 ₸" in again.reason
    assert town.wallet("cafe") == 4_000
    assert town.line("alibek")["claims_tiyn"] == 0
    assert len(town.bank.fraud_cases()) == 1
    town.assert_sound()


def test_a_claim_waits_for_the_reserve(town: Town) -> None:
    purse = town.purse("bank-b", "bahtiyar")
    piece = town.load(purse, 10_000, "bank-b")
    other = town.purse("bank-b", "bahtiyar")
    town.bank.new_policy("bank-b", max_balance=100_000_000)
    town.bank.deposit("bahtiyar", 1_000_000)
    town.load(other, 789_000, "bank-b")  # leaves 1 000 in the reserve
    town.bank.upload_sale(town.pay_run(purse, town.cafe, piece, 0, 3_000))
    sale = town.pay_run(purse, town.shop, piece, 1_000, 4_000)
    waiting = town.bank.upload_sale(sale)
    assert waiting.state is SaleState.DISPUTED
    assert "20,00 ₸ waits" in waiting.reason
    assert town.wallet("shop") == 1_000  # what was not spent before is paid at once
    town.assert_sound()
    town.bank.issue("bank-b", 5_000)
    assert town.wallet("shop") == 3_000
    assert "paid in full" in town.bank.upload_sale(sale).reason
    assert town.line("bahtiyar")["claims_tiyn"] == 2_000
    town.assert_sound()


# ---------------------------------------------------------------------- any order


def test_runs_arithmetic() -> None:
    assert runs.without((0, 10), []) == [(0, 10)]
    assert runs.without((0, 10), [(0, 10)]) == []
    assert runs.without((2, 8), [(0, 3), (5, 6), (4, 6), (7, 9)]) == [(3, 4), (6, 7)]
    assert runs.size([(1, 4), (6, 7)]) == 4


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6), st.data())
def test_runs_against_sets(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    taken = [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]
    start = data.draw(st.integers(0, 19))
    end = data.draw(st.integers(start + 1, 20))
    left = runs.without((start, end), taken)
    units = set(range(start, end)).difference(*(range(a, b) for a, b in taken))
    assert {unit for a, b in left for unit in range(a, b)} == units
    assert runs.size(left) == len(units)


class Play:
    """One day's uploads, made once, played to a fresh bank in any order."""

    def __init__(self, folder: Path) -> None:
        self.town = town = Town(folder)
        honest, cheat = town.purse(), town.purse()
        friend = town.purse("bank-b", "bahtiyar")
        piece = town.load(honest, 20_000)
        stolen = town.load(cheat, 20_000)
        twin = cheat.clone()
        bank = town.bank
        (given,) = town.pay(honest, friend, piece, 5_000)
        received = friend.take_token(given)
        sales = [
            town.pay(honest, town.cafe, piece, 1_000),
            town.pay(friend, town.shop, received, 2_000),
            town.pay_run(cheat, town.cafe, stolen, 0, 4_000),
            town.pay_run(twin, town.shop, stolen, 3_000, 7_000),
            town.pay_run(twin, town.clinic, stolen, 1_000, 6_000),
            town.pay_run(cheat, town.cafe, stolen, 3_500, 9_000),
        ]
        self.uploads = [lambda sale=sale: bank.upload_sale(sale) for sale in sales]
        for purse in (honest, friend, cheat, twin):
            export = purse.export(bank.challenge())
            self.uploads.append(lambda export=export: self._export(export))

    def _export(self, export: object) -> None:
        with contextlib.suppress(BankRefused):  # the second of the two histories
            self.town.bank.upload_export(export)

    def run(self, order: list[int]) -> dict[str, object]:
        for index in order:
            self.uploads[index]()
        return self.town.end_state()


def comparable(state: dict[str, object]) -> dict[str, object]:
    """Keys, and with them ids and serials of a play, differ from one founding to the next."""
    denied = state["denied"]
    assert isinstance(denied, tuple)
    found = dict(state)
    found["purses"] = sorted(state_of for _, state_of in state["purses"])
    found["proofs"] = len(state["proofs"])
    found["denied"] = tuple(map(len, denied))
    return found


EXPECTED_UPLOADS = 10


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.permutations(range(EXPECTED_UPLOADS)),
    st.lists(st.integers(0, EXPECTED_UPLOADS - 1), max_size=12),
)
def test_any_order_and_repetition_ends_the_same(order: list[int], again: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play = Play(Path(folder) / "bank")
        assert len(play.uploads) == EXPECTED_UPLOADS
        state = play.run(order)
        play.town.assert_sound()
        assert play.run(again) == state
        play.town.assert_sound()
        found = comparable(state)
        play.town.bank.close()
    wallets = {line.client_id: line.wallet_tiyn for line in found["balances"]}
    # cafe: 1 000 + [0, 4 000) and [3 500, 9 000) of one note at one till = 9 000 once.
    assert wallets == {
        "alibek": 0,
        "bahtiyar": 0,
        "cafe": 10_000,
        "clinic": 5_000,
        "shop": 6_000,
    }
    claims = {line.client_id: line.claims_tiyn for line in found["balances"]}
    assert claims["alibek"] == 9_000 + 5_000 + 4_000 - 9_000
    assert found["purses"] == ["active", "active", "quarantined"]
    assert found["proofs"] == 6
    assert play.town.now == START
