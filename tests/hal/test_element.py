# SPDX-License-Identifier: Apache-2.0
"""The element of tier 2: the purse's slots and counter, in the chip."""

import pytest

from firmware.hal.atecc608 import COUNTER_END
from firmware.hal.atecc608_element import AteccElement
from firmware.hal.atecc608_errors import (
    AnswerGarbled,
    ChipSilent,
    EccFault,
    ExecutionRefused,
)
from firmware.hal.atecc608_plan import KEY_SLOTS
from firmware.purse.ports import CounterExhausted
from firmware.purse.profile import IDENTITY_SLOT
from host_bridge.crypto import p256
from tests.hal.bench import DIGEST, TIER, ChipBench

GENKEY, INFO = 0x40, 0x30
INCREMENT = (0x24, 0x01)


def test_every_slot_has_a_key_of_its_own(bench: ChipBench, element: AteccElement) -> None:
    """I7: keys are unique, made in the chip and never seen outside it."""
    slots = range(element.TOKEN_KEYS + 1)
    assert [element.public_key(slot) for slot in slots] == [None] * len(slots)
    keys = [element.generate(slot) for slot in slots]
    assert len(set(keys)) == len(slots) == 15
    for slot, key in zip(slots, keys, strict=True):
        assert element.public_key(slot) == key
        assert p256.verify(key, DIGEST, element.sign(slot, DIGEST))
    assert sorted(bench.double.eeprom.keys) == list(KEY_SLOTS)


def test_tier(element: AteccElement) -> None:
    assert element.TIER == TIER


def test_keys_survive_a_boot(bench: ChipBench, element: AteccElement) -> None:
    key = element.generate(14)
    bench.double.cut_power()
    bench.boot()
    again = AteccElement(bench.chip)
    assert again.public_key(14) == key
    assert p256.verify(key, DIGEST, again.sign(14, DIGEST))


def test_public_keys_are_computed_once(bench: ChipBench, element: AteccElement) -> None:
    element.generate(1)
    bench.boot()
    again = AteccElement(bench.chip)
    bench.double.executed.clear()
    assert again.public_key(1) == again.public_key(1)
    assert bench.double.executed.count(GENKEY) == 1


def test_whether_there_is_a_key_is_asked_and_not_computed(
    bench: ChipBench, element: AteccElement
) -> None:
    element.generate(1)
    bench.boot()
    again = AteccElement(bench.chip)
    bench.double.executed.clear()
    assert again.has_key(1)
    assert not again.has_key(2)
    assert not again.has_key(again.TOKEN_KEYS + 1)
    assert again.has_key(1)
    assert GENKEY not in bench.double.executed
    assert bench.double.executed.count(INFO) == 2, "a key that was seen is not looked for again"


def test_a_key_that_could_not_be_made_is_looked_for_again(
    bench: ChipBench, element: AteccElement
) -> None:
    """A GENKEY that loses its power leaves no key where there was one."""
    element.generate(1)
    assert element.has_key(1)
    bench.double.before[(GENKEY, 0x04)] = lambda: setattr(bench.double, "ecc_faults", 3)
    with pytest.raises(EccFault):
        element.generate(1)
    del bench.double.eeprom.keys[1]
    assert not element.has_key(1)


def test_an_advance_is_one_command(bench: ChipBench, element: AteccElement) -> None:
    element.counter()
    bench.double.executed.clear()
    element.advance()
    assert bench.double.executed == [INCREMENT[0]]


