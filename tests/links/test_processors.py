# SPDX-License-Identifier: Apache-2.0
"""The chain of processors: long commands, long answers, wrong Le, and answers without an end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.wire import status
from firmware.wire.apdu import CLA_CHAINED, CLA_ISO, INS_GET_RESPONSE, Command
from firmware.wire.layout import WireError
from host_bridge.closing import Closing
from host_bridge.session.exchange import CardMisbehaved, CardRefused, Exchange
from host_bridge.transport.base import Traffic
from host_bridge.transport.processors import MAX_ANSWER, MAX_RESPONSES, chain

OK = b"\x90\x00"


class ScriptedCard(Closing):
    """A card that answers by a function of the raw command and of how many came before it."""

    def __init__(self, answer: Callable[[bytes, int], bytes]) -> None:
        self.traffic = Traffic()
        self.seen: list[bytes] = []
        self._answer = answer

    def transmit(self, command: bytes) -> bytes:
        self.seen.append(command)
        return self._answer(command, len(self.seen) - 1)

    def reset(self) -> str:
        return "scripted"

    def close(self) -> None:
        """Nothing to let go."""


class ExtendedCard(ScriptedCard):
    """The same, and it takes extended APDUs."""

    extended_length = True


def answering(*answers: str) -> ScriptedCard:
    """A card with these answers, in hex, one after another."""
    return ScriptedCard(lambda _, number: bytes.fromhex(answers[number]))


def always(answer: bytes) -> ScriptedCard:
    """A card with one answer to everything."""
    return ScriptedCard(lambda _, number: answer)


@pytest.mark.parametrize("size", [0, 1, 254, 255])
def test_what_fits_goes_whole(size: int) -> None:
    card = answering("9000")
    command = Command(0x80, 0x32, 1, 2, bytes(size), 256)
    assert chain(card).send(command) == (b"", status.OK)
    assert card.seen == [command.raw]


@pytest.mark.parametrize("size", [256, 261, 510, 511, 1024])
def test_much_data_goes_in_a_chain(size: int) -> None:
    """ISO 7816-4: the same header, the chaining bit on all but the last, Le on the last alone."""
    data = bytes(index % 251 for index in range(size))
    card = always(OK)
    chain(card).send(Command(0x80, 0x32, 1, 2, data, 256))
    parts = [Command.parse(raw) for raw in card.seen]
    assert b"".join(part.data for part in parts) == data
    assert [part.cla for part in parts] == [0x80 | CLA_CHAINED] * (len(parts) - 1) + [0x80]
    assert {(part.ins, part.p1, part.p2) for part in parts} == {(0x32, 1, 2)}
    assert [part.le for part in parts] == [None] * (len(parts) - 1) + [256]
    assert len(parts) == -(-size // 255)


def test_a_refused_part_ends_the_chain() -> None:
    card = answering("9000", "6884", "9000")
    assert chain(card).send(Command(0x80, 0x32, data=bytes(700))) == (b"", 0x6884)
    assert len(card.seen) == 2


def test_extended_where_it_is_offered() -> None:
    """One APDU with Lc and Le of two bytes; short ones stay short."""
    card = ExtendedCard(lambda command, number: OK)
    chain(card).send(Command(0x80, 0x32, 1, 2, bytes(300), 256))
    chain(card).send(Command(0x80, 0x32, 1, 2, bytes(300)))
    chain(card).send(Command(0x80, 0x32, 1, 2, b"", 65_536))
    chain(card).send(Command(0x80, 0x32, 1, 2, b"x", 256))
    assert [raw.hex() for raw in card.seen] == [
        "80320102" + "00012c" + "00" * 300 + "0100",
        "80320102" + "00012c" + "00" * 300,
        "80320102" + "00" + "0000",
        "8032010201" + "78" + "00",
    ]
    with pytest.raises(WireError):
        chain(card).send(Command(0x80, 0x32, data=bytes(65_536)))


def test_answers_in_parts_are_collected() -> None:
    card = answering("aa6102", "bbcc6100", "dd9000")
    assert chain(card).send(Command(0x80, 0x32, le=256)) == (b"\xaa\xbb\xcc\xdd", status.OK)
    parts = [Command.parse(raw) for raw in card.seen[1:]]
    assert [(part.cla, part.ins, part.le) for part in parts] == [
        (CLA_ISO, INS_GET_RESPONSE, 2),
        (CLA_ISO, INS_GET_RESPONSE, 256),
    ]


def test_a_wrong_le_is_put_right_once() -> None:
    card = answering("6c05", "0102030405" + "9000")
    assert chain(card).send(Command(0x80, 0x3A, le=256)) == (bytes([1, 2, 3, 4, 5]), status.OK)
    assert [Command.parse(raw).le for raw in card.seen] == [256, 5]
    stubborn = always(b"\x6c\x05")
    assert chain(stubborn).send(Command(0x80, 0x3A, le=256)) == (b"", 0x6C05)
    assert len(stubborn.seen) == 2


def test_the_longest_answer_is_not_endless() -> None:
    """65,536 bytes, as T=0 brings them: by GET RESPONSE alone."""

    def answer(command: bytes, number: int) -> bytes:
        more = number < MAX_RESPONSES
        return (bytes(256) if number else b"") + (b"\x61\x00" if more else OK)

    card = ScriptedCard(answer)
    data = Exchange(card).send(Command(0x80, 0x32, data=b"x", le=256))
    assert len(data) == MAX_ANSWER == 65_536


@pytest.mark.parametrize("part", [b"", b"x", bytes(256)])
def test_l08_an_endless_61xx_ends(part: bytes) -> None:
    card = always(part + b"\x61\x00")
    with pytest.raises(CardMisbehaved, match="does not end"):
        Exchange(card).send(Command(0x80, 0x32, le=256))
    assert len(card.seen) == MAX_RESPONSES + 1


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_l08_an_answer_without_a_status_word(answer: bytes) -> None:
    with pytest.raises(CardMisbehaved, match="no status word"):
        Exchange(always(answer)).send(Command(0x80, 0x32))


def test_l08_every_status_word_is_an_answer() -> None:
    """65,536 of them: 9000 alone is success, the rest is refused by its number, in few APDUs."""
    for word in range(0x10000):
        card = always(word.to_bytes(2, "big"))
        exchange = Exchange(card)
        if word >> 8 == 0x61:
            continue  # the endless answer of above
        if word == status.OK:
            assert exchange.send(Command(0x80, 0x32)) == b""
        else:
            with pytest.raises(CardRefused) as caught:
                exchange.send(Command(0x80, 0x32))
            assert caught.value.word == word
        assert len(card.seen) == (2 if word >> 8 == 0x6C else 1)
