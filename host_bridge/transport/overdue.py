# SPDX-License-Identifier: Apache-2.0
"""Calls into a library that may never come back, with a deadline.

A serial reader that is unplugged within a command leaves its driver reading for ever, and with it
whoever asked. A till must not wait for that.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class Overdue(Exception):
    """The call did not come back in time; it may still do something, some day."""


class Caller:
    """Makes calls, one at a time, in a thread that a stuck one takes with it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._asked: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        self.is_stuck = False
        # A daemon: the program may end while a call is stuck.
        threading.Thread(target=self._serve, name="pcsc", daemon=True).start()

    def call(self, act: Callable[[], Any]) -> Any:
        """What `act` returns, or what it raises. Raises Overdue, and at once after the first."""
        if self.is_stuck:
            raise Overdue
        self._asked.put(act)
        try:
            result, error = self._told.get(timeout=self._timeout_s)
        except queue.Empty:
            self.is_stuck = True
            raise Overdue from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """Lets the thread go, once it has come back."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (act := self._asked.get()) is not None:
            try:
                self._told.put((act(), None))
            except Exception as error:
                self._told.put((None, error))
