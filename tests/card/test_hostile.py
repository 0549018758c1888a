# SPDX-License-Identifier: Apache-2.0
"""Bytes that nobody meant well: they are answered, and no money moves (I8, I1)."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.wire import apdu
from firmware.wire.apdu import CLA_QALTA, PAY_DATA, Command
from tests.card.bench import OK, SELECT, Bench, Issued, pay_command
from tests.card.facts import facts
from tests.doubles.desk import PIN, PUK

APDUS_A_CARD = 20
CARDS = 150
MAX_APDU = 300


def real_commands(bench: Bench) -> list[bytes]:
    """One good APDU of every kind for this card. The note in LOAD is already on it."""
    desk, session = bench.desk, bench.session
    session.verify_pin(PIN)
    note = desk.load(session, 1_000)
    export = session.export(bytes(16))
    commands = [
        SELECT,
        Command(0x00, 0x20, 0, 0x81, PIN.encode()),
        Command(0x00, 0x24, 0, 0x81, b"\x042580" + PIN.encode()),
        Command(0x00, 0x2C, 0, 0x81, PUK.encode() + PIN.encode()),
        Command(0x00, 0xC0, le=256),
        *[Command(CLA_QALTA, 0x30, data=desk.authority.raw) for _ in range(2)],
        *[pay_command(desk.request(amount)) for amount in (1, 500, 600_000)],
        Command(CLA_QALTA, 0x34, data=bytes(16)),
        Command(CLA_QALTA, 0x3A),
        Command(CLA_QALTA, 0x3C, data=note.raw),
        *[Command(CLA_QALTA, 0x3E, p1, data=bytes(0 if p1 else 16)) for p1 in (0, 1, 2)],
        Command(CLA_QALTA, 0x40, data=desk.acknowledge(export).raw),
        Command(CLA_QALTA, 0x42, data=desk.policy().raw),
        Command(CLA_QALTA, 0x46, data=bytes(16)),
        Command(CLA_QALTA, 0x50, data=bytes(8)),
        Command(0x84, 0x82, 0x33, data=bytes(16)),
        Command(0x84, 0xE2, 1, data=bytes(72)),
    ]
    return [command.raw for command in commands]


@st.composite
def mutated(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """A real APDU with some of its bytes changed; one in eight is cut or grown as well."""
    raw = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.sampled_from([0, 1, 2, 3]) | st.integers(4, max(4, len(raw) - 1)))
        raw[min(at, len(raw) - 1)] = draw(st.integers(0, 255))
    if draw(st.integers(0, 7)) == 7:
        raw = raw[: draw(st.integers(1, len(raw)))] + draw(st.binary(max_size=4))
    return bytes(raw)


def may_have_paid(raw: bytes, payees: set[bytes]) -> int:
    """The amount of an APDU that is a PAY to a payee that exists; 0 for any other."""
    if raw[1:2] != bytes([apdu.INS_PAY]) or raw[0] & ~apdu.CLA_CHAINED != CLA_QALTA:
        return 0
    data = raw[5 : 5 + PAY_DATA.size]
    if len(data) < PAY_DATA.size or data[-200:] not in payees:
        return 0
    return int.from_bytes(data[:4], "big")


def test_no_bytes_move_money(funded: Issued) -> None:
    """At least 2,000 APDUs, random and real ones mutated, in sequences of 20 on one card."""
    words: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        template = funded.bench(Path(folder) / "template")
        good = real_commands(template)
        start = template.balance()
        payees = {funded.desk.shop.raw}
        runs = iter(range(10**9))
        apdus = st.lists(
            mutated(good) | mutated(good) | mutated(good) | st.binary(max_size=MAX_APDU),
            min_size=APDUS_A_CARD,
            max_size=APDUS_A_CARD,
        )

        @settings(max_examples=CARDS, database=None)
        @given(apdus, st.booleans())
        def play(sequence: list[bytes], with_pin: bool) -> None:
            bench = template.twin(Path(folder) / str(next(runs)))
            if with_pin:
                bench.session.verify_pin(PIN)
            left = start
            asked = {0}  # a chain may end in an APDU that has no data of its own
            for raw in sequence:
                answer = bench.card.application.process(raw)
                assert isinstance(answer, bytes) and 2 <= len(answer) <= 258
                word = int.from_bytes(answer[-2:], "big")
                assert word != 0x6F00
                words[word] += 1
                now = bench.balance()
                asked.add(may_have_paid(raw, payees))
                assert left - now in asked, raw.hex()
                assert now == left or word >> 8 == 0x61
                left = now
            before = facts(bench.card.purse)
            bench.boot()
            assert facts(bench.card.purse) == before

        play()
    print(f"{sum(words.values())} APDUs: " + " ".join(f"{w:04X}×{n}" for w, n in words.items()))
    assert sum(words.values()) >= 2_000
    assert len(words) >= 10, "many kinds of answers were met"


def _spoilt(raw: bytes, first: int = 0) -> list[bytes]:
    """Every truncation, every extension by one byte, every single bit turned over."""
    cut = [raw[:size] for size in range(1, len(raw))]
    grown = [raw + b"\0", raw + b"\xff"]
    turned = []
    for at in range(first * 8, len(raw) * 8):
        one = bytearray(raw)
        one[at // 8] ^= 1 << at % 8
        turned.append(bytes(one))
    return cut + grown + turned


@pytest.mark.parametrize("ins", [0x30, 0x32, 0x3C, 0x40, 0x42])
def test_spoilt_records_change_nothing(ins: int, bench: Bench) -> None:
    """PRESENT, PAY, LOAD, ACKNOWLEDGE, SET POLICY: each byte of the flash stays as it is.

    Of PAY the payee's certificate is spoilt: the fields before it are the till's to choose.
    """
    desk = bench.desk
    bench.session.verify_pin(PIN)
    bench.pay(desk.request(1))
    key = bench.session.generate_key(bytes(16)).public_key
    export = bench.session.export(bytes(16))
    good = {
        0x30: desk.authority.raw,
        0x32: desk.request(500).data,
        0x3C: desk.note(key, 500).raw,
        0x40: desk.acknowledge(export).raw,
        0x42: desk.policy().raw,
    }[ins]
    before = bench.card.flash()
    for data in _spoilt(good, first=28 if ins == 0x32 else 0):
        word = bench.word(Command(CLA_QALTA, ins, data=data))
        assert word >> 8 in (0x67, 0x6A, 0x94), data.hex()
    assert bench.card.flash() == before
    assert bench.word(Command(CLA_QALTA, ins, data=good)) in (OK, 0x6168)
    assert bench.card.flash() != before


def test_spoilt_fields_of_pay_are_another_payment(bench: Bench) -> None:
    """R06: a bit of amount, id or time turned over on the way is seen by the payee."""
    request = bench.desk.request(500)
    for at in (0, 4, 6, 8, 24):  # amount, currency, purpose, payment_id, time
        data = bytearray(request.data)
        data[at] ^= 0x01
        word = bench.word(Command(CLA_QALTA, apdu.INS_PAY, data=bytes(data)))
        if word >> 8 == 0x61:
            assert at in (8, 24)
    assert bench.balance() in (999_500, 999_000)
