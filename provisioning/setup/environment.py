# SPDX-License-Identifier: Apache-2.0
"""The virtual environment in `.venv`, made anew only when it has to be."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from provisioning.setup import SetupError, say

_STAMP = "qalta-setup"
_MAX_REASONS = 8
_ORACLE = "yubikey-manager==5.9.2"  # pinned: the tests use names that it calls private


def prepare_environment(root: Path) -> None:
    """Make `.venv` under `root` and install the project with its development tools into it.

    Nothing happens, and no network is touched, while the folder and the text of pyproject.toml
    are those of the last complete installation.

    Raises:
        SetupError: the environment or the packages could not be installed.
    """
    environment = root / ".venv"
    stamp = environment / _STAMP
    python = environment / "bin" / "python"
    place = str(root)
    wanted = f"{place}\n{hashlib.sha256((root / 'pyproject.toml').read_bytes()).hexdigest()}\n"
    found = stamp.read_text() if stamp.is_file() else ""
    sound = found.startswith(f"{place}\n") and _runs(python)
    if sound and found == wanted:
        return
    if not sound:
        # Console scripts name their interpreter by its full path, so a copied environment
        # cannot be mended.
        say(f"Making the virtual environment .venv with Python {sys.version.split()[0]} ...")
        _create(environment)
    say("Installing the Python packages (a minute or two the first time) ...")
    stamp.unlink(missing_ok=True)
    _install(root, python)
    stamp.write_text(wanted)


def _runs(python: Path) -> bool:
    if not python.exists():
        return False
    done = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
    return done.returncode == 0


def _create(environment: Path) -> None:
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(environment)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"the virtual environment could not be made ({error}). Run: "
            "sudo apt install python3-venv"
        ) from error


def _install(root: Path, python: Path) -> None:
    pip_install(root, python, "--editable", ".[dev]")
    # Its SCP03 judges ours in the tests, and needs nothing but `cryptography`; what it declares
    # for YubiKeys would ask for a compiler and PC/SC headers.
    pip_install(root, python, "--no-deps", _ORACLE)


def pip_install(root: Path, python: Path, *what: str) -> None:
    """Install packages into the environment of this interpreter.

    Raises:
        SetupError: pip failed; the message ends with what it said.
    """
    command = [
        *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--retries", "2", *what),
    ]
    done = subprocess.run(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if "WARNING" not in line]
        raise SetupError(
            "the Python packages could not be installed. Setting up needs the network once: "
            "check the connection and run `make setup` again. pip said:\n"
            + "\n".join(reasons[-_MAX_REASONS:])
        )
