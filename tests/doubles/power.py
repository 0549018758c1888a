# SPDX-License-Identifier: Apache-2.0
"""A power supply for a card in this process: it fails at a write that the test names.

It stands between the firmware and its stores, counts what is written to either, and ends the
run before, within or after one of the writes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from firmware.purse.ports import Store

BEFORE = "before"  # nothing of the write came through
WITHIN = "within"  # the new record is there, and still under its temporary name
AFTER = "after"  # all of it came through, and nobody was told
MOMENTS = (BEFORE, WITHIN, AFTER)


class PowerCut(BaseException):
    """The power is gone: no line of the firmware may catch this."""


def flash_error() -> OSError:
    """What a worn flash says: the firmware lives on and must answer."""
    return OSError(errno.EIO, "worn flash")


class PowerSupply:
    """Counts writes; `fail(number, moment)` arms it, counting from 1 again."""

    def __init__(self, failure: Callable[[], BaseException] = PowerCut) -> None:
        self._failure = failure
        self.writes = 0
        self._number = 0
        self._moment = BEFORE

    def fail(self, number: int, moment: str) -> None:
        """Arms the supply; number 0 disarms it."""
        self.writes = 0
        self._number = number
        self._moment = moment

    def wrap(self, store: Store) -> Store:
        """A store that writes by this supply's power."""
        return _PoweredStore(self, store)

    def write(self, action: Callable[[], None]) -> None:
        """Carries out one write, or as much of it as the power lasts for."""
        self.writes += 1
        if self.writes != self._number:
            action()
            return
        if self._moment == WITHIN:
            self._break_within(action)
        elif self._moment == AFTER:
            action()
        raise self._failure()

    def _break_within(self, action: Callable[[], None]) -> None:
        def refuse(*_: object) -> None:
            raise self._failure()

        with pytest.MonkeyPatch.context() as patch:
            for step in ("rename", "remove"):
                patch.setattr(os, step, refuse)
            action()


class _PoweredStore(Store):
    def __init__(self, supply: PowerSupply, store: Store) -> None:
        self._supply = supply
        self._store = store

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def replace(self, name: str, data: bytes) -> None:
        self._supply.write(lambda: self._store.replace(name, data))

    def rename(self, old: str, new: str) -> None:
        self._supply.write(lambda: self._store.rename(old, new))

    def remove(self, name: str) -> None:
        self._supply.write(lambda: self._store.remove(name))

    def names(self, prefix: str) -> list[str]:
        return self._store.names(prefix)
