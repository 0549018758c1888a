# SPDX-License-Identifier: Apache-2.0
"""What a purse that cannot read a part of its flash must do, and how it is one again."""

from __future__ import annotations

from firmware.purse import stored
from firmware.wire import apdu
from firmware.wire.apdu import CLA_QALTA, INS_EXPORT, LIFECYCLE_DAMAGED, Command
from tests.card.bench import OK, Bench, refusal
from tests.card.facts import facts
from tests.card.flash_map import Harm
from tests.doubles.desk import NOW, PIN

STORED_FIRST = Command(CLA_QALTA, INS_EXPORT, apdu.P1_EXPORT_STORED, 0, bytes(2))


def is_damaged(bench: Bench, has_pin: bool = True) -> None:
    """It answers, says what it is, pays and writes nothing, and gives what it can read."""
    flash = bench.card.flash()
    for _ in range(2):
        bench.boot()
        assert bench.session.info is not None
        assert bench.session.info.lifecycle == LIFECYCLE_DAMAGED
        note = bench.desk.note(bench.desk.shop.public_key, 1)
        assert refusal(bench.session.pay, bench.desk.request(1)) == 0x6985
        assert refusal(bench.session.load, note) == 0x6985
        assert bench.word(Command(0x80, 0x40, data=acknowledgement(bench))) == 0x6581
        assert bench.word(Command(0x80, 0x34, data=bytes(16))) == 0x6581
        assert bench.card.flash() == flash, "evidence is kept, byte for byte"
    assert bench.word(STORED_FIRST) == (0x6982 if has_pin else OK)
    if has_pin:
        bench.session.verify_pin(PIN)
    kinds = stored_kinds(bench)
    assert kinds.count(stored.COMMIT) >= 3
    assert bench.word(Command(CLA_QALTA, 0x3E, apdu.P1_EXPORT_STATEMENT, data=bytes(16))) == 0x6581


def stored_kinds(bench: Bench) -> list[int]:
    """The kinds of all records that EXPORT gives as they are stored."""
    kinds: list[int] = []
    while True:
        data = apdu.STORED_INDEX.pack({"index": len(kinds)})
        answer, word = bench.ask(
            Command(CLA_QALTA, INS_EXPORT, apdu.P1_EXPORT_STORED, data=data, le=256)
        )
        if word == 0x6A88:
            return kinds
        assert word == OK or word >> 8 == 0x61
        kinds.append(answer[0])


def acknowledgement(bench: Bench) -> bytes:
    """A word of its bank's, in form."""
    fields = {"serial": bytes(16), "counter": 1, "time": NOW, "policy_version": 1}
    return bench.desk.acknowledge(
        _Export(), **fields, chain=bytes(32), bank=bench.desk.bank_key.key_id
    ).raw


class _Export:
    """So much of an export as the desk looks at."""

    entries: tuple[()] = ()

    class statement:
        serial, acknowledged, policy_version, head = bytes(16), 0, 1, bytes(32)


def works_again(bench: Bench, harm: Harm, before: dict[str, object]) -> None:
    """The good bytes put back, and a new tap: no boot is needed."""
    good = {name: data for name, data in harm.good.items() if name != "state.bin"}
    state = bench.card.flash()["state.bin"]
    harm.undo()
    if state != harm.good["state.bin"]:
        bench.card.boot()
    assert {name: bench.card.flash()[name] for name in good} == good
    bench.tap()
    assert facts(bench.card.purse) == before
    bench.pay(bench.desk.request(2))
