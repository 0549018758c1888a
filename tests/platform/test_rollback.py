# SPDX-License-Identifier: Apache-2.0
"""A memory that was put back, as the bank sees and explains it (I11, S10, S11; issue 3)."""

from __future__ import annotations

import pytest

from firmware.wire.bundle import ITEM_EXPORT, Bundle, PurseExport
from firmware.wire.limits import COUNTER_JUMP
from firmware.wire.token import Token
from host_bridge.sync.port import PurseSync
from tests.doubles.paper_purse import PaperPurse
from tests.platform.town import Town


def sync(town: Town, purse: PaperPurse) -> PurseSync:
    return town.bank.upload_export(purse.export(town.bank.challenge()))


def carry(town: Town, export: PurseExport) -> None:
    """An export that comes late, on a stick."""
    till = town.cafe
    bank = town.bank.certificate_of("bank-b")
    items = [(ITEM_EXPORT, export.raw)]
    town.bank.upload_bundle(Bundle.issue(till.key.sign, town.now, till.certificate, bank, items))


def told(town: Town) -> str:
    """What the bank says about memories that went back; one sentence after the other."""
    found = [one.sentence for one in town.bank.findings() if one.kind == "rollback"]
    return " | ".join(found)


def put_back(
    town: Town, many: int, *, before: int = 0, amount: int = 100
) -> tuple[PaperPurse, list[list[Token]]]:
    """A purse whose memory is from `many` payments ago, and the tokens of these.

    Its element's counter stands where it stood.
    """
    purse = town.purse()
    piece = town.load(purse, 10_000)
    for _ in range(before):
        town.bank.upload_sale(town.pay(purse, town.cafe, piece, 10))
    old = purse.clone()
    paid = [town.pay(purse, town.cafe, piece, amount) for _ in range(many)]
    old.counter = purse.counter
    return old, paid


def test_a_counter_ahead_of_its_journal_is_explained(town: Town) -> None:
    purse, paid = put_back(town, 20, before=2)
    for tokens in paid[:18]:
        town.bank.upload_sale(tokens)
    sync(town, purse)
    (finding,) = town.bank.findings()
    assert finding.subject == purse.papers.serial.hex()
    assert "alibek at bank-a has forgotten payments 3 to 22" in finding.sentence
    assert "has locked itself" in finding.sentence
    assert "Known here, and settled: 18 payments, 18,00 ₸." in finding.sentence
    assert "Still open: payments 21 to 22" in finding.sentence
    assert "needs a new card" in finding.sentence
    assert "at most 81,80 ₸ are left" in finding.sentence
    town.assert_sound()


def test_tills_that_come_later_complete_the_explanation(town: Town) -> None:
    """I5: each payment settles when its till brings it, whatever the purse forgot."""
    purse, paid = put_back(town, 20)
    sync(town, purse)
    assert "Still open: payments 1 to 20" in told(town)
    town.bank.upload_sale(paid[4])
    assert "Known here, and settled: 1 payment, 1,00 ₸." in told(town)
    assert "Still open: payments 1 to 4 and 6 to 20" in told(town)
    for tokens in paid:
        town.bank.upload_sale(tokens)
    assert "None of them is open any more" in told(town)
    assert "Known here, and settled: 20 payments, 20,00 ₸." in told(town)
    assert town.wallet("cafe") == 2_000
    town.assert_sound()


@pytest.mark.parametrize("jump", [1, COUNTER_JUMP, COUNTER_JUMP + 1])
def test_a_jump_of_the_counter_is_no_rollback(town: Town, jump: int) -> None:
    """S11: a chip's counter may run ahead where its power failed, by so much and no more."""
    purse = town.purse()
    town.pay(purse, town.cafe, town.load(purse, 10_000), 100)
    purse.counter += jump
    sync(town, purse)
    assert bool(told(town)) is (jump > COUNTER_JUMP)


def test_a_payment_in_a_small_gap_shows_that_it_was_no_jump(town: Town) -> None:
    purse, paid = put_back(town, 2)
    sync(town, purse)
    assert told(town) == ""
    town.bank.upload_sale(paid[0])
    assert "has forgotten payments 1 to 2" in told(town)
    assert "Still open: payment 2" in told(town)


