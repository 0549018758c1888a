# SPDX-License-Identifier: Apache-2.0
"""Packages of this machine's distribution, fetched without root and without touching the system.

apt works on a private state here: a source list, package lists and a cache of its own, but the
machine's mirror, proxy and keyrings. Packages are unpacked into a folder, never installed. Their
signatures are always checked.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = "micropython"
# The first Debian release whose MicroPython is new enough; it is fetched on any other release too.
_DEBIAN_SUITE = "trixie"
_DEBIAN_SUITES = frozenset(
    ["stable", "oldstable", "testing", "unstable", "sid", "bookworm", "trixie", "forky"]
)
_MAX_SOURCES = 3
_APT_TIMEOUT_S = 600
_KEYRING_PACKAGES = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}
_KEYRINGS = Path("/usr/share/keyrings")
_SIGNED_BY = re.compile(r"signed-by\s*[=:]\s*((?:/[^\s,\]]+[,\s]*)+)", re.IGNORECASE)
_TARGET_FIELDS = "$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SOURCESENTRY)"

_CONFIGURATION = """\
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
APT::Architecture "{arch}";
#clear APT::Architectures;
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Debug::NoLocking "true";
"""


class AptError(Exception):
    """The packages could not be had; the message says why, and what mends it."""


class NotOfferedError(AptError):
    """The source answers and does not have the package for this architecture."""


@dataclass(frozen=True)
class Source:
    """A line of a source list: where from, which suite and components, checked by which keys."""

    family: str
    uri: str
    suite: str
    components: str
    keyrings: tuple[str, ...]

    def line(self) -> str:
        """The source in apt's one-line form."""
        signed_by = f"[signed-by={','.join(self.keyrings)}] " if self.keyrings else ""
        return f"deb {signed_by}{self.uri} {self.suite} {self.components}\n"


def fetch(arch: str, folder: Path) -> str:
    """Unpack MicroPython for `arch` and every library it needs into `folder`.

    Returns:
        A line that tells where it came from: suite, architecture and package versions.

    Raises:
        NotOfferedError: there is no such package for `arch`.
        AptError: no source, no network, or a signature that does not hold.
    """
    sources = _sources()
    if not sources:
        raise AptError(
            "this machine has no package source of Debian or Ubuntu under /etc/apt. Add one, or "
            "put MicroPython on the PATH as `micropython`, and run: make setup"
        )
    faults: list[AptError] = []
    for source in sources[:_MAX_SOURCES]:
        with tempfile.TemporaryDirectory(prefix="qalta-apt-") as name:
            state = Path(name)
            # apt gives up root for its own user while it downloads: let that user in.
            state.chmod(0o755)
            try:
                packages = _download(source, arch, state)
                _unpack(packages, folder)
            except AptError as error:
                faults.append(error)
                continue
            versions = ", ".join(sorted(_title(path) for path in packages))
            return f"packages of {source.suite} for {arch}, signatures checked ({versions})"
    raise faults[0]


def _sources() -> list[Source]:
    """The machine's mirrors of its distribution, the likeliest first."""
    release = _os_release()
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    family = next((name for name in names if name in ("ubuntu", "debian")), None)
    if family is None:
        return []
    codename = release.get("UBUNTU_CODENAME") or release.get("VERSION_CODENAME", "")
    is_debian = family == "debian"
    suites = _DEBIAN_SUITES | {codename} if is_debian else {codename}
    found: dict[str, Source] = {}
    for line in _apt_targets():
        created_by, uri, suite, component, entry = line.split("|", 4)
        if created_by != "Packages" or component != "main" or suite not in suites:
            continue
        found[uri] = Source(
            family,
            uri,
            _DEBIAN_SUITE if is_debian else codename,
            "main" if is_debian else "main universe",
            _keyrings(entry.rpartition(":")[0], family),
        )
    # Other people's archives use the same suite names; the distribution's mirrors are called
    # after it.
    return sorted(found.values(), key=lambda source: family not in source.uri.rpartition("//")[2])


def _os_release() -> dict[str, str]:
    """The fields of os-release, empty where there is no such file."""
    path = Path("/etc/os-release")
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs}


def _apt_targets() -> list[str]:
    command = ["apt-get", "indextargets", "--no-release-info", "--format", _TARGET_FIELDS]
    done = _run(command)
    return [line for line in done.stdout.splitlines() if line.count("|") >= 4]


def _keyrings(entry_file: str, family: str) -> tuple[str, ...]:
    """The machine's keyrings for a source, with the one that knows every release."""
    try:
        text = Path(entry_file).read_text()
    except OSError:
        text = ""
    named = [path for match in _SIGNED_BY.findall(text) for path in re.split(r"[,\s]+", match)]
    every_release = str(_KEYRINGS / f"{family}-archive-keyring.gpg")
    paths = dict.fromkeys([*named, every_release])
    return tuple(path for path in paths if path and Path(path).is_file())


def _download(source: Source, arch: str, state: Path) -> list[Path]:
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(source.line())
    configuration = state / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(state=state, arch=arch))
    apt = ["apt-get", "-c", str(configuration), "--quiet", "--assume-yes"]
    done = _run([*apt, "update"])
    if done.returncode != 0:
        raise AptError(_why_no_lists(done.stdout + done.stderr, source))
    done = _run([*apt, "--download-only", "install", _PACKAGE])
    if done.returncode != 0:
        raise NotOfferedError(
            f"{source.suite} of {source.uri} does not give it for {arch} "
            f"({_first_error(done.stderr)})."
        )
    return sorted((state / "cache" / "archives").glob("*.deb"))


def _why_no_lists(output: str, source: Source) -> str:
    if "NO_PUBKEY" in output or "is not signed" in output or "be verified" in output:
        keyring = _KEYRING_PACKAGES[source.family]
        return (
            f"this machine has no key to check the packages of {source.suite} with, and "
            f"unchecked ones are not used. Run: sudo apt install {keyring}"
        )
    return (
        f"{source.suite} of {source.uri} cannot be read ({_first_error(output)}). Setting up "
        "needs the network once: check the connection and run: make setup"
    )


def _first_error(output: str) -> str:
    lines = [line[2:].strip() for line in output.splitlines() if line.startswith(("E:", "W:"))]
    return " ".join(lines[0].split()) if lines else "apt-get gave no reason"


def _unpack(packages: list[Path], folder: Path) -> None:
    """Unpack beside `folder` and put the result in its place, so that it is whole or absent."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for package in packages:
        done = _run(["dpkg", "--extract", str(package), str(fresh)])
        if done.returncode != 0:
            raise AptError(f"{package.name} could not be unpacked ({done.stderr.strip()}).")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _title(package: Path) -> str:
    name, version, _ = package.stem.split("_")
    return f"{name} {version.replace('%3a', ':')}"


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=_APT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{command[0]} took longer than {_APT_TIMEOUT_S} seconds.") from error
