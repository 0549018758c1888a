# SPDX-License-Identifier: Apache-2.0
"""Checks of the serial ports: which are there, and whether this user may open them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from host_bridge.doctor.finding import Finding, bad, good, lacking


@dataclass(frozen=True)
class PortFacts:
    """A serial port, what USB says that it is, and whether this user may open it."""

    path: str
    what: str
    may_open: bool
    group: str


def check_ports(ports: Iterable[PortFacts], wanted: str | None = None) -> Finding:
    """Whether boards are plugged in. `wanted` is the port that was asked about."""
    ports = list(ports)
    if wanted is not None and wanted not in [port.path for port in ports]:
        return bad("ports", f"There is no serial port {wanted}.", "ls /dev/serial/by-id")
    if not ports:
        return good("ports", "no board is on a serial port")
    names = [f"{port.path} ({port.what})" if port.what else port.path for port in ports]
    return good("ports", ", ".join(names))


def check_access(
    ports: Iterable[PortFacts], user: str, groups: frozenset[str], listed: frozenset[str]
) -> Finding:
    """Whether this user may open the ports.

    `groups` are those that this login has, `listed` those that it will have next time.
    """
    closed = [port for port in ports if not port.may_open]
    if not closed:
        return good("access", f"{user} may use serial ports")
    port = closed[0]
    if port.group in listed - groups:
        sentence = f"{user} is in the group {port.group} since this login: log in again."
        return lacking("access", sentence, f"exec su - {user}", needed=True)
    sentence = f"No permission to use {port.path}: it belongs to the group {port.group}."
    return bad("access", sentence, f"sudo usermod -aG {port.group} {user}  # then log in again")
