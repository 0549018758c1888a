# SPDX-License-Identifier: Apache-2.0
"""What is so on this machine: gathered in one place, judged in others. Nothing is changed."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from boards.VIRTUAL.named import boards_folder
from boards.VIRTUAL.runtime import RuntimeMissing, runtime_path
from host_bridge.doctor.serial_ports import PortFacts
from host_bridge.doctor.software import numbers, plain_name
from host_bridge.pcscd.driver import find_driver
from host_bridge.pcscd.entry import ETC, entries, entry_path
from host_bridge.pcscd.ports import PortError, serial_port
from host_bridge.pcscd.service import Service, find_service
from host_bridge.transport.overdue import Caller, Overdue
from host_bridge.transport.pcsc_context import (
    NoPermission,
    NoPyscard,
    PcscContext,
    PcscError,
    ReaderInfo,
)
from host_bridge.transport.ports import candidates

BITS = (64, 32)
_VERSION_CODE = "import sys; print('%d.%d.%d' % sys.implementation[1][:3])"
_RUN_S = 10.0
_PCSC_S = 10.0  # a reader that has just come may keep pcscd busy for a while


@dataclass(frozen=True)
class EntryFacts:
    """Our entry for pcscd; `port` is None where there is none."""

    path: Path
    port: str | None = None
    port_exists: bool = False


@dataclass(frozen=True)
class PcscFacts:
    """What PC/SC tells. `refused` and `failed` are its own words, empty where there are none."""

    readers: tuple[ReaderInfo, ...] = ()
    loads: bool = True
    refused: str = ""
    failed: str = ""


@dataclass(frozen=True)
class FolderFacts:
    """A folder that is written to, or that will be made when it is."""

    what: str
    path: Path
    writable: bool
    owner: str


@dataclass(frozen=True)
class InterpreterFacts:
    """A MicroPython of virtual boards. Without a version, `fault` says why."""

    bits: int
    version: tuple[int, ...] | None
    fault: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that the checks look at. Sizes in bytes, the clock in Unix seconds."""

    python: tuple[int, int, int]
    executable: str
    versions: Mapping[str, str]
    requirements: tuple[str, ...]
    interpreters: tuple[InterpreterFacts, ...]
    now: float
    free: int
    folders: tuple[FolderFacts, ...]
    service: Service
    driver: Path | None
    entry: EntryFacts
    pcsc: PcscFacts
    ports: tuple[PortFacts, ...]
    user: str
    groups: frozenset[str]
    listed: frozenset[str]


def gather(port: str | None = None, environment: Mapping[str, str] = os.environ) -> Facts:
    """This machine's facts; `port` is a serial port to look at besides those of USB."""
    user = _owner(os.geteuid())
    home = boards_folder().parent
    till = environment.get("QALTA_TILL")
    service = find_service(environment)
    return Facts(
        python=sys.version_info[:3],
        executable=sys.executable,
        versions={
            plain_name(found.name): found.version
            for found in metadata.distributions()
            if found.name  # one that was half removed has none
        },
        requirements=_requirements(),
        interpreters=tuple(_interpreter(bits) for bits in BITS),
        now=time.time(),
        free=shutil.disk_usage(_nearest(home)).free,
        folders=(
            _folder("boards and tills", home),
            *([_folder("the till", Path(till))] if till else []),
        ),
        service=service,
        driver=find_driver(program=service.program),
        entry=_entry(),
        pcsc=pcsc_facts(),
        ports=_ports(port),
        user=user,
        groups=frozenset(map(_group, {*os.getgroups(), os.getegid()})),
        listed=_listed(user),
    )


def _requirements() -> tuple[str, ...]:
    try:
        return tuple(metadata.requires("qalta") or ())
    except metadata.PackageNotFoundError:
        return ()


def _interpreter(bits: int) -> InterpreterFacts:
    try:
        command = [str(runtime_path(bits)), "-c", _VERSION_CODE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_S, check=True)
    except RuntimeMissing:
        return InterpreterFacts(bits, None, "it is not set up")
    except (OSError, subprocess.SubprocessError) as error:
        return InterpreterFacts(bits, None, type(error).__name__)
    return InterpreterFacts(bits, numbers(done.stdout))


def _folder(what: str, path: Path) -> FolderFacts:
    there = _nearest(path)
    owner = _owner(there.stat().st_uid)
    return FolderFacts(what, path, os.access(there, os.W_OK | os.X_OK), owner)


def _owner(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)  # in a container, a user without a name


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _entry() -> EntryFacts:
    ours = entry_path(ETC)
    for path, name in entries(ETC):
        if path == ours:
            return EntryFacts(ours, name, Path(name).exists())
    return EntryFacts(ours)


def pcsc_facts(
    ask: Callable[[], tuple[ReaderInfo, ...]] | None = None, timeout_s: float = _PCSC_S
) -> PcscFacts:
    """What PC/SC tells, also where its service listens and never answers."""
    caller = Caller(timeout_s)
    try:
        return PcscFacts(caller.call(ask or _readers))
    except Overdue:
        return PcscFacts(failed=f"pcscd does not answer within {timeout_s:g} s.")
    except NoPyscard:
        return PcscFacts(loads=False)
    except NoPermission as error:
        return PcscFacts(refused=str(error))
    except PcscError as error:
        return PcscFacts(failed=str(error))
    finally:
        caller.end(_nothing)


def _readers() -> tuple[ReaderInfo, ...]:
    with PcscContext() as context:
        return tuple(context.readers())


def _nothing() -> None:
    """The last call of a caller that has nothing to give back."""


def _ports(wanted: str | None) -> tuple[PortFacts, ...]:
    found = {candidate.device: candidate.chip for candidate in candidates()}
    if wanted is not None:
        try:
            serial_port(wanted)
            found.setdefault(wanted, "")
        except PortError:
            pass  # the check of ports says that it is none
    return tuple(_port(path, what) for path, what in found.items())


def _port(path: str, what: str) -> PortFacts:
    try:
        group = _group(os.stat(path).st_gid)
    except OSError:
        group = ""  # it was unplugged meanwhile
    return PortFacts(path, what, os.access(path, os.R_OK | os.W_OK), group)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _listed(user: str) -> frozenset[str]:
    return frozenset(group.gr_name for group in grp.getgrall() if user in group.gr_mem)
