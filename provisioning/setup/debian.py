# SPDX-License-Identifier: Apache-2.0
"""Debian packages and pyscard, which the tests need beyond what `make setup` makes.

The tests of readers go through the real PC/SC service and are judged by other people's programs.
`python -m provisioning.setup.debian` installs them when it is root, and otherwise says which.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

from provisioning.setup import ROOT, SetupError, say
from provisioning.setup.environment import pip_install

PACKAGES = {
    "pcscd": "the PC/SC service",
    "libccid": "its driver for serial readers, which our reader speaks to",
    "vsmartcard-vpcd": "a virtual reader",
    "opensc": "opensc-tool, a judge of readers",
    "pcsc-tools": "pcsc_scan, another one",
    "libnfc-bin": "nfc-list, a judge of the PN532's double",
}
BUILD_PACKAGES = {
    "gcc": "builds pyscard",
    "libpcsclite-dev": "builds pyscard",
    "swig": "builds pyscard",
}
_HEADERS = "python3-dev"
_TIMEOUT_S = 900
_MAX_REASONS = 8

IsInstalled = Callable[[str], bool]


def main() -> int:
    """Do what is not done yet; return the exit code."""
    try:
        prepare_packages()
        prepare_pyscard(ROOT)
    except SetupError as error:
        print(f"make test: {error}", file=sys.stderr)
        return 1
    return 0


def missing(packages: Iterable[str], is_installed: IsInstalled) -> list[str]:
    """Those of the packages that are not installed, in order."""
    return [package for package in packages if not is_installed(package)]


def prepare_packages(
    is_installed: IsInstalled | None = None, *, is_root: bool | None = None
) -> None:
    """Install what is missing of Debian's packages.

    Raises:
        SetupError: they cannot be installed by this user or on this machine; it names them.
    """
    wanted = list(PACKAGES)
    if not _has_pyscard(ROOT):
        wanted += BUILD_PACKAGES
        if not Path(sysconfig.get_path("include"), "Python.h").is_file():
            wanted.append(_HEADERS)
    lacking = missing(wanted, is_installed or _is_installed)
    if not lacking:
        return
    command = f"sudo apt install --no-install-recommends {' '.join(lacking)}"
    if not (os.geteuid() == 0 if is_root is None else is_root):
        raise SetupError(f"the tests of readers need Debian packages. Run: {command}")
    if shutil.which("apt-get") is None:
        raise SetupError(f"this machine has no apt; the tests need {', '.join(lacking)}.")
    say(f"Installing Debian packages for the tests: {', '.join(lacking)} ...")
    _apt("update", "--quiet")
    _apt("install", "--quiet", "--yes", "--no-install-recommends", *lacking)


def prepare_pyscard(root: Path) -> None:
    """Install pyscard into `.venv`; it comes as source only, and is built here.

    Raises:
        SetupError: it could not be installed.
    """
    if not _has_pyscard(root):
        say("Building pyscard ...")
        pip_install(root, root / ".venv" / "bin" / "python", "--editable", ".[pcsc]")


def _has_pyscard(root: Path) -> bool:
    python = root / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", "import smartcard.scard"], capture_output=True, check=False
    )
    return done.returncode == 0


def _is_installed(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "installed"


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        reasons = "\n".join(done.stderr.splitlines()[-_MAX_REASONS:])
        raise SetupError(f"apt-get {arguments[0]} failed:\n{reasons}")


if __name__ == "__main__":
    sys.exit(main())
