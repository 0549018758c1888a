# SPDX-License-Identifier: Apache-2.0
"""A card that takes whole APDUs, seen through T=0: every size and word, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.reader.ports import CardGone
from firmware.reader.slot import Slot
from firmware.reader.t0 import T0, answer_to_reset

OK = b"\x90\x00"
HEAD = b"\x80\x32\x01\x02"
GET_RESPONSE = b"\x00\xc0\x00\x00"
Card = Callable[[bytes], bytes]


class CardSlot(Slot):
    """A slot that is nothing but its card."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.sent: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self.card(command)


def card_with(*answers: bytes) -> tuple[T0, CardSlot]:
    """A card that gives these answers, whatever it is asked."""
    left = list(answers)
    slot = CardSlot(lambda command: left.pop(0))
    return T0(slot), slot


def whole_answer(t0: T0, tpdu: bytes, sizes: list[int] | None = None) -> tuple[bytes, bytes]:
    """What a computer gathers by GET RESPONSE: as much as it is told, or these sizes first."""
    answer = t0.exchange(tpdu)
    data = answer[:-2]
    for _ in range(600):
        if answer[-2] != 0x61:
            return data, answer[-2:]
        size = sizes.pop(0) if sizes else answer[-1]
        answer = t0.exchange(GET_RESPONSE + bytes([size]))
        data += answer[:-2]
    raise AssertionError("it does not end")


# -- the answer to reset -----------------------------------------------------------------------


@pytest.mark.parametrize("size", range(16))
def test_the_answer_to_reset_is_one_of_t0(size: int) -> None:
    """ISO 7816-3, 8.2: TS, T0, TD1 and TC2 as they announce each other, no TCK."""
    historical = bytes(range(0x40, 0x40 + size))
    atr = answer_to_reset(historical)
    assert atr[0] == 0x3B
    assert atr[1] == 0x80 | size  # TD1, and as many historical bytes
    assert atr[2] == 0x40  # TC2 alone, T=0
    assert atr[3] == 1
    assert atr[4:] == historical


def test_an_answer_to_reset_has_room_for_fifteen() -> None:
    """ISO 7816-3, 8.1: at most 32 bytes after TS; an ATS may have more historical bytes."""
    assert answer_to_reset(bytes(40)) == answer_to_reset(bytes(15))


# -- the four cases ----------------------------------------------------------------------------

DATA = bytes(range(10))
CASES = {
    "case 1": (HEAD, b""),
    "case 1 with a zero": (HEAD + b"\x00", b""),
    "case 2": (HEAD + b"\x0a", DATA),
    "case 2 with 256": (HEAD + b"\x00", bytes(256)),
    "case 3": (HEAD + b"\x03abc", b""),
    "case 3 with 255": (HEAD + b"\xff" + bytes(255), b""),
}


@pytest.mark.parametrize("name", CASES)
def test_cases_without_both_go_straight_through(name: str) -> None:
    tpdu, data = CASES[name]
    t0, slot = card_with(data + OK)
    assert t0.exchange(tpdu) == data + OK
    assert slot.sent == [tpdu]


@pytest.mark.parametrize("size", [1, 24, 255, 256, 261, 600, 65_536])
def test_an_answer_waits_for_get_response(size: int) -> None:
    """L03. Case 4 at T=0: the data go in, 61xx comes back, GET RESPONSE fetches."""
    data = bytes(index * 7 & 0xFF for index in range(size))
    t0, slot = card_with(data + OK)
    first = t0.exchange(HEAD + b"\x03abc")
    assert first == bytes([0x61, size if size < 256 else 0])
    t0, slot = card_with(data + OK)
    assert whole_answer(t0, HEAD + b"\x03abc") == (data, OK)
    assert slot.sent == [HEAD + b"\x03abc"]


@pytest.mark.parametrize("size", [1, 24, 255, 256, 261, 600])
def test_a_whole_apdu_is_answered_at_once(size: int) -> None:
    """L03. With its Le the computer says that it takes data: up to 256 bytes need no 61xx."""
    data = bytes(size)
    apdu = HEAD + b"\xff" + bytes(255) + b"\x00"
    assert len(apdu) == 261
    t0, slot = card_with(data + OK)
    first = t0.exchange(apdu)
    assert len(first) == min(size, 256) + 2
    t0, slot = card_with(data + OK)
    assert whole_answer(t0, apdu) == (data, OK)
    assert slot.sent == [apdu]


def test_an_extended_apdu_that_fits_goes_through() -> None:
    """L03. libccid lets 261 bytes through; its answer comes by 61xx like any other."""
    apdu = HEAD + b"\x00\x00\x05hello\x02\x00"
    data = bytes(512)
    t0, slot = card_with(data + OK)
    assert whole_answer(t0, apdu) == (data, OK)
    assert slot.sent == [apdu]


@given(st.binary(min_size=1, max_size=900), st.lists(st.integers(0, 255), max_size=12))
def test_an_answer_is_whole_however_it_is_fetched(data: bytes, sizes: list[int]) -> None:
    t0, slot = card_with(data + b"\x62\x82")
    assert whole_answer(t0, HEAD + b"\x01x", sizes) == (data, b"\x62\x82")
    assert len(slot.sent) == 1


