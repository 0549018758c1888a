# SPDX-License-Identifier: Apache-2.0
"""Checks of what is installed: interpreter, this program, its packages, MicroPython."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from host_bridge.doctor.finding import Finding, bad, good, lacking

PYTHON = (3, 11)  # as pyproject.toml says
MICROPYTHON = (1, 25)
_SET_UP = "make setup"
_INSTALL_PCSC = "sudo apt install libpcsclite-dev swig gcc python3-dev && pip install -e '.[pcsc]'"

# "name>=1.2", and what pip writes behind it for an extra: '; extra == "pcsc"'
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?:>=\s*(?P<least>[0-9.]+))?(?P<rest>[^;]*)(?P<marker>;.*)?"
)

Installed = Callable[[str], str | None]  # a package's version by its plain name; None: not there


def check_interpreter(version: tuple[int, int, int], path: str) -> Finding:
    """Python itself, and which one it is."""
    text = ".".join(map(str, version))
    if version[:2] < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        return bad(
            "interpreter",
            f"Python {text} is too old: qalta needs {wanted} or newer.",
            "sudo apt install python3",
        )
    return good("interpreter", f"Python {text}, {path}")


def check_version(version: str | None) -> Finding:
    """Whether this program is installed, or only run from its folder."""
    if version is None:
        return lacking(
            "qalta", "qalta runs from its folder and is not installed.", _SET_UP, needed=False
        )
    return good("qalta", f"qalta {version}")


def check_packages(requirements: Iterable[str], installed: Installed) -> Finding:
    """The packages that qalta always needs; what belongs to an extra is passed over."""
    faults = []
    count = 0
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        if match is None or (match["marker"] and "extra" in match["marker"]):
            continue
        count += 1
        found = installed(plain_name(match["name"]))
        if found is None:
            faults.append(f"{match['name']} is missing")
        elif numbers(found) < numbers(match["least"] or "0"):
            faults.append(f"{match['name']} {found} is older than {match['least']}")
    if faults:
        return bad("packages", f"{'; '.join(faults)}.", _SET_UP)
    return good("packages", f"{count} packages, none missing or too old")


def check_pyscard(version: str | None, loads: bool, *, needed: bool) -> Finding:
    """pyscard, which PC/SC readers need; `loads` is whether its library could be loaded."""
    if version is None:
        sentence = "pyscard is not installed, so that PC/SC readers cannot be used."
        return lacking("pyscard", sentence, _INSTALL_PCSC, needed=needed)
    if not loads:
        sentence = f"pyscard {version} cannot be loaded: libpcsclite is missing."
        return lacking("pyscard", sentence, "sudo apt install libpcsclite1", needed=needed)
    return good("pyscard", f"pyscard {version}")


def check_micropython(
    bits: int, version: tuple[int, ...] | None, fault: str = "", *, needed: bool
) -> Finding:
    """The interpreter of virtual boards; `fault` says why there is no version of it."""
    name = f"micropython-{bits}"
    if version is None:
        sentence = f"MicroPython with {bits} bits does not run, nor do virtual boards on it: "
        return lacking(name, f"{sentence}{fault or 'it is not set up'}.", _SET_UP, needed=needed)
    text = ".".join(map(str, version))
    if version[:2] < MICROPYTHON:
        wanted = ".".join(map(str, MICROPYTHON))
        sentence = f"MicroPython {text} is too old: virtual boards need {wanted}."
        return lacking(name, sentence, _SET_UP, needed=needed)
    return good(name, f"MicroPython {text}, {bits} bits")


def plain_name(name: str) -> str:
    """A package's name as it is compared: case, dots and underscores do not count (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers, for comparing: "2.0.30.post1" gives (2, 0, 30)."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    while parts and parts[-1] == 0:
        parts.pop()  # 1.29.0 is 1.29
    return tuple(parts)
