# SPDX-License-Identifier: Apache-2.0
"""A purse whose keys and counter are in the chip: a life, its cuts, its jumps, its end."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware.hal.atecc608 import COUNTER_END
from firmware.hal.atecc608_element import AteccElement
from firmware.wire import status
from firmware.wire.apdu import LIFECYCLE_DAMAGED, LIFECYCLE_SYNC_ONLY
from firmware.wire.certificate import Certificate
from firmware.wire.layout import sha256
from firmware.wire.limits import PAYMENTS_KEPT
from host_bridge.crypto import p256
from host_bridge.crypto.keys import SigningKey
from host_bridge.session.exchange import CardRefused
from tests.card.bench import Bench, refusal
from tests.doubles.atecc608 import Eeprom
from tests.doubles.desk import DAY, NOW, PIN, Desk
from tests.doubles.power import AFTER, BEFORE, PowerCut
from tests.hal.bench import TIER, ChipBench, ChipCard, TierDesk

LOADED = 1_000_000
INCREMENT = (0x24, 0x01)
SIGN, VERIFY = (0x41, 0xA0), (0x45, 0x22)
ECC_FAULT, EXECUTION, GARBLED = 0x05, 0x0F, 0xFF


class ChipTap(Bench):
    """A card with a chip, held to a till; `shop` checks every answer as a till does."""

    def __init__(self, desk: Desk, card: ChipCard) -> None:
        self.desk = desk
        self.card = card
        self.taken = []
        self.tap()

    @property
    def chip(self) -> ChipBench:
        """The chip and what can be done to it."""
        return self.card.bench


@dataclass(frozen=True)
class Issued:
    """A card's flash and its chip's memory, to be copied, and the desk that issued it."""

    desk: TierDesk
    folder: Path
    eeprom: Eeprom

    def tap(self, folder: Path) -> ChipTap:
        """A copy of both."""
        shutil.copytree(self.folder, folder)
        return ChipTap(self.desk, ChipCard(folder, ChipBench(self.eeprom)))


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """Personalised at tier 2, with 10,000 tenge that tier 2 alone may hold."""
    folder = tmp_path_factory.mktemp("issued") / "card"
    desk, bench = TierDesk(), ChipBench().configured()
    card = ChipCard(folder, bench)
    desk.personalise(card, tier=TIER)
    desk.load(ChipTap(desk, card).session, LOADED, min_tier=TIER)
    return Issued(desk, folder, bench.double.eeprom)


@pytest.fixture
def tap(issued: Issued, tmp_path: Path) -> ChipTap:
    """A copy of it."""
    return issued.tap(tmp_path / "card")


def test_a_life_on_a_chip(tap: ChipTap) -> None:
    request = tap.desk.request(1_200)
    tokens = tap.pay(request)
    tap.boot()
    again = tap.session.recover(request.payment_id)
    assert [token.raw for token in again] == [token.raw for token in tokens]
    tap.pay(tap.desk.request(300))
    assert tap.balance() == LOADED - 1_500
    assert tap.chip.double.eeprom.counters[0] == 2
    tap.session.verify_pin(PIN)
    export = tap.session.export(secrets.token_bytes(16))
    assert [entry.counter for entry in export.entries] == [1, 2]
    tap.session.acknowledge(tap.desk.acknowledge(export))
    assert tap.session.certificate().tier == TIER


def test_a_certificate_of_tier_0_is_allowed_too(tmp_path: Path) -> None:
    """A certificate may promise less than the element keeps, never more."""
    desk = Desk()
    card = ChipCard(tmp_path / "card", ChipBench().configured())
    desk.personalise(card)
    tap = ChipTap(desk, card)
    desk.load(tap.session, 500)
    tap.pay(desk.request(200))
    assert tap.session.certificate().tier == 0


def test_answers_are_the_same_though_signatures_are_random(tap: ChipTap) -> None:
    """T02: the chip would sign anew each time; what was answered once is stored."""
    request = tap.desk.request(700)
    tap.card.lose_next_answer = True
    with pytest.raises(Exception, match="taken away"):
        tap.session.pay(request)
    first = tap.tap().recover(request.payment_id)
    second = tap.boot().recover(request.payment_id)
    assert [token.raw for token in first] == [token.raw for token in second]


def test_keys_are_attested_by_the_chip(tap: ChipTap) -> None:
    tap.session.verify_pin(PIN)
    identity = tap.session.certificate()
    attestation = tap.session.generate_key(secrets.token_bytes(16))
    assert p256.verify(identity.public_key, sha256(attestation.body), attestation.signature)
    assert attestation.public_key == tap.card.element.public_key(2)


def bus_cuts(issued: Issued, folder: Path) -> int:
    """How many transactions a PAY takes."""
    tap = issued.tap(folder)
    tap.chip.bus.cut(0, BEFORE)
    tap.pay(tap.desk.request(900))
    return tap.chip.bus.transactions


@pytest.mark.parametrize("torn_steps", [0, 1, 2, 7])
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_power_lost_at_every_transaction_of_a_payment(
    issued: Issued, tmp_path: Path, moment: str, torn_steps: int
) -> None:
    """I3, I9, S11: paid once or not at all, whatever a torn increment has added."""
    cuts = bus_cuts(issued, tmp_path / "whole")
    assert cuts > 40
    states, counters = set(), set()
    for cut in range(1, cuts + 1):
        tap = issued.tap(tmp_path / f"cut{cut}")
        request = tap.desk.request(900)
        tap.chip.double.torn_steps = torn_steps
        tap.chip.bus.cut(cut, moment)
        with pytest.raises(PowerCut):
            tap.session.pay(request)
        tap.boot()
        states.add(answered(tap, request))
        again = tap.session.recover(request.payment_id)
        assert sum(token.amount_tiyn for token in again) == 900
        assert tap.balance() == LOADED - 900
        tap.pay(tap.desk.request(100))
        assert tap.balance() == LOADED - 1_000
        assert len(tap.card.purse.journal.waiting) == 2
        counters.add(tap.card.element.counter())
        shutil.rmtree(tmp_path / f"cut{cut}")
    assert states == {"paid before the cut", "paid after it"}
    assert counters == {2, max(torn_steps, 1) + 1}, "some of the cuts tore an increment"


def answered(tap: ChipTap, request) -> str:  # type: ignore[no-untyped-def]
    """RECOVER, else the same PAY again, as a till does (T01)."""
    try:
        tap.verified(request, tap.session.recover(request.payment_id))
        return "paid before the cut"
    except CardRefused as refused:
        assert refused.word == status.NOT_FOUND
        tap.pay(request)
        return "paid after it"


@pytest.mark.parametrize("step", [2, 3, 17, 100_000])
def test_a_counter_that_jumps_while_the_card_lives(tap: ChipTap, step: int) -> None:
    """S11: 6F00, nothing is paid, and the till's next try is."""
    request = tap.desk.request(400)
    tap.chip.double.steps = [step]
    assert refusal(tap.session.pay, request) == status.FAILURE
    assert tap.balance() == LOADED
    assert refusal(tap.session.recover, request.payment_id) == status.NOT_FOUND
    tap.boot()
    assert tap.balance() == LOADED
    tap.pay(request)
    assert tap.card.purse.journal.waiting == [step + 1]


