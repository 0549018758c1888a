# SPDX-License-Identifier: Apache-2.0
"""Where a card's records lie in its flash, so that a test can harm one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from firmware.storage.frame import OVERHEAD
from firmware.storage.log import SectorLog
from tests.card.bench import Bench
from tests.doubles.folder_flash import SECTOR_SIZE

HEADER_SIZE = 16
LOGS = ("state", "counter", "journal")


@dataclass(frozen=True)
class Spot:
    """A run of bytes in one of the card's files; kind: of the record there."""

    name: str
    at: int
    size: int
    kind: int = 0


def records(bench: Bench, log: str) -> list[Spot]:
    """The records of a log, the oldest first. They are read by a reader of their own."""
    device = getattr(bench.card.memory, log)._device
    size = (bench.folder / f"{log}.bin").stat().st_size
    found: list[Spot] = []

    def see(place: int, kind: int, payload: bytes) -> None:
        at = (place >> 12) * SECTOR_SIZE % size + (place & (SECTOR_SIZE - 1))
        found.append(Spot(f"{log}.bin", at, OVERHEAD + len(payload), kind))

    SectorLog(device).load(see)
    return found


def headers(bench: Bench) -> list[Spot]:
    """The sectors' headers of every log."""
    return [
        Spot(f"{log}.bin", at, HEADER_SIZE)
        for log in LOGS
        for at in range(0, (bench.folder / f"{log}.bin").stat().st_size, SECTOR_SIZE)
        if (bench.folder / f"{log}.bin").read_bytes()[at] == 0xE0
    ]


def files(bench: Bench) -> list[Spot]:
    """Each copy of each record that is a file."""
    flash = bench.card.flash()
    return [Spot(name, 0, len(data)) for name, data in flash.items() if name.startswith("vfs/")]


def copies(name: str) -> tuple[str, str]:
    """Where the two copies of a record are, of `key.01` in the element's folders."""
    room = "element" if name.startswith("key.") else "purse"
    return f"vfs/{room}/{name}", f"vfs/{room}-copy/{name}"


class Harm:
    """Bytes of a card that are changed, and can be put back with whatever the card wrote since."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.good = bench.card.flash()
        self._harmed = {f"{log}.bin" for log in LOGS}

    def flip(self, name: str, *bits: int) -> None:
        """Turns over bits of a file, counted from its first."""
        self._harmed.add(name)
        raw = bytearray((self._bench.folder / name).read_bytes())
        for bit in bits:
            raw[bit >> 3] ^= 1 << (bit & 7)
        (self._bench.folder / name).write_bytes(raw)

    def write(self, name: str, data: bytes | None) -> None:
        """Gives a file other bytes, or removes it."""
        self._harmed.add(name)
        path = self._bench.folder / name
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(data)

    def undo(self) -> None:
        """The logs, and the files that were harmed, are as they were."""
        for name in self._harmed:
            path = self._bench.folder / name
            if not path.exists() or path.read_bytes() != self.good[name]:
                path.write_bytes(self.good[name])


def bits_of(spot: Spot) -> Iterator[int]:
    """Each bit of it, counted from the file's first."""
    return iter(range(8 * spot.at, 8 * (spot.at + spot.size)))
