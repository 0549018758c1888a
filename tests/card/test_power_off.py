# SPDX-License-Identifier: Apache-2.0
"""Kill -9 of a real card at random moments: whatever it was doing, it keeps its money (I9, I3)."""

from __future__ import annotations

import os
import random
import secrets
import threading
from pathlib import Path

import pytest

from boards.VIRTUAL.board import VirtualBoard
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import PayRequest, PurseSession
from host_bridge.transport.base import TransportError
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.card.bench import Bench
from tests.card.facts import recomputed_chain
from tests.doubles.desk import NOW, PIN, Desk

KILLS = 20  # that fell into a PAY; others come too late and cost nothing
MAX_ROUNDS = 20 * KILLS
TIMEOUT_S = 30.0
LOADED = 100_000


class KilledCard(Bench):
    """A card whose power goes at any moment, and the till that remembers what it asked for."""

    def __init__(self, board: VirtualBoard, seed: int) -> None:
        self.desk = Desk()
        self.board = board
        self.taken = []
        self.draw = random.Random(seed)
        self.paid = 0
        self.loaded = 0
        self.pay_s = 0.0
        self.anchor = bytes(32)
        self.landed = {"before": 0, "after": 0}

    def on(self) -> VirtualTransport:
        card = VirtualTransport(self.board, timeout_s=TIMEOUT_S)
        self.session = PurseSession(card)
        self.session.select()
        return card

    def loads(self) -> None:
        """A fresh note and a payment, without any cut: how long does one take?"""
        with self.on() as card:
            self.desk.load(self.session, LOADED)
            before_ms = card.traffic.wall_ms
            self.pay(self.desk.request(1))
            self.pay_s = (card.traffic.wall_ms - before_ms) / 1000
        self.loaded += LOADED
        self.paid += 1

    def killed_while_paying(self) -> None:
        """A payment, cut anywhere or not at all; RECOVER or the same PAY again completes it."""
        request = self.desk.request(self.draw.randint(1, 900))
        with self.on():
            tokens = self._cut(lambda: self.session.pay(request))
        with self.on():
            if tokens is None:
                tokens = self._recovered(request)
            again = self.session.recover(request.payment_id)
            assert [token.raw for token in again] == [token.raw for token in tokens]
            self.verified(request, tokens)
            self.paid += request.amount_tiyn

    def _cut(self, act):  # type: ignore[no-untyped-def]
        """What `act` gives, or None where the power went first."""
        killer = threading.Timer(self.draw.uniform(0, self.pay_s), self.board.kill)
        killer.start()
        try:
            return act()
        except TransportError:
            return None
        finally:
            killer.join()

    def _recovered(self, request: PayRequest):  # type: ignore[no-untyped-def]
        try:
            tokens = self.session.recover(request.payment_id)
            self.landed["after"] += 1
            return tokens
        except CardRefused as refused:
            assert refused.word == 0x6A88
            self.landed["before"] += 1
            return self.session.pay(request)

    def killed_between_commands(self) -> None:
        """Off and on while nothing is asked of it."""
        with self.on():
            self.board.kill()
        with self.on():
            self.session.verify_pin(PIN)
            assert self.session.balance() == {0: self.loaded - self.paid}

    def syncs(self) -> None:
        """The bank's side of all of it: one chain, each payment once. Its word is cut as well."""
        with self.on():
            self.session.verify_pin(PIN)
            export = self.session.export(secrets.token_bytes(16))
            assert export.statement.anchor == self.anchor
            self.anchor = recomputed_chain(self.anchor, export)
            assert export.statement.head == self.anchor
            known = {transfer.record_id for transfer in self.taken}
            for entry in export.entries:
                assert {transfer.record_id for transfer in entry.transfers} <= known
            word = self.desk.acknowledge(export, time=NOW + 1)
            self._cut(lambda: self.session.acknowledge(word))
        with self.on():
            self.session.acknowledge(word)
            self.session.verify_pin(PIN)
            assert self.session.balance() == {0: self.loaded - self.paid}


@pytest.mark.parametrize("bits", [64, 32])
def test_kill_at_random_moments(bits: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if bits == 32:
        request.getfixturevalue("micropython32")
    seed = int(os.environ.get("QALTA_SEED") or secrets.randbits(32))
    print(f"QALTA_SEED={seed}")
    image = tmp_path / "flash.img"
    build_image(image)
    card = KilledCard(VirtualBoard(image, bits=bits, log=tmp_path / "board.log"), seed)
    with VirtualTransport(card.board, timeout_s=TIMEOUT_S) as blank:
        card.desk.personalise(blank)
    card.loads()
    for number in range(MAX_ROUNDS):
        card.killed_while_paying()
        if number % 5 == 4:
            card.killed_between_commands()
            card.syncs()
        if sum(card.landed.values()) >= KILLS:
            break
    card.loads()
    print(f"{bits} bits: {number + 1} payments, the power went {card.landed} their commit")
    assert sum(card.landed.values()) >= KILLS
    assert sum(transfer.amount_tiyn for transfer in card.taken) == card.paid
