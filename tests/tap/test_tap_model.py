# SPDX-License-Identifier: Apache-2.0
"""The model of a tap against sums that were done by hand, and its table against the firmware."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

import pytest

from firmware.hal.atecc608_opcodes import MAX_MS
from firmware.wire import frame
from host_bridge.bench.card import CountingCard, Step
from host_bridge.bench.chip import NAMES
from host_bridge.bench.link import Air, bus_bytes
from host_bridge.bench.model import Estimate, Model, Term
from host_bridge.bench.table import TABLE, BenchError, Source, Table, read_table
from host_bridge.bench.tap import Taps

BIT_MS = 128 / 13_560  # at 106 kbit/s
SOURCE = Source("test", "assumption", "a test")


def data() -> dict[str, Any]:
    """The table as it is written."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def step(command: int, answer: int, chip_ms: float = 0.0, **counts: int) -> Step:
    """A PAY of so many bytes there and back."""
    raw = bytes((0x80, 0x32)) + bytes(command - 2)
    named = {name.replace("chip_", "chip."): many for name, many in counts.items()}
    return Step(raw, bytes(answer), Counter(named), chip_ms)


def by_label(terms: list[Term]) -> dict[str, Term]:
    """Each term once."""
    found = {term.label: term for term in terms}
    assert len(found) == len(terms), "no term counts twice"
    return found


def air_terms(name: str, rate: int, *steps: Step, busy_ms: float = 0.0) -> dict[str, Any]:
    """What a tap costs in the air: label to (count, usual, worst)."""
    table = read_table()
    air = Air(table, table.profiles[name], rate)
    rows = air.terms(list(steps), [(busy_ms, busy_ms)] * len(steps))
    return {label: (count, usual, worst) for label, count, usual, worst, _ in rows}


def test_a_short_apdu_is_one_block_each_way() -> None:
    rows = air_terms("esp32", 106, step(13, 25))
    count, usual, worst = rows["the air at 106 kbit/s, a byte"]
    assert count == 13 + 3 + 25 + 3
    assert usual == worst == pytest.approx((44 * 9 + 2 * 2) * BIT_MS)
    assert rows["the card turns round"][0] == 1


def test_a_long_answer_is_chained_in_the_readers_frames() -> None:
    # 258 bytes in blocks of 61: five, the command one, and four R(ACK)s of three bytes.
    rows = air_terms("j3r180", 106, step(234, 258))
    assert rows["the air at 106 kbit/s, a byte"][0] == 234 + 258 + 3 * (1 + 5 + 4)
    assert rows["the reader turns round"][0] == 5


def test_a_board_takes_long_commands_in_blocks_of_its_own() -> None:
    rows = air_terms("esp32", 106, step(234, 258))
    assert rows["the air at 106 kbit/s, a byte"][0] == 234 + 258 + 3 * (4 + 5 + 3 + 4)
    assert rows["the card turns round"][0] == 8


def test_a_block_that_just_fits_is_not_chained() -> None:
    assert air_terms("esp32", 106, step(61, 61))["the card turns round"][0] == 1
    assert air_terms("esp32", 106, step(62, 61))["the card turns round"][0] == 2
    assert air_terms("j3r180-fast", 106, step(253, 253))["the card turns round"][0] == 1


def test_the_air_is_faster_at_higher_rates() -> None:
    slow = air_terms("j3r180-fast", 106, step(234, 258))["the air at 106 kbit/s, a byte"][1]
    for rate, times in ((212, 2), (424, 4), (848, 8)):
        fast = air_terms("j3r180-fast", rate, step(234, 258))
        assert slow == pytest.approx(times * fast[f"the air at {rate} kbit/s, a byte"][1])
        assert fast["anticollision, RATS, PPS: a byte"][0] == 57 + 8, "and a PPS before"


