# SPDX-License-Identifier: Apache-2.0
"""Command chaining, `61xx` and GET RESPONSE, on raw APDUs and through the host's exchange."""

import pytest

from firmware.wire import apdu
from firmware.wire.apdu import CLA_CHAINED, CLA_QALTA, Command
from firmware.wire.limits import MAX_CHAINED
from host_bridge.session.exchange import CardRefused, Exchange
from host_bridge.transport.base import Traffic
from tests.card.bench import OK, SELECT, Bench, pay_command, tokens_of, whole_answer

GET_RESPONSE = 0xC0


def _parts(command: Command, *cuts: int) -> list[Command]:
    ends = [*cuts, len(command.data)]
    starts = [0, *cuts]
    parts = [
        Command(command.cla | CLA_CHAINED, command.ins, command.p1, command.p2, command.data[a:b])
        for a, b in zip(starts, ends, strict=True)
    ]
    parts[-1].cla = command.cla
    return parts


@pytest.mark.parametrize("cuts", [(1,), (227,), (100, 101), (16, 32, 48, 64), (0, 0, 228)])
def test_chained_pay(cuts: tuple[int, ...], bench: Bench) -> None:
    request = bench.desk.request(500)
    *first, last = _parts(pay_command(request), *cuts)
    before = bench.card.flash()
    for part in first:
        assert bench.word(part) == OK
    assert bench.card.flash() == before, "nothing happens before the last part"
    bench.verified(request, tokens_of(whole_answer(bench, last)))


def test_a_torn_chain_is_forgotten(bench: Bench) -> None:
    """T05: whatever comes between the parts, the parts before it count no more."""
    request = bench.desk.request(500)
    first, last = _parts(pay_command(request), 100)
    between = [SELECT, Command(0x80, 0x3A), Command(0x80, 0x32, 1), Command(0x90, 0x34, data=b"1")]
    for other in between:
        assert bench.word(first) == OK
        bench.word(other)
        assert bench.word(last) == 0x6700
    assert bench.word(first) == OK
    bench.tap()
    assert bench.word(last) == 0x6700
    assert bench.balance() == 1_000_000


def test_a_chain_has_an_end(bench: Bench) -> None:
    """L09: neither few long nor many short parts fill the card's memory."""
    part = Command(CLA_QALTA | CLA_CHAINED, apdu.INS_PAY, data=bytes(128))
    for _ in range(MAX_CHAINED // 128):
        assert bench.word(part) == OK
    assert bench.word(Command(CLA_QALTA | CLA_CHAINED, apdu.INS_PAY, data=b"1")) == 0x6700
    for _ in range(MAX_CHAINED // 128):
        assert bench.word(part) == OK, "the long one was forgotten"
    assert bench.word(Command(CLA_QALTA, apdu.INS_PAY)) == 0x6700, "1,024 bytes are no PAY"
    assert bench.word(part) == OK
    assert bench.word(Command(0x90, apdu.INS_PAY, data=bytes(255))) == OK
    assert bench.balance() == 1_000_000


def test_a_secured_command_is_not_chained(bench: Bench) -> None:
    assert bench.word(Command(0x94, 0xE2, 1, data=bytes(255))) == 0x6884


@pytest.mark.parametrize("le", [1, 2, 16, 100, 255, 256])
def test_an_answer_in_parts(le: int, bench: Bench) -> None:
    request = bench.desk.request(500)
    command = pay_command(request)
    command.le = le
    data, word = bench.ask(command)
    assert len(data) == le
    while word >> 8 == 0x61:
        left = 360 - len(data)
        assert word & 0xFF == (left if left < 256 else 0)
        part, word = bench.ask(Command(0x00, GET_RESPONSE, le=le))
        assert len(part) == min(le, left)
        data += part
    assert word == OK
    bench.verified(request, tokens_of(data))
    assert bench.word(Command(0x00, GET_RESPONSE, le=le)) == 0x6985, "it comes once"


@pytest.mark.parametrize(
    "other", [SELECT, Command(0x80, 0x3A), Command(0x80, 0xC0), Command(0x90, 0x32, data=b"1")]
)
def test_the_rest_is_forgotten(other: Command, bench: Bench) -> None:
    request = bench.desk.request(500)
    assert bench.word(pay_command(request)) >> 8 == 0x61
    bench.word(other)
    assert bench.word(Command(0x00, GET_RESPONSE)) == 0x6985
    bench.tap()
    bench.verified(request, bench.session.recover(request.payment_id))


def test_the_rest_is_forgotten_with_the_tap(bench: Bench) -> None:
    assert bench.word(pay_command(bench.desk.request(500))) >> 8 == 0x61
    bench.card.reset()
    assert bench.word(Command(0x00, GET_RESPONSE)) == 0x6985


class ScriptedCard:
    """Answers what the test says, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.traffic = Traffic()
        self.sent: list[bytes] = []
        self._answers = list(answers)

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self._answers.pop(0)

    def reset(self) -> str:
        return ""

    def close(self) -> None: ...

    def __enter__(self) -> "ScriptedCard":
        return self

    def __exit__(self, *_: object) -> None: ...


def test_host_chains_and_collects() -> None:
    """A long command and a long answer at once: `61xx` at the last part is no refusal."""
    card = ScriptedCard(b"\x90\x00", b"\x90\x00", b"ab\x61\x02", b"cd\x90\x00")
    command = Command(CLA_QALTA, 0x32, data=bytes(600), le=256)
    assert Exchange(card).send(command) == b"abcd"
    assert [raw[0] for raw in card.sent] == [0x90, 0x90, 0x80, 0x00]
    assert [len(raw) for raw in card.sent] == [260, 260, 5 + 90 + 1, 5]


def test_host_stops_a_chain_that_is_refused() -> None:
    card = ScriptedCard(b"\x90\x00", b"\x67\x00")
    with pytest.raises(CardRefused, match="6700"):
        Exchange(card).send(Command(CLA_QALTA, 0x32, data=bytes(600)))
    assert len(card.sent) == 2


@pytest.mark.parametrize(
    ("cla", "word"), [(0xFF, 0x6E00), (0x50, 0x6E00), (0x11, 0x6881), (0x93, 0x6881)]
)
def test_a_part_of_a_class_that_is_not_ours_is_not_gathered(
    bench: Bench, cla: int, word: int
) -> None:
    answer = bench.card.transmit(bytes((cla, 0x32, 0, 0, 1, 0xAA)))
    assert answer == word.to_bytes(2, "big")
