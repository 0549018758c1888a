# SPDX-License-Identifier: Apache-2.0
"""What every way to a card has in common."""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


class TransportError(Exception):
    """The card cannot be reached or did not answer properly; the text is for people."""


class LinkLost(TransportError):
    """The device is gone: unplugged, or without power."""


class LinkTimeout(TransportError):
    """The card did not answer in time. What it did with the command is not known."""


@dataclass
class Traffic:
    """What went over a transport: command and response APDUs only, without frames and resets."""

    apdus: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    wall_ms: float = 0.0

    def count(self, command: bytes, response: bytes, wall_ms: float) -> None:
        """Add one exchange."""
        self.apdus += 1
        self.bytes_out += len(command)
        self.bytes_in += len(response)
        self.wall_ms += wall_ms


class Transport(Protocol):
    """One card within reach, as a context manager."""

    @property
    def traffic(self) -> Traffic:
        """What has been exchanged since the transport was opened."""
        ...

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU; return the response data with its status word (2 bytes).

        Raises LinkLost, LinkTimeout or another TransportError.
        """
        ...

    def reset(self) -> str:
        """Begin a new tap: the card forgets its session. Returns how the card greets."""
        ...

    def close(self) -> None:
        """Let the device go; closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
