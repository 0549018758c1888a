# SPDX-License-Identifier: Apache-2.0
"""Ending a process and locking a file so that neither can be missed or mistaken."""

import fcntl
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_END_TIMEOUT_MS = 5_000


class Locked(RuntimeError):
    """Another process holds the lock."""


def lock_file(path: Path) -> int:
    """Create and lock a file; return its descriptor, which holds the lock until it is closed.

    A process that inherits the descriptor holds the lock too, and the kernel frees it when the
    last holder dies, however it dies. Raises Locked at once if another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked(f"{path} is locked by another process.") from None
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file for a block of code; raises Locked as lock_file does."""
    descriptor = lock_file(path)
    try:
        yield
    finally:
        os.close(descriptor)


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a living process of ours has a file open; False if either is gone.

    The process's descriptors say it, and not its command line, which is empty for a moment
    while one program of a launcher replaces another.
    """
    try:
        wanted = path.stat()
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        with suppress(OSError):  # closed since it was listed
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{descriptor}"), wanted):
                return True
    return False


def end_process(pid: int, request: signal.Signals) -> None:
    """Send a signal and wait until the process is dead; it gets SIGKILL if it does not obey.

    Reaps it if it is a child of ours. Raises TimeoutError if even that does not end it.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        for attempt in (request, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(handle, attempt)
            except ProcessLookupError:
                break
            if waiting.poll(_END_TIMEOUT_MS):
                break
        else:
            raise TimeoutError(f"process {pid} does not end")
    finally:
        os.close(handle)
    has_ended(pid)


def has_ended(pid: int) -> bool:
    """Tell whether a child of ours has ended, and reap it; True also for what is no child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
