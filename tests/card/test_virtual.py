# SPDX-License-Identifier: Apache-2.0
"""The card on the real MicroPython: every command in one life, with the heap that it needs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.VIRTUAL.board import HEAP_KIB, VirtualBoard
from firmware.wire import apdu
from firmware.wire.apdu import COMMAND_NAMES, Command, split_answer
from firmware.wire.limits import JOURNAL_CAPACITY
from host_bridge.session.purse import PurseSession
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.card.bench import SELECT, Bench, pay_command, refusal, whole_answer
from tests.card.facts import recomputed_chain
from tests.doubles.desk import MEDICAL, NOW, PIN, PUK, Desk

TIMEOUT_S = 30.0  # of one command; a slow machine is not a failing card


class BoardBench(Bench):
    """A bench whose card is a board; it keeps the instructions that went over the line."""

    def __init__(self, desk: Desk, card: VirtualTransport) -> None:
        self.desk = desk
        self.board = card
        self.taken = []
        self.seen: set[int] = set()
        self.traffic = card.traffic

    def transmit(self, command: bytes) -> bytes:
        """As a transport: a plain part of the sessions below."""
        self.seen.add(command[1])
        return self.board.transmit(command)

    def reset(self) -> str:
        return self.board.reset()

    def tap(self) -> PurseSession:
        self.reset()
        self.session = PurseSession(self)  # type: ignore[arg-type]
        self.session.select()
        return self.session

    def ask(self, command: Command) -> tuple[bytes, int]:
        return split_answer(self.transmit(command.raw))

    def balance(self, purpose: int = 0) -> int:
        return self.session.balance().get(purpose, 0)


@pytest.fixture(params=[64, 32], ids=["64 bits", "32 bits"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VirtualBoard]:
    """A blank card of each kind, with the smallest heap that it promises to do with."""
    if request.param == 32:
        request.getfixturevalue("micropython32")
    image = tmp_path / "flash.img"
    build_image(image)
    board = VirtualBoard(image, bits=request.param, log=tmp_path / "board.log")
    try:
        yield board
    finally:
        board.stop()
        print((tmp_path / "board.log").read_text())


def test_every_command_in_one_life(board: VirtualBoard, request: pytest.FixtureRequest) -> None:
    bits = 64 if "64" in request.node.name else 32
    with VirtualTransport(board, timeout_s=TIMEOUT_S) as card:
        bench = BoardBench(Desk(), card)
        personalised(bench)
        pins(bench)
        two_notes(bench)
        a_full_journal(bench)
        synced(bench)
        heap = card.stats()
        traffic = card.traffic
        assert bench.seen == set(COMMAND_NAMES), "every command was asked"
    print(
        f"{bits} bits: heap peak {heap.peak} of {heap.total} bytes, {heap.used_now} at rest; "
        f"{traffic.apdus} APDUs in {traffic.wall_ms:.0f} ms"
    )
    assert heap.total <= HEAP_KIB[bits] * 1024
    assert heap.peak < heap.total


def personalised(bench: BoardBench) -> None:
    bench.desk.personalise(bench, max_offline_count=1_000)  # type: ignore[arg-type]
    info = bench.tap().info
    assert info is not None and info.lifecycle == apdu.LIFECYCLE_ACTIVE


def pins(bench: BoardBench) -> None:
    session = bench.session
    for word in (0x63C2, 0x63C1, 0x6983):
        assert bench.word(Command(0x00, 0x20, 0, 0x81, b"0000")) == word
    session.unblock_pin(PUK, "1111")
    session.change_pin("1111", PIN)
    session.verify_pin(PIN)
    assert session.balance() == {0: 0}


def two_notes(bench: BoardBench) -> None:
    """Loads two general notes and a medical one, and pays with the two at once."""
    desk, session = bench.desk, bench.session
    for value, purpose in ((600, 0), (600, 0), (50, MEDICAL)):
        desk.load(session, value, purpose)
    session.set_policy(desk.policy(max_offline_count=1_000, max_payment=1_000))
    assert refusal(session.pay, desk.request(1_001)) == 0x9402
    assert refusal(session.pay, desk.request(50, purpose=MEDICAL)) == 0x9406
    request = desk.request(700)
    assert len(bench.pay(request)) == 2
    answer = whole_answer(bench, Command(0x80, 0x34, data=request.payment_id))
    assert whole_answer(bench, pay_command(request)) == answer
    far = desk.request(10, desk.far_shop)
    assert refusal(session.pay, far) == 0x6A88
    session.present(desk.other_bank)
    bench.pay(far)
    bench.pay(desk.request(60, desk.clinic))
    assert session.balance() == {0: 480, MEDICAL: 0}


def a_full_journal(bench: BoardBench) -> None:
    desk = bench.desk
    for _ in range(JOURNAL_CAPACITY - 3):
        bench.pay(desk.request(5))
    assert refusal(bench.session.pay, desk.request(5)) == 0x9409
    assert bench.balance() == 480 - 5 * 61


def synced(bench: BoardBench) -> None:
    desk, session = bench.desk, bench.session
    export = session.export(secrets.token_bytes(16))
    assert len(export.entries) == JOURNAL_CAPACITY
    assert export.statement.head == recomputed_chain(bytes(32), export)
    assert sum(entry.amount for entry in export.entries) == 770 + 305
    session.acknowledge(desk.acknowledge(export, time=NOW + 1))
    bench.pay(desk.request(5))
    assert bench.word(SELECT) == 0x9000
    assert refusal(session.export, bytes(16)) == 0x6982
