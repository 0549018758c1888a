# SPDX-License-Identifier: Apache-2.0
"""Calls that may never come back: each caller gets the answer to its own call, or none."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from host_bridge.transport.overdue import Caller, Overdue

_ANSWER_S = 20.0


@pytest.fixture
def let() -> Iterator[threading.Event]:
    """What a slow call waits for; in the end it is let go."""
    event = threading.Event()
    yield event
    event.set()


def test_an_answer_or_an_error() -> None:
    caller = Caller(_ANSWER_S)
    assert caller.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        caller.call(lambda: 1 // 0)
    assert caller.call(lambda: 8) == 8
    assert not caller.is_stuck


def test_the_last_call_is_waited_for() -> None:
    done: list[int] = []
    caller = Caller(_ANSWER_S)
    for _ in range(2):
        caller.end(lambda: done.append(1))
        assert done == [1]
    with pytest.raises(Overdue):
        caller.call(lambda: "too late")


def test_a_stuck_call_makes_the_last_one_when_it_comes_back(let: threading.Event) -> None:
    """A reader that answers in the end is let go, and is there for the next payment."""
    done = threading.Event()
    caller = Caller(0.05)
    with pytest.raises(Overdue):
        caller.call(let.wait)
    caller.end(done.set)
    assert not done.is_set()
    let.set()
    assert done.wait(_ANSWER_S)


def test_a_call_that_is_late_ends_them_all(let: threading.Event) -> None:
    caller = Caller(0.05)
    for _ in range(2):
        with pytest.raises(Overdue):
            caller.call(let.wait)
    assert caller.is_stuck
    caller.end(lambda: None)


def test_an_interrupted_call_leaves_no_answer_to_the_next(
    let: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a card works: its answer must not be taken for that to another command."""
    caller = Caller(_ANSWER_S)

    class Interrupted(queue.SimpleQueue[object]):
        def get(self, block: bool = True, timeout: float | None = None) -> object:
            let.set()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(caller, "_told", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            caller.call(let.wait)
    with pytest.raises(Overdue):
        caller.call(lambda: "another")
    caller.end(lambda: None)
