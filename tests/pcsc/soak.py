# SPDX-License-Identifier: Apache-2.0
"""Thousands of payments in a row through our reader, with every program on the way watched.

    python -m tests.pcsc.soak 10000

Each payment is a tap of its own: the card is opened through PC/SC, pays, and is let go. What
one takes of our own time is told beside the same payment at the card's serial port, and beside
what the PN532's bus and the air would take, which the double reckons and does not wait for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import track

from firmware.purse.trust import Trust
from firmware.purse.verify import Expectation, check_payment
from host_bridge.crypto import p256
from host_bridge.demo.cards import BoardCard
from host_bridge.session.purse import PurseSession
from host_bridge.transport.base import Transport
from provisioning.image import build_image
from tests.doubles.desk import DAY, NOW, PIN, Desk
from tests.doubles.pn532_isodep_card import IsoDepCard
from tests.pcsc.reader_rig import ReaderRig
from tests.pcsc.service import point_clients_here

AMOUNT_TIYN = 100
_NOTE_TIYN = 40_000  # so that notes are spent, and their slots used again
_SYNC_EACH = 40  # payments; the offline limit is 50
_KIB = 1024


@dataclass
class Watched:
    """One program: how much memory it had, and how many files open, after warming up and now."""

    name: str
    pid: int
    rss_kib: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Takes both figures."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.rss_kib.append(pages * os.sysconf("SC_PAGE_SIZE") // _KIB)
        self.files.append(len(os.listdir(f"/proc/{self.pid}/fd")))

    @property
    def grown_kib(self) -> int:
        """By how much its memory grew since the first look."""
        return self.rss_kib[-1] - self.rss_kib[0]

    @property
    def more_files(self) -> int:
        """How many more files it has open than at the first look."""
        return self.files[-1] - self.files[0]


@dataclass
class Told:
    """What came of it: each payment in milliseconds, opening apart; the double's reckoning."""

    pay_ms: list[float]
    tap_ms: list[float]
    direct_ms: list[float]
    bus_ms: float
    air_ms: float
    watched: list[Watched]

    @property
    def added_ms(self) -> float:
        """What the way through the reader adds to SELECT and PAY, of a usual payment."""
        return statistics.median(self.pay_ms) - statistics.median(self.direct_ms)

    def lines(self) -> list[str]:
        """For people."""
        taps = len(self.pay_ms)
        half = taps // 2
        return [
            f"{taps} payments, none lost, none twice",
            f"SELECT and PAY: {statistics.median(self.pay_ms):.1f} ms usual, "
            f"{max(self.pay_ms):.1f} the longest; at the serial port "
            f"{statistics.median(self.direct_ms):.1f}; so the reader's way adds "
            f"{self.added_ms:.1f} ms",
            f"the first half took {statistics.median(self.pay_ms[:half]):.1f} ms each, "
            f"the second {statistics.median(self.pay_ms[half:]):.1f}",
            f"a tap, opened and closed: {statistics.median(self.tap_ms):.1f} ms",
            f"not waited for: {self.bus_ms / taps:.1f} ms of the PN532's bus and "
            f"{self.air_ms / taps:.1f} of the air a tap",
            *(
                f"{one.name}: {one.rss_kib[0]} KiB at first, {one.grown_kib:+} since; "
                f"{one.files[-1]} files open, {one.more_files:+}"
                for one in self.watched
            ),
        ]


class Payer:
    """The desk's side of a card: asks, verifies, syncs, loads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._trust = Trust(desk.root.public_key, p256.verify)
        for certificate in (desk.issuer, desk.bank, desk.authority):
            self._trust.add(certificate)
        self.paid = self.loaded = self._syncs = 0

    def prepare(self, transport: Transport) -> None:
        """The first note, of a card that is personalised here."""
        self._desk.personalise(transport)
        transport.reset()
        session = PurseSession(transport)
        session.select()
        self._load(session)

    def pay(self, transport: Transport) -> float:
        """One payment, verified; SELECT and PAY in milliseconds."""
        request = self._desk.request(AMOUNT_TIYN)
        began = time.perf_counter()
        session = PurseSession(transport)
        session.select()
        tokens = session.pay(request)
        took_ms = (time.perf_counter() - began) * 1000
        wanted = Expectation(
            request.payee, request.payment_id, AMOUNT_TIYN, request.time, request.time
        )
        check_payment(self._trust, None, wanted, tokens, [])
        self.paid += AMOUNT_TIYN
        return took_ms

    def sync(self, transport: Transport) -> None:
        """The journal is acknowledged; a new note comes, where the last one is nearly spent."""
        session = PurseSession(transport)
        session.select()
        session.verify_pin(PIN)
        assert session.balance() == {0: self.loaded - self.paid}
        export = session.export(bytes(16))
        self._syncs += 1
        session.acknowledge(self._desk.acknowledge(export, time=NOW + DAY + self._syncs))
        if self.loaded - self.paid <= _SYNC_EACH * AMOUNT_TIYN:
            self._load(session)

    def _load(self, session: PurseSession) -> None:
        self._desk.load(session, _NOTE_TIYN, max_transfers=60_000)
        self.loaded += _NOTE_TIYN


def soak(taps: int, folder: Path, progress: Callable[[range], object] = iter) -> Told:
    """So many payments through pcscd; AssertionError or another error at the first wrong one."""
    image = folder / "card.img"
    build_image(image)
    board = BoardCard(image, 64)
    payer = Payer(Desk())
    pay_ms, tap_ms = [], []
    try:
        with board.open() as serial:
            payer.prepare(serial)
            direct_ms = [payer.pay(serial) for _ in range(_SYNC_EACH - 1)]
            payer.sync(serial)
        with ReaderRig(folder / "rig") as rig:
            rig.lay(IsoDepCard(board.open()))
            watched = [
                Watched("the reader", rig.reader.pid),
                Watched("pcscd", rig.service.pid),
                Watched("this program", os.getpid()),
            ]
            clock = rig.chip.time
            bus_ms, air_ms = clock.bus_ms, clock.air_ms
            for number in progress(range(taps)):  # type: ignore[attr-defined]
                began = time.perf_counter()
                with rig.open() as card:
                    pay_ms.append(payer.pay(card))
                tap_ms.append((time.perf_counter() - began) * 1000)
                if number % _SYNC_EACH == _SYNC_EACH - 1:
                    with rig.open() as card:
                        payer.sync(card)
                if number in (taps // 5, taps - 1):
                    for one in watched:
                        one.look()
            bus_ms, air_ms = clock.bus_ms - bus_ms, clock.air_ms - air_ms
    finally:
        board.close()
    return Told(pay_ms, tap_ms, direct_ms, bus_ms, air_ms, watched)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("payments", type=int, nargs="?", default=10_000)
    arguments = parser.parse_args()
    point_clients_here()
    folder = Path(tempfile.mkdtemp(prefix="qalta-soak-"))
    try:
        told = soak(arguments.payments, folder, lambda taps: track(taps, description="Paying"))
    finally:
        shutil.rmtree(folder)
    print("\n".join(told.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
