# SPDX-License-Identifier: Apache-2.0
"""Watching the PC/SC readers: a card put in, a reader pulled out and plugged in again."""

from __future__ import annotations

import time
from collections.abc import Callable

from host_bridge.closing import Closing
from host_bridge.transport.base import LinkTimeout
from host_bridge.transport.pcsc_context import (
    NoCard,
    NoPermission,
    NoReader,
    NoService,
    PcscContext,
    ReaderInfo,
    choose,
)

_SERVICE_RETRY_S = 0.2  # a service that is gone tells nobody when it is back


class ReaderMonitor(Closing):
    """What is in the readers, from now on; it outlives readers and the service itself.

    Raises NoPyscard, NoService or NoPermission if it cannot even begin.
    """

    def __init__(self) -> None:
        self._context: PcscContext | None = PcscContext()
        self.readers = self._context.readers()

    def close(self) -> None:
        """Stops watching."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def wait_for_change(self, timeout_s: float) -> list[ReaderInfo]:
        """The readers once one of them, or its card, came or went; the same ones at the deadline.

        While the service is away there are no readers.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                now = self._opened().wait_for_change(self.readers, left_s)
            except (NoService, NoPermission):
                # It let us in before: a service that ends in the middle says so too.
                self.close()
                now = []
            changed = now != self.readers
            self.readers = now
            if changed or time.monotonic() >= deadline:
                return now
            if self._context is None:
                time.sleep(min(_SERVICE_RETRY_S, max(0.0, deadline - time.monotonic())))

    def wait_until(
        self, wanted: Callable[[list[ReaderInfo]], bool], timeout_s: float
    ) -> list[ReaderInfo]:
        """The readers once `wanted` holds of them. Raises LinkTimeout at the deadline."""
        deadline = time.monotonic() + timeout_s
        while not wanted(self.readers):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise LinkTimeout("The readers did not change as they should in time.")
            self.wait_for_change(left_s)
        return self.readers

    def wait_for_card(self, wanted: str, timeout_s: float) -> ReaderInfo:
        """The chosen reader, once there is a card in it; a reader may also come only now.

        timeout_s: 0 asks once. Raises NoCard or NoReader at the deadline, SeveralReaders at once.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                reader = choose(self.readers, wanted)
                if reader.has_card:
                    return reader
                if left_s <= 0:
                    raise NoCard(f"There is no card in the reader {reader.name}.")
            except NoReader:
                if left_s <= 0:
                    raise
            self.wait_for_change(left_s)

    def _opened(self) -> PcscContext:
        if self._context is None:
            self._context = PcscContext()
        return self._context