def test_a_card_that_works_long_asks_for_time() -> None:
    assert "the card asks for time" not in air_terms("j3r180", 106, step(5, 7), busy_ms=76.9)
    count, usual, _ = air_terms("j3r180", 106, step(5, 7), busy_ms=155.0)["the card asks for time"]
    assert count == 2
    assert usual == pytest.approx(2 * (8 * 9 + 2 * 2) * BIT_MS)


def test_a_byte_in_the_air_takes_what_was_published() -> None:
    table = read_table()
    air = Air(table, table.profiles["j3r180-fast"], 106)
    assert air.byte_ms(106) == pytest.approx(0.085, abs=0.0001)
    assert air.byte_ms(424) == pytest.approx(0.0212, abs=0.0001)


def test_the_bytes_on_a_pn532_are_its_frames() -> None:
    # InListPassiveTarget: 8 + 4, ACK 6, 8 + 24; then 8 + 3 + 13, 6, 8 + 3 + 25; on SPI 7 each.
    assert bus_bytes("pn532", "reader", [step(13, 25)]) == (57 + 73, 2)
    # Longer than 255 with what is around it: three bytes more each way.
    assert bus_bytes("pn532", "reader", [step(253, 258)]) == (57 + 256 + 261 + 22 + 13, 2)
    # TgGetData: 8 + 2, 6, 8 + 3 + 13; TgSetData: 8 + 2 + 25, 6, 8 + 3.
    assert bus_bytes("pn532", "card", [step(13, 25)]) == (47 + 59, 2)


def test_a_serial_line_carries_frames() -> None:
    commands = [step(13, 25), step(234, 258)]
    sent = len(frame.encode(frame.RESET, 1, bytes(range(1, 9))))
    sent += len(frame.encode(frame.READY, 1, frame.HELLO + bytes(range(1, 9))))
    for one in commands:
        sent += len(frame.encode(frame.COMMAND_APDU, 9, one.command))
        sent += len(frame.encode(frame.RESPONSE_APDU, 9, one.response))
    assert bus_bytes("serial", "reader", commands) == (sent, 0)


def test_each_count_is_paid_for_at_the_tables_price() -> None:
    table = read_table()
    profile = table.profiles["j3r180"]
    taps = Taps([], [step(234, 258, sign=1, verify=2, hash=3, hash_block=9, record=4)])
    terms = by_label(Model(table).estimate(profile, taps, taps).terms)
    assert terms["sign"].typical_ms == pytest.approx(31.96 + 8.12)
    assert terms["verify a signature"].typical_ms == pytest.approx(2 * (30.22 + 8.12 + 3.36))
    assert terms["SHA-256, a block"].longest_ms == pytest.approx(9 * 1.5)
    assert terms["a record written"].count == 4
    assert terms["the applet, an APDU"].count == 1
    assert "flash, a program" not in terms, "a card has its records, not a board's flash"


def test_a_chips_terms_are_all_that_the_card_waited_for_it() -> None:
    table = read_table()
    usual = step(234, 258, chip_ms=100.0, sign=1, chip_SIGN=1, chip_COUNTER=4, chip_wake=1)
    slow = step(234, 258, chip_ms=260.0, sign=1, chip_SIGN=1, chip_COUNTER=4, chip_wake=1)
    profile = table.profiles["esp32-atecc608"]
    terms = Model(table).estimate(profile, Taps([], [usual]), Taps([], [slow])).terms
    of_chip = [term for term in terms if term.label.startswith("ATECC608")]
    assert sum(term.typical_ms for term in of_chip) == pytest.approx(100.0)
    assert sum(term.longest_ms for term in of_chip) == pytest.approx(260.0)
    assert "sign" not in by_label(terms), "what the chip signs the ESP32 does not sign again"


def test_whoever_verifies_is_paid_once() -> None:
    table = read_table()
    by_chip = step(234, 258, verify=1, chip_VERIFY=1, chip_ms=30.0)
    by_board = step(234, 258, verify=1, chip_ms=0.0)
    for taps, label in (
        (Taps([], [by_chip]), "ATECC608 VERIFY"),
        (Taps([], [by_board]), "verify a signature"),
    ):
        terms = Model(table).estimate(table.profiles["esp32-atecc608"], taps, taps).terms
        found = {term.label for term in terms if "erif" in term.label.lower()}
        assert found == {label}