def near_the_end(tap: ChipTap, left: int) -> None:
    """A jump that the purse has on record: so many payments are left."""
    tap.chip.double.steps = [COUNTER_END - left]
    assert refusal(tap.session.pay, tap.desk.request(400)) == status.FAILURE
    assert tap.card.element.counter() == COUNTER_END - left


def test_a_jump_to_the_end(tap: ChipTap) -> None:
    """T17 and S11 together: the jump pays nothing, and nothing is paid any more."""
    near_the_end(tap, 2)
    tap.chip.double.steps = [2]
    assert refusal(tap.session.pay, tap.desk.request(400)) == status.FAILURE
    assert refusal(tap.session.pay, tap.desk.request(400)) == status.COUNTER_EXHAUSTED
    assert tap.boot() is tap.session
    assert tap.balance() == LOADED


def test_the_counter_at_its_end(tap: ChipTap) -> None:
    """T17: the last payment, then none; what is left can still be redeemed at the bank."""
    near_the_end(tap, 1)
    tap.pay(tap.desk.request(400))
    assert refusal(tap.session.pay, tap.desk.request(400)) == status.COUNTER_EXHAUSTED
    tap.session.verify_pin(PIN)
    export = tap.session.export(secrets.token_bytes(16))
    assert [entry.counter for entry in export.entries] == [COUNTER_END]
    assert export.statement.counter == COUNTER_END
    assert tap.balance() == LOADED - 400


