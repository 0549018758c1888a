# SPDX-License-Identifier: Apache-2.0
"""Every check in its order: from what all need, over the way to a reader, to the card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from host_bridge.doctor import machine, pcsc, serial_ports, software
from host_bridge.doctor.facts import Facts
from host_bridge.doctor.finding import Finding, Level
from host_bridge.pcscd.service import Answer

# By its path: root's own PATH does not have a virtual environment's programs.
_INSTALL_READER = 'sudo "$(command -v qalta)" reader install PORT'
_USUAL_BITS = 64  # of a virtual board, unless it is told otherwise
_PCSC = "pcsc"
_BOARD = "board:"
_SERIAL = "serial:"


@dataclass(frozen=True)
class Needs:
    """What has to work: what is asked for by the card's name, as `--card` takes it."""

    pcsc: bool = False
    boards: bool = False
    port: str | None = None

    @classmethod
    def of(cls, card: str) -> Needs:
        """What the way to `card` needs; an empty name needs none of them."""
        port = card.removeprefix(_SERIAL) if card.startswith((_SERIAL, "/")) else None
        return cls(card.partition(":")[0] == _PCSC, card.startswith(_BOARD), port)


def examine(facts: Facts, needs: Needs) -> list[Finding]:
    """What the checks find, in an order in which the first failure is the one to mend first."""
    return [
        *_software(facts, needs),
        *_machine(facts),
        *_serial(facts, needs),
        *_pcsc(facts, needs),
    ]


def has_failed(findings: list[Finding]) -> bool:
    """Whether something needed is wrong."""
    return any(finding.level is Level.FAIL for finding in findings)


def _software(facts: Facts, needs: Needs) -> Iterator[Finding]:
    installed = facts.versions.get
    yield software.check_interpreter(facts.python, facts.executable)
    yield software.check_version(installed("qalta"))
    yield software.check_packages(facts.requirements, installed)
    for found in facts.interpreters:
        needed = needs.boards and found.bits == _USUAL_BITS
        yield software.check_micropython(found.bits, found.version, found.fault, needed=needed)


def _machine(facts: Facts) -> Iterator[Finding]:
    yield machine.check_clock(facts.now)
    yield machine.check_disk(facts.free, facts.folders[0].path)
    for folder in facts.folders:
        yield machine.check_folder(folder.what, folder.path, folder.writable, folder.owner)


def _serial(facts: Facts, needs: Needs) -> Iterator[Finding]:
    yield serial_ports.check_ports(facts.ports, needs.port)
    yield serial_ports.check_access(facts.ports, facts.user, facts.groups, facts.listed)


def _pcsc(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Each step of the way, as far as the steps before it hold."""
    entry = facts.entry
    needed = needs.pcsc or entry.port is not None
    yield software.check_pyscard(
        facts.versions.get("pyscard"), facts.pcsc.loads, needed=needs.pcsc
    )
    yield pcsc.check_pcscd(facts.service, needed=needed)
    yield pcsc.check_driver(facts.driver, needed=entry.port is not None)
    yield pcsc.check_entry(entry.path, entry.port, entry.port_exists, _INSTALL_READER)
    if facts.service.answer is not Answer.LISTENS or not facts.pcsc.loads:
        return
    if not facts.pcsc.failed:
        yield pcsc.check_permission(facts.pcsc.refused, facts.user)
    if facts.pcsc.refused:
        return
    yield pcsc.check_readers(
        facts.pcsc.readers,
        facts.pcsc.failed,
        entry.port,
        facts.service.restart_command,
        needed=needs.pcsc,
    )
    if not facts.pcsc.failed:
        yield pcsc.check_card(facts.pcsc.readers)