def test_what_only_the_first_payment_needs_is_told_apart() -> None:
    table = read_table()
    cold = step(234, 258, chip_ms=160.0, chip_GENKEY=1, chip_SIGN=1)
    warm = step(234, 258, chip_ms=90.0, chip_SIGN=1)
    taps = Taps([cold], [warm])
    estimate = Model(table).estimate(table.profiles["esp32-atecc608"], taps, taps)
    assert "ATECC608 GENKEY" in by_label(estimate.after_power)
    assert "ATECC608 GENKEY" not in by_label(estimate.terms)
    assert "ATECC608 SIGN" not in by_label(estimate.after_power)


@pytest.mark.parametrize(
    ("usual_ms", "worst_ms", "verdict"),
    [
        (200, 300, "always within 300 ms"),
        (300, 500, "usually within 300 ms"),
        (300, 501, "usually within 300 ms, at the worst over 500"),
        (301, 400, "over 300 ms, usually within 500"),
        (500, 999, "over 300 ms, usually within 500"),
        (501, 501, "over 500 ms"),
    ],
)
def test_the_verdict_is_about_the_sum(usual_ms: float, worst_ms: float, verdict: str) -> None:
    halves = [Term(label, 1, usual_ms / 2, worst_ms / 2, SOURCE) for label in "ab"]
    estimate = Estimate(read_table().profiles["esp32"], 106, halves)
    assert (estimate.typical_ms, estimate.longest_ms) == (usual_ms, worst_ms)
    assert estimate.verdict == verdict


def test_a_rate_that_the_profile_has_not_is_refused() -> None:
    table = read_table()
    taps = Taps([], [step(13, 25)])
    with pytest.raises(BenchError, match="106 kbit/s, not at 424"):
        Model(table, 424).estimate(table.profiles["esp32"], taps, taps)
    assert Model(table, 212).estimate(table.profiles["j3r180"], taps, taps).rate == 212


# -- the table -----------------------------------------------------------------------------------


def test_the_chips_longest_times_are_the_drivers() -> None:
    times = read_table().times("chip", "atecc608")
    assert {NAMES[opcode]: ms for opcode, ms in MAX_MS.items() if opcode in NAMES} == {
        name: time.longest_ms for name, time in times.items()
    }


def test_a_number_without_a_source_is_refused() -> None:
    table = data()
    table["chip"]["j3r180"]["sign"] = [40, 41, "hearsay"]
    with pytest.raises(BenchError, match="no source hearsay"):
        Table(table).times("chip", "j3r180")
    table = data()
    table["chip"]["j3r180"]["sign"] = [42, 41, "applet"]
    with pytest.raises(BenchError, match="at the worst"):
        Table(table).times("chip", "j3r180")
    table = data()
    table["source"]["applet"]["kind"] = "known"
    with pytest.raises(BenchError, match="applet is of no known kind"):
        Table(table)


def test_every_source_is_used_and_every_number_has_one() -> None:
    table = read_table()
    used = {table.air["source"]}
    for part in ("chip", "bus"):
        for name in data()[part]:
            used |= {time.source.name for time in table.times(part, name).values()}
    used |= {table.air_time(what).source.name for what in _AIR_TIMES}
    used |= {profile.frame_source for profile in table.profiles.values() if profile.rates}
    assert used == set(table.sources)


_AIR_TIMES = ("card_delay", "reader_delay", "field_on")


def test_every_profile_can_be_reckoned() -> None:
    table = read_table()
    taps = Taps([], [step(234, 258, chip_ms=200.0, sign=1, verify=1, hash=6, program=4)])
    for profile in table.profiles.values():
        assert profile.card in CountingCard.KINDS
        estimate = Model(table).estimate(profile, taps, taps)
        assert 0 < estimate.typical_ms <= estimate.longest_ms
        by_label(estimate.terms)