@pytest.mark.parametrize("counted", [False, True])
def test_a_chip_that_fails_in_the_middle_of_a_payment(tap: ChipTap, counted: bool) -> None:
    """6581, a word that leaves the till in doubt; the next tap completes the payment."""
    request = tap.desk.request(400)
    double = tap.chip.double
    lost = "garbled_answers" if counted else "garbled_commands"
    double.before[INCREMENT] = lambda: setattr(double, lost, 3)
    assert refusal(tap.session.pay, request) == status.MEMORY_FAILURE
    tap.tap()
    assert tap.card.element.counter() == 1, "the intent's number, taken once"
    tap.verified(request, tap.session.recover(request.payment_id))
    assert tap.balance() == LOADED - 400
    tap.verified(request, tap.session.pay(request))
    assert tap.balance() == LOADED - 400
    assert tap.card.purse.journal.waiting == [1]


def test_a_counter_that_moves_by_itself_ends_the_paying(tap: ChipTap) -> None:
    """I11: the purse asks before each payment, not only at boot; what it has, the bank gets."""
    tap.pay(tap.desk.request(400))
    tap.chip.double.eeprom.counters[0] += 1
    for _ in range(2):
        assert refusal(tap.session.pay, tap.desk.request(400)) == status.CONDITIONS_NOT_MET
        assert tap.card.purse.profile.lifecycle == LIFECYCLE_SYNC_ONLY
        tap.boot()
    assert tap.chip.double.eeprom.counters[0] == 2
    tap.session.verify_pin(PIN)
    assert [entry.counter for entry in tap.session.export(bytes(16)).entries] == [1]


def test_a_chip_that_is_silent_while_an_intent_is_open(
    tap: ChipTap, silence: Callable[[bool], None]
) -> None:
    """Damaged for that boot, with nothing written; the next reset completes the payment."""
    request = tap.desk.request(400)
    tap.chip.double.before[INCREMENT] = lambda: silence(True)
    assert refusal(tap.session.pay, request) == status.MEMORY_FAILURE
    flash = tap.card.flash()
    tap.boot()
    assert tap.card.purse.profile.lifecycle == LIFECYCLE_DAMAGED
    assert tap.card.flash() == flash
    silence(False)
    tap.tap()
    tap.verified(request, tap.session.recover(request.payment_id))
    assert tap.balance() == LOADED - 400
    assert tap.card.element.counter() == 1


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch, tap: ChipTap) -> Callable[[bool], None]:
    """Takes the wire to the chip off, and puts it on again."""
    double = tap.chip.double
    low = double.line_low

    def turn(is_silent: bool) -> None:
        if is_silent:
            double.cut_power()
        monkeypatch.setattr(double, "line_low", (lambda us: None) if is_silent else low)

    return turn


def test_a_chip_that_is_silent_at_boot(tap: ChipTap, silence: Callable[[bool], None]) -> None:
    """The card answers SELECT, pays nothing and writes nothing; the chip's return is enough."""
    flash = tap.card.flash()
    silence(True)
    tap.boot()
    request = tap.desk.request(400)
    assert refusal(tap.session.pay, request) == status.CONDITIONS_NOT_MET
    assert tap.card.flash() == flash
    silence(False)
    tap.tap()
    tap.pay(request)
    assert tap.balance() == LOADED - 400


@pytest.mark.parametrize("opcode", [INCREMENT, SIGN], ids=["before it counts", "after"])
def test_a_chip_that_falls_silent_in_a_payment(
    tap: ChipTap, silence: Callable[[bool], None], opcode: tuple[int, int]
) -> None:
    """6581 for as long as it is silent; then it is completed and signed."""
    request = tap.desk.request(400)
    tap.chip.double.before[opcode] = lambda: silence(True)
    assert refusal(tap.session.pay, request) == status.MEMORY_FAILURE
    with pytest.raises((CardRefused, AssertionError)):
        tap.tap().pay(request)
    silence(False)
    tap.tap()
    tap.verified(request, tap.session.pay(request))
    assert tap.balance() == LOADED - 400
    assert tap.card.element.counter() == 1


