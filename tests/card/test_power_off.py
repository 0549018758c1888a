# SPDX-License-Identifier: Apache-2.0
"""Kill -9 of a real card within every kind of command, and while it boots (I9, I3).

Whatever it was doing, it keeps its money: the next boot holds the state before or the one after,
the same command again is carried out once, and the sums are right.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boards.VIRTUAL.board import HEAP_KIB, VirtualBoard
from host_bridge.session.exchange import CardRefused
from host_bridge.session.purse import PayRequest, PurseSession, WrongPin
from host_bridge.transport.base import TransportError
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.card.bench import Bench
from tests.card.facts import recomputed_chain
from tests.doubles.desk import DAY, NOW, PIN, Desk

KILLS = (
    152  # on each interpreter, that fell into a command; others come too late, and cost nothing
)
SPARED_KIB = 16  # of the 32-bit board's heap: what fits with so much less, fits at any boot
MAX_ROUNDS = 6 * KILLS
TIMEOUT_S = 30.0
LOADED = 100_000
NOTE = 50
PINS = (PIN, "4321")
NOT_FOUND = 0x6A88
# How often each is tried, in this order.
TURNS = (
    "PAY",
    "LOAD",
    "PAY",
    "VERIFY",
    "PAY",
    "CHANGE PIN",
    "PAY",
    "SET POLICY",
    "boot",
    "PAY",
    "EXPORT",
    "ACKNOWLEDGE",
)

Settle = Callable[[], None]  # what the next power on has to find, and completes


class KilledCard(Bench):
    """A card whose power goes at any moment, and a desk that remembers what it asked for."""

    def __init__(self, board: VirtualBoard, seed: int) -> None:
        self.desk = Desk()
        self.board = board
        self.taken = []
        self.draw = random.Random(seed)
        self.paid = self.loaded = self.days = 0
        self.pin = PIN
        self.anchor = bytes(32)
        self.duration_s: dict[str, float] = {}  # of each command, the longest so far
        self.landed: Counter[str] = Counter()
        self.before: Counter[str] = Counter()  # of those, where nothing had happened yet
        self.acts: dict[str, Callable[[], tuple[Callable[[], object], Settle]]] = {
            "PAY": self._pay,
            "LOAD": self._load,
            "VERIFY": self._verify,
            "CHANGE PIN": self._change_pin,
            "SET POLICY": self._set_policy,
            "EXPORT": self._export,
            "ACKNOWLEDGE": self._acknowledge,
        }

    @contextmanager
    def on(self) -> Iterator[None]:
        """Power comes, the purse is selected, and goes at the end if it has not gone before."""
        with VirtualTransport(self.board, timeout_s=TIMEOUT_S) as card:
            self.session = PurseSession(card)
            self.session.select()
            yield

    def begins(self) -> None:
        """A note, and every command once without a cut: how long does it take?"""
        with self.on():
            self.desk.load(self.session, LOADED)
            self.loaded += LOADED
            for name, make in self.acts.items():
                act, settle = make()
                self._timed(name, act)
                settle()
        self.before.clear()  # none of this was a cut
        self.board.start()
        began = time.monotonic()
        VirtualTransport(self.board, timeout_s=TIMEOUT_S).close()
        self.duration_s["boot"] = time.monotonic() - began
        self.board.stop()

    def plays(self, kills: int) -> None:
        """Kills, until so many fell into a command."""
        settle: Settle = self.check_balance
        for round_ in range(MAX_ROUNDS):
            name = TURNS[round_ % len(TURNS)]
            if name == "boot":
                self._killed_while_booting()
                continue
            with self.on():
                settle()
                act, settle = self.acts[name]()
                self.landed[name] += self._killed(name, act)
            if self.landed.total() >= kills:
                break
        with self.on():
            settle()
            self.check_balance()

    def _killed(self, name: str, act: Callable[[], object]) -> bool:
        """Whether the power went before the answer came."""
        killer = threading.Timer(self.draw.uniform(0, self.duration_s[name]), self.board.kill)
        killer.start()
        try:
            self._timed(name, act)
        except TransportError:
            return True
        finally:
            killer.join()
        return False

    def _timed(self, name: str, act: Callable[[], object]) -> None:
        began = time.monotonic()
        act()
        self.duration_s[name] = max(self.duration_s.get(name, 0.0), time.monotonic() - began)

    def _killed_while_booting(self) -> None:
        self.board.start()
        delay_s = self.draw.uniform(0, self.duration_s["boot"])
        killer = threading.Timer(delay_s, self.board.kill)
        killer.start()
        killer.join()
        self.landed["boot"] += 1

    def check_balance(self) -> None:
        """Loaded less paid."""
        self.session.verify_pin(self.pin)
        assert self.session.balance() == {0: self.loaded - self.paid}

    # -- the commands ------------------------------------------------------------------------

    def _pay(self) -> tuple[Callable[[], object], Settle]:
        request = self.desk.request(self.draw.randint(1, 90))

        def settle() -> None:
            tokens = self._recovered(request)
            again = self.session.recover(request.payment_id)
            assert [token.raw for token in again] == [token.raw for token in tokens]
            self.verified(request, tokens)
            self.paid += request.amount_tiyn

        return lambda: self.session.pay(request), settle

    def _recovered(self, request: PayRequest):  # type: ignore[no-untyped-def]
        try:
            return self.session.recover(request.payment_id)
        except CardRefused as refused:
            assert refused.word == NOT_FOUND
            self.before["PAY"] += 1
            return self.session.pay(request)

    def _load(self) -> tuple[Callable[[], object], Settle]:
        self._make_room()
        self.session.verify_pin(self.pin)
        attestation = self.session.generate_key(secrets.token_bytes(16))
        # It ends before the large one, so that it is spent first and its slot comes free.
        note = self.desk.note(attestation.public_key, NOTE, expires_at=NOW + 90 * DAY)
        self.session.present(self.desk.issuer)

        def settle() -> None:
            self.session.load(note)
            self.loaded += NOTE
            self.check_balance()

        return lambda: self.session.load(note), settle

    def _make_room(self) -> None:
        """Everything that is waiting is acknowledged, so that spent notes give up their slots."""
        self.session.verify_pin(self.pin)
        export = self.session.export(bytes(16))
        self.anchor = self._chained(export)
        self.session.acknowledge(self._word(export))

    def _verify(self) -> tuple[Callable[[], object], Settle]:
        return lambda: self.session.verify_pin(self.pin), self.check_balance

    def _change_pin(self) -> tuple[Callable[[], object], Settle]:
        old, new = self.pin, PINS[self.pin == PINS[0]]

        def settle() -> None:
            self.pin = new
            try:
                self.session.verify_pin(new)
            except WrongPin:
                self.before["CHANGE PIN"] += 1
                self.session.change_pin(old, new)
            self.check_balance()

        return lambda: self.session.change_pin(old, new), settle

    def _set_policy(self) -> tuple[Callable[[], object], Settle]:
        policy = self.desk.policy()

        def settle() -> None:
            self.session.set_policy(policy)
            assert self.session.select().policy_version == policy.policy_version
            self.check_balance()

        return lambda: self.session.set_policy(policy), settle

    def _export(self) -> tuple[Callable[[], object], Settle]:
        self.session.verify_pin(self.pin)

        def settle() -> None:
            self.session.verify_pin(self.pin)
            self._chained(self.session.export(secrets.token_bytes(16)))

        return lambda: self.session.export(bytes(16)), settle

    def _acknowledge(self) -> tuple[Callable[[], object], Settle]:
        self.session.verify_pin(self.pin)
        export = self.session.export(secrets.token_bytes(16))
        chain = self._chained(export)
        word = self._word(export)

        def settle() -> None:
            self.session.acknowledge(word)
            self.anchor = chain
            self.check_balance()

        return lambda: self.session.acknowledge(word), settle

    def _word(self, export):  # type: ignore[no-untyped-def]
        self.days += 1
        return self.desk.acknowledge(export, time=NOW + self.days)

    def _chained(self, export) -> bytes:  # type: ignore[no-untyped-def]
        """The bank's side: one chain, every payment in it known to the till."""
        assert export.statement.anchor == self.anchor
        chain = recomputed_chain(self.anchor, export)
        assert export.statement.head == chain
        known = {transfer.record_id for transfer in self.taken}
        for entry in export.entries:
            assert {transfer.record_id for transfer in entry.transfers} <= known
        return chain


@pytest.mark.parametrize("bits", [64, 32])
def test_kill_at_random_moments(bits: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if bits == 32:
        request.getfixturevalue("micropython32")
    seed = int(os.environ.get("QALTA_SEED") or secrets.randbits(32))
    print(f"QALTA_SEED={seed}")
    image = tmp_path / "flash.img"
    build_image(image)
    heap_kib = HEAP_KIB[bits] - (SPARED_KIB if bits == 32 else 0)
    board = VirtualBoard(image, bits=bits, heap_kib=heap_kib, log=tmp_path / "board.log")
    card = KilledCard(board, seed)
    with VirtualTransport(board, timeout_s=TIMEOUT_S) as blank:
        card.desk.personalise(blank)
    card.begins()
    card.plays(KILLS)
    print(f"{bits} bits: kill -9 within {dict(card.landed)}, {card.landed.total()} in all;")
    print(f"of them before anything had happened, where that shows: {dict(card.before)}")
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in card.duration_s.items()})
    assert card.landed.total() >= KILLS
    assert set(card.landed) == set(TURNS)
    assert sum(transfer.amount_tiyn for transfer in card.taken) == card.paid
