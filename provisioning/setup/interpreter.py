# SPDX-License-Identifier: Apache-2.0
"""The MicroPython interpreters in `.runtime`, found or fetched.

`.runtime/bin/micropython` is the 64-bit interpreter and `.runtime/bin/micropython32` the 32-bit
one, whose pointers and small integers are those of an ESP32; both are launchers that live as long
as the checkout. `.runtime/ORIGIN` tells where each came from.
"""

import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provisioning.setup import SetupError, say
from provisioning.setup.apt_private import AptError, NotOfferedError, fetch

_PROBE = Path(__file__).with_name("probe.py")
_PROBE_TIMEOUT_S = 30
_PROBE_HEAP = "256k"
_UNAVAILABLE = "not available: "
_PUT_ON_PATH = "Put MicroPython 1.25 or newer on the PATH as `micropython` and run: make setup"


class UnavailableError(SetupError):
    """This machine cannot have the interpreter; looking again would find the same."""


@dataclass(frozen=True)
class Wanted:
    """One interpreter: its launcher's name, its word width and its package's architecture."""

    name: str
    bits: int
    package_arch: str


_WANTED = {
    "x86_64": (Wanted("micropython", 64, "amd64"), Wanted("micropython32", 32, "i386")),
    "aarch64": (Wanted("micropython", 64, "arm64"), Wanted("micropython32", 32, "armhf")),
}
_WANTED_ELSEWHERE = (Wanted("micropython", 64, ""), Wanted("micropython32", 32, ""))


def prepare_interpreters(runtime: Path) -> None:
    """Put both launchers in place; leave those alone that work.

    Raises:
        SetupError: an interpreter could not be had. That a machine can have no 32-bit one is
            said once, remembered, and no error.
    """
    full, small = _WANTED.get(platform.machine(), _WANTED_ELSEWHERE)
    origin = Origin(runtime / "ORIGIN")
    _prepare(full, runtime, origin)
    if origin.of(small).startswith(_UNAVAILABLE):
        return
    try:
        _prepare(small, runtime, origin)
    except UnavailableError as error:
        origin.note(small, f"{_UNAVAILABLE}{error}")
        say(
            f"The 32-bit interpreter is not available here ({error}) The demo does not need it; "
            "the tests that measure a card's memory do. To look for it again: "
            "rm .runtime/ORIGIN && make setup"
        )


class Origin:
    """The text file that tells where the interpreters came from, one line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, wanted: Wanted) -> str:
        """Where `wanted` came from; empty when nothing was noted."""
        return self._read().get(wanted.name, "")

    def note(self, wanted: Wanted, text: str) -> None:
        """Remember where `wanted` came from."""
        lines = self._read() | {wanted.name: " ".join(text.split())}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("".join(f"{name}: {said}\n" for name, said in lines.items()))

    def _read(self) -> dict[str, str]:
        if not self._path.is_file():
            return {}
        pairs = (line.partition(": ") for line in self._path.read_text().splitlines())
        return {name: said for name, _, said in pairs}


def probe(command: Path, bits: int) -> str:
    """Run the probe with the interpreter `command`; return what is wrong, or an empty text."""
    arguments = [str(command), "-X", f"heapsize={_PROBE_HEAP}", str(_PROBE)]
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_PROBE_TIMEOUT_S} seconds"
    except OSError as error:
        return error.strerror or str(error)
    answer = done.stdout.split()
    if done.returncode != 0 or answer[:1] != ["ok"]:
        lines = (done.stdout + done.stderr).split("\n")
        return next((line for line in reversed(lines) if line), f"exit code {done.returncode}")
    if answer[1] != str(bits):
        return f"it is a {answer[1]}-bit build, and a {bits}-bit one is needed"
    return ""


def _prepare(wanted: Wanted, runtime: Path, origin: Origin) -> None:
    launcher = runtime / "bin" / wanted.name
    if launcher.exists() and not probe(launcher, wanted.bits):
        return
    installed = shutil.which("micropython") if wanted.bits == 64 else None
    fault = probe(Path(installed), wanted.bits) if installed else "none is installed"
    if installed and not fault:
        _write_launcher(launcher, f'exec {shlex.quote(installed)} "$@"')
        source = f"installed on this machine as {installed}"
    else:
        if installed:
            say(f"{installed} will not do: {fault}.")
        source = _fetch(wanted, runtime, launcher)
    short = source.partition(" (")[0]
    fault = probe(launcher, wanted.bits)
    if fault:
        launcher.unlink()
        raise UnavailableError(
            f"the {wanted.bits}-bit MicroPython ({short}) does not run: {fault}."
        )
    origin.note(wanted, source)
    say(f"MicroPython, {wanted.bits} bits: {short}.")


def _fetch(wanted: Wanted, runtime: Path, launcher: Path) -> str:
    if not wanted.package_arch or not shutil.which("apt-get"):
        raise UnavailableError(
            f"a {wanted.bits}-bit MicroPython 1.25 or newer (unix port) is needed, and this "
            f"machine has no Debian packages to take it from. {_install_hint()}"
        )
    say(f"Fetching MicroPython, {wanted.bits} bits, from this machine's package source ...")
    folder = runtime / wanted.package_arch
    try:
        source = fetch(wanted.package_arch, folder)
        loader, libraries = _loader(folder)
    except NotOfferedError as error:
        raise UnavailableError(
            f"no {wanted.bits}-bit MicroPython: {error} {_PUT_ON_PATH}"
        ) from error
    except AptError as error:
        raise SetupError(f"no {wanted.bits}-bit MicroPython: {error}") from error
    # The path is taken from the launcher's own, so that a checkout can be moved.
    home = f'"${{0%/*}}/../{wanted.package_arch}'
    paths = ":".join(f"${{0%/*}}/../{wanted.package_arch}/{path}" for path in libraries)
    _write_launcher(
        launcher,
        f'exec {home}/{loader}" \\\n    --library-path "{paths}" \\\n'
        f'    {home}/usr/bin/micropython" "$@"',
    )
    return source


def _loader(folder: Path) -> tuple[Path, list[Path]]:
    """The dynamic loader among the unpacked files and the folders of the libraries."""
    found = [
        path.relative_to(folder)
        for top in ("usr/lib", "lib")
        for path in sorted((folder / top).glob("*-linux-*/ld-linux*.so.*"))
    ]
    if not found:
        raise AptError("the packages hold no dynamic loader.")
    libraries = sorted({path.parent.relative_to(folder) for path in folder.glob("**/lib*.so.*")})
    return found[0], [path for path in libraries if "linux" in path.name]


def _write_launcher(launcher: Path, command: str) -> None:
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.unlink(missing_ok=True)
    launcher.write_text(f"#!/bin/sh\n{command}\n")
    launcher.chmod(0o755)


def _install_hint() -> str:
    if shutil.which("apt-get"):
        return "Run: sudo apt install micropython"
    if shutil.which("brew"):
        return "Run: brew install micropython"
    return _PUT_ON_PATH