@pytest.mark.parametrize("failure", [0x03, ECC_FAULT, EXECUTION, GARBLED, 0x77, "silence"])
def test_a_chip_that_gives_no_verdict_pays_nothing(
    tap: ChipTap,
    silence: Callable[[bool], None],
    failure: int | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """6581 before anything is written: what is not known to be good is not good."""
    flash, request = tap.card.flash(), tap.desk.request(400)
    good = tap.chip.double._verify
    if failure == "silence":
        tap.chip.double.before[VERIFY] = lambda: silence(True)
    else:
        monkeypatch.setattr(tap.chip.double, "_verify", lambda *arguments: (failure, None))
    assert refusal(tap.session.pay, request) == status.MEMORY_FAILURE
    silence(False)
    monkeypatch.setattr(tap.chip.double, "_verify", good)
    assert tap.card.flash() == flash
    assert tap.chip.double.eeprom.counters[0] == 0
    tap.tap()
    tap.pay(request)
    assert tap.balance() == LOADED - 400


def test_a_till_that_the_chip_says_no_to_is_paid_nothing(tap: ChipTap) -> None:
    flash = tap.card.flash()
    genuine = tap.desk.request(400)
    forged = replace(genuine, payee=_with_another_signature(genuine.payee))
    tap.chip.double.executed.clear()
    assert refusal(tap.session.pay, forged) == status.PAYEE_CERTIFICATE
    assert tap.chip.double.executed.count(VERIFY[0]) == 1
    assert tap.card.flash() == flash
    assert tap.chip.double.eeprom.counters[0] == 0


def test_a_note_is_taken_only_where_the_chip_says_yes(
    tap: ChipTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tap.chip.double._verify
    for answer, word in ((0x01, status.WRONG_DATA), (ECC_FAULT, status.MEMORY_FAILURE)):
        monkeypatch.setattr(
            tap.chip.double, "_verify", lambda *arguments, answer=answer: (answer, None)
        )
        assert refusal(lambda: tap.desk.load(tap.session, 500)) == word
    monkeypatch.setattr(tap.chip.double, "_verify", good)
    assert tap.tap().select() is not None
    assert tap.balance() == LOADED
    tap.desk.load(tap.session, 500)
    assert tap.balance() == LOADED + 500


def _with_another_signature(certificate: Certificate) -> Certificate:
    """The same certificate under the signature of somebody else."""
    return Certificate.parse(certificate.body + SigningKey.generate().sign(bytes(32)))


@pytest.mark.parametrize("counter", [0, 2, 100])
def test_another_chip_pays_nothing_and_decides_nothing(tap: ChipTap, counter: int) -> None:
    """Whatever its counter says, the card's records stay; the right chip put back ends it."""
    tap.pay(tap.desk.request(400))
    right, flash = tap.chip.double.eeprom, tap.card.flash()
    other = ChipBench().configured().double.eeprom
    other.counters[0] = counter
    tap.chip.double.eeprom = other
    tap.boot()
    assert refusal(tap.session.pay, tap.desk.request(400)) == status.CONDITIONS_NOT_MET
    assert tap.card.flash() == flash
    assert other.counters[0] == counter
    assert other.keys == {}
    tap.chip.double.eeprom = right
    tap.boot()
    tap.pay(tap.desk.request(400))
    assert tap.balance() == LOADED - 800


def test_a_full_chip(tap: ChipTap) -> None:
    """Fourteen notes and no fifteenth, until one is spent and none needs it any more."""
    for _ in range(AteccElement.TOKEN_KEYS - 1):
        tap.desk.load(tap.session, 10, expires_at=NOW + 90 * DAY)  # spent before the large one
    assert refusal(tap.session.generate_key, bytes(16)) == status.NO_SPACE
    assert tap.balance() == LOADED + 10 * (AteccElement.TOKEN_KEYS - 1)
    for _ in range(PAYMENTS_KEPT + 1):  # the first of them spends notes that are forgotten then
        tap.pay(tap.desk.request(20))
        tap.session.verify_pin(PIN)
        export = tap.session.export(secrets.token_bytes(16))
        tap.session.acknowledge(tap.desk.acknowledge(export))
    tap.desk.load(tap.session, 10)
    tap.pay(tap.desk.request(10))
