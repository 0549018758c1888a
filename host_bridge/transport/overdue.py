# SPDX-License-Identifier: Apache-2.0
"""Calls into a library that may never come back, with a deadline.

A serial reader that is unplugged within a command leaves its driver reading for ever, and with it
whoever asked. A till must not wait for that.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
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
        self._has_ended = False
        # A daemon: the program may end while a call is stuck.
        threading.Thread(target=self._serve, name="pcsc", daemon=True).start()

    def call(self, act: Callable[[], Any]) -> Any:
        """What `act` returns or raises. Raises Overdue, and at once after that or after `end`."""
        if self.is_stuck or self._has_ended:
            raise Overdue
        # Until its answer is here: where Ctrl-C ends the wait, no later call must be given it.
        self.is_stuck = True
        self._asked.put(act)
        try:
            result, error = self._told.get(timeout=self._timeout_s)
        except queue.Empty:
            raise Overdue from None
        self.is_stuck = False
        if error is not None:
            raise error
        return result

    def end(self, last: Callable[[], Any]) -> None:
        """Makes a last call and lets the thread go; ending twice is fine.

        A stuck thread is not waited for, and makes the call when it comes back.
        """
        if self._has_ended:
            return
        if self.is_stuck:
            self._asked.put(last)
        else:
            with suppress(Overdue):
                self.call(last)
        self._has_ended = True
        self._asked.put(None)

    def _serve(self) -> None:
        while (act := self._asked.get()) is not None:
            try:
                self._told.put((act(), None))
            except Exception as error:
                self._told.put((None, error))