def test_a_refusal_short_of_the_end_is_not_the_end(
    bench: ChipBench, element: AteccElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6581 and another try, rather than a purse that never pays again."""

    def refuse(number: int) -> int:
        raise ExecutionRefused("0F")

    monkeypatch.setattr(bench.chip, "count_up", refuse)
    with pytest.raises(ExecutionRefused):
        element.advance()
    bench.double.eeprom.counters[0] = COUNTER_END
    with pytest.raises(CounterExhausted):
        element.advance()


def test_a_token_key_gives_way_to_the_next(element: AteccElement) -> None:
    older = element.generate(3)
    newer = element.generate(3)
    assert element.public_key(3) == newer != older
    assert not p256.verify(older, DIGEST, element.sign(3, DIGEST))


def test_the_identity_is_made_once(element: AteccElement) -> None:
    key = element.generate(IDENTITY_SLOT)
    with pytest.raises(ExecutionRefused):
        element.generate(IDENTITY_SLOT)
    assert element.public_key(IDENTITY_SLOT) == key


def test_slots_that_the_chip_has_not(element: AteccElement) -> None:
    beyond = element.TOKEN_KEYS + 1
    assert element.public_key(beyond) is None
    with pytest.raises(ValueError, match="holds 15 keys"):
        element.generate(beyond)
    with pytest.raises(ValueError, match="holds 15 keys"):
        element.sign(beyond, DIGEST)


def test_an_empty_slot_signs_nothing(element: AteccElement) -> None:
    with pytest.raises(ExecutionRefused):
        element.sign(1, DIGEST)


def test_a_key_that_power_tore(bench: ChipBench, element: AteccElement) -> None:
    """GENKEY without an end leaves no key, and the slot can be used again."""
    element.generate(1)
    bench.accident(5, bench.double.cut_power)
    with pytest.raises(ChipSilent):
        element.generate(1)
    assert element.public_key(1) is None, "what was known of the old key is forgotten"
    assert p256.verify(element.generate(1), DIGEST, element.sign(1, DIGEST))


@pytest.mark.parametrize("faults", [1, 2])
def test_a_fault_of_the_computation_is_tried_again(
    bench: ChipBench, element: AteccElement, faults: int
) -> None:
    bench.double.ecc_faults = faults
    key = element.generate(1)
    bench.double.ecc_faults = faults
    assert p256.verify(key, DIGEST, element.sign(1, DIGEST))


def test_faults_without_end_are_given_up(bench: ChipBench, element: AteccElement) -> None:
    bench.double.ecc_faults = 3
    with pytest.raises(EccFault):
        element.generate(1)
    assert element.public_key(1) is None


def test_signatures_are_random(element: AteccElement) -> None:
    element.generate(1)
    assert element.sign(1, DIGEST) != element.sign(1, DIGEST)


def test_random(element: AteccElement) -> None:
    for size in (0, 1, 8, 31, 32, 33, 64, 100):
        assert len(element.random(size)) == size
    assert element.random(32) != element.random(32)


def test_the_counter_counts(element: AteccElement) -> None:
    assert element.counter() == 0
    assert [element.advance() for _ in range(3)] == [1, 2, 3]
    assert element.counter() == 3


def test_the_counter_ends(bench: ChipBench, element: AteccElement) -> None:
    """T17."""
    bench.double.eeprom.counters[0] = COUNTER_END - 1
    assert element.advance() == COUNTER_END == element.COUNTER_END
    with pytest.raises(CounterExhausted):
        element.advance()
    assert element.counter() == COUNTER_END


@pytest.mark.parametrize("step", [2, 3, 16, 1_000])
def test_a_counter_that_jumps_says_where_it_stands(
    bench: ChipBench, element: AteccElement, step: int
) -> None:
    """S11."""
    bench.double.steps = [step]
    assert element.advance() == element.counter() == step


def test_a_jump_beyond_the_end_stays_at_the_end(bench: ChipBench, element: AteccElement) -> None:
    bench.double.eeprom.counters[0] = COUNTER_END - 2
    bench.double.steps = [5]
    assert element.advance() == element.counter() == COUNTER_END


def test_an_advance_whose_answer_is_lost_has_counted(
    bench: ChipBench, element: AteccElement
) -> None:
    bench.double.before[INCREMENT] = lambda: setattr(bench.double, "garbled_answers", 3)
    with pytest.raises(AnswerGarbled):
        element.advance()
    assert element.counter() == 1