def test_jumps_behind_which_the_journal_goes_on_lost_nothing(town: Town) -> None:
    """Several jumps in a row: the chain has no gap there, so no payment was."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    purse.counter += 3 * COUNTER_JUMP
    sync(town, purse)
    assert "has forgotten" in told(town)
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    assert told(town) == ""


def test_a_journal_that_ends_before_what_the_bank_has(town: Town) -> None:
    """Tier 0: the counter went back with the memory, and only the bank can see it."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    old = purse.clone()
    town.pay(purse, town.cafe, piece, 250)
    sync(town, purse)
    assert told(town) == ""
    sync(town, old)
    assert "has forgotten payment 2:" in told(town)
    assert "it may pay again" in told(town)
    assert "Known here, and settled: 1 payment, 2,50 ₸." in told(town)
    town.assert_sound()


def test_an_acknowledgement_that_the_purse_forgot(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    blank = purse.clone()
    town.pay(purse, town.cafe, piece, 100)
    word = sync(town, purse).acknowledgement
    purse.acknowledge(word.counter, word.chain)
    sync(town, purse)
    assert told(town) == ""
    blank.counter = 1
    sync(town, blank)
    assert "has forgotten payment 1:" in told(town)
    assert "has locked itself" in told(town)


def test_an_older_export_that_comes_late_accuses_nobody(town: Town) -> None:
    purse = town.purse()
    piece = town.load(purse, 10_000)
    town.pay(purse, town.cafe, piece, 100)
    late = purse.export(bytes(16))
    repeated = purse.export(town.bank.challenge())
    town.bank.upload_export(repeated)
    town.pay(purse, town.cafe, piece, 100)
    sync(town, purse)
    carry(town, late)
    town.bank.upload_export(repeated)
    assert told(town) == ""


def test_a_gap_on_a_stick_is_seen_too(town: Town) -> None:
    purse, paid = put_back(town, 2)
    town.bank.upload_sale(paid[1])
    carry(town, purse.export(bytes(16)))
    assert "has forgotten payments 1 to 2" in told(town)


def test_a_payment_without_signatures_that_was_forgotten(town: Town) -> None:
    """The bank has its entry and no signature: it says so, and the till's coming ends it."""
    purse = town.purse()
    piece = town.load(purse, 10_000)
    old = purse.clone()
    tokens = purse.pay(
        town.cafe.certificate, [(piece, 400)], town.payment_id(), town.now, signed=False
    )
    sync(town, purse)
    old.counter = purse.counter
    sync(town, old)
    assert "not settled until a till brings them: 1 payment, 4,00 ₸." in told(town)
    town.bank.upload_sale(tokens)
    assert "Known here, and settled: 1 payment, 4,00 ₸." in told(town)
    town.assert_sound()


def test_a_payment_of_which_a_part_is_known_is_not_settled(town: Town) -> None:
    purse = town.purse()
    pieces = [(town.load(purse, 1_000), 1_000), (town.load(purse, 1_000), 200)]
    old = purse.clone()
    tokens = purse.pay(town.cafe.certificate, pieces, town.payment_id(), town.now, signed=False)
    sync(town, purse)
    old.counter = purse.counter
    sync(town, old)
    town.bank.upload_sale(tokens[:1])
    assert "not settled until a till brings them: 1 payment, 12,00 ₸." in told(town)
    assert "Known here" not in told(town)
    town.bank.upload_sale(tokens)
    assert "Known here, and settled: 1 payment, 12,00 ₸." in told(town)


def test_a_purse_that_lies_about_its_counter_is_no_work(town: Town) -> None:
    """A gap of four thousand million is one run, not as many numbers."""
    purse = town.purse()
    purse.counter = 0xFFFF_FFFF
    sync(town, purse)
    assert "has forgotten payments 1 to 4294967295" in told(town)


def test_many_holes_are_not_all_named(town: Town) -> None:
    purse, paid = put_back(town, 40, amount=1)
    sync(town, purse)
    for tokens in paid[::2]:
        town.bank.upload_sale(tokens)
    sentence = told(town)
    assert "22, 24 and others" in sentence
    assert len(sentence) < 1_000


def test_the_same_purse_is_explained_once(town: Town) -> None:
    purse, _ = put_back(town, 20)
    for _ in range(3):
        sync(town, purse)
    purse.counter += 1
    sync(town, purse)
    assert told(town).count("has forgotten payments 1 to 21") == 1
    assert " | " not in told(town)