def test_more_than_is_asked_for_waits() -> None:
    """A card that gives more than Le says: the rest is neither lost nor pushed on the computer."""
    t0, slot = card_with(DATA + OK)
    assert t0.exchange(HEAD + b"\x04") == DATA[:4] + b"\x61\x06"
    assert t0.exchange(GET_RESPONSE + b"\x06") == DATA[4:] + OK
    assert len(slot.sent) == 1


# -- what the card says itself -----------------------------------------------------------------

NO_DATA = b"\x69\x82"


@pytest.mark.parametrize("tpdu", [HEAD, HEAD + b"\x00", HEAD + b"\x02ab", HEAD + b"\x02ab\x00"])
def test_every_status_word_passes(tpdu: bytes) -> None:
    """L08: also 61xx and 6Cxx, at which the computer asks again by itself."""
    words = [number.to_bytes(2, "big") for number in range(0x6000, 0xA000)]
    t0, slot = card_with(*words)
    assert [t0.exchange(tpdu) for _ in words] == words
    assert slot.sent == [tpdu] * len(words)


def test_a_wrong_length_is_the_computers_to_mend() -> None:
    t0, slot = card_with(b"\x6c\x0a", DATA + OK)
    assert t0.exchange(HEAD + b"\x00") == b"\x6c\x0a"
    assert t0.exchange(HEAD + b"\x0a") == DATA + OK
    assert slot.sent == [HEAD + b"\x00", HEAD + b"\x0a"]


def test_the_cards_own_chain_passes() -> None:
    """The card keeps its answer's rest and says 61xx: its GET RESPONSE goes to it, once each."""
    first, second = bytes(256), bytes(44)
    t0, slot = card_with(first + b"\x61\x2c", second + OK)
    assert whole_answer(t0, HEAD + b"\x01x") == (first + second, OK)
    assert slot.sent == [HEAD + b"\x01x", GET_RESPONSE + b"\x2c"]
    t0, slot = card_with(first + b"\x61\x2c", second + OK)
    assert whole_answer(t0, HEAD + b"\x00") == (first + second, OK)
    assert slot.sent == [HEAD + b"\x00", GET_RESPONSE + b"\x2c"]


def test_command_chaining_passes() -> None:
    """An APDU of more than 255 bytes: the parts are commands of their own."""
    parts = [b"\x90\x32\x00\x00\xff" + bytes(255), b"\x80\x32\x00\x00\x03abc"]
    t0, slot = card_with(OK, DATA + OK)
    assert t0.exchange(parts[0]) == OK
    assert whole_answer(t0, parts[1]) == (DATA, OK)
    assert slot.sent == parts


def test_an_envelope_is_a_command_like_any_other() -> None:
    part = b"\x00\xc2\x00\x00\x03abc"
    t0, slot = card_with(OK)
    assert t0.exchange(part) == OK
    assert slot.sent == [part]


def test_a_card_that_says_61_for_ever_is_stopped() -> None:
    """L08."""
    slot = CardSlot(lambda command: b"\x61\x00")
    t0 = T0(slot)
    assert whole_answer(t0, HEAD) == (b"", b"\x6f\x00")
    assert len(slot.sent) == 513
    assert t0.exchange(HEAD) == b"\x61\x00", "another command begins anew"


def test_a_card_that_brings_bytes_for_ever_is_stopped() -> None:
    """L08."""
    slot = CardSlot(lambda command: b"x\x61\x01")
    data, word = whole_answer(T0(slot), HEAD + b"\x00")
    assert (set(data), word) == ({ord("x")}, b"\x6f\x00")
    assert len(data) == 513


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_an_answer_without_a_status_word_is_none(answer: bytes) -> None:
    """L08."""
    t0, _ = card_with(answer)
    with pytest.raises(CardGone):
        t0.exchange(HEAD)


# -- nothing twice, nothing stale --------------------------------------------------------------


def test_another_command_ends_an_answer() -> None:
    t0, slot = card_with(DATA + OK, NO_DATA, b"\x6d\x00")
    assert t0.exchange(HEAD + b"\x01x") == b"\x61\x0a"
    assert t0.exchange(HEAD) == NO_DATA
    assert t0.exchange(GET_RESPONSE + b"\x0a") == b"\x6d\x00", "the card is asked: nothing waits"
    assert len(slot.sent) == 3


def test_a_card_that_fails_leaves_nothing_behind() -> None:
    t0, slot = card_with(DATA + OK)
    assert t0.exchange(HEAD + b"\x01x") == b"\x61\x0a"

    def gone(command: bytes) -> bytes:
        raise CardGone("torn")

    slot.card = gone
    with pytest.raises(CardGone):
        t0.exchange(HEAD)
    with pytest.raises(CardGone):
        t0.exchange(GET_RESPONSE + b"\x0a")


def test_a_card_that_begins_anew_forgets() -> None:
    t0, _ = card_with(DATA + OK, b"\x6d\x00")
    assert t0.exchange(HEAD + b"\x01x") == b"\x61\x0a"
    t0.forget()
    assert t0.exchange(GET_RESPONSE + b"\x0a") == b"\x6d\x00"


def test_a_command_with_data_is_no_get_response() -> None:
    """INS C0 with data is the card's own business."""
    t0, slot = card_with(DATA + OK, OK)
    assert t0.exchange(HEAD + b"\x01x") == b"\x61\x0a"
    assert t0.exchange(GET_RESPONSE + b"\x01x") == OK
    assert len(slot.sent) == 2
