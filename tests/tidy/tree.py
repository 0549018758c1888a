# SPDX-License-Identifier: Apache-2.0
"""The files of the project as the tidy tests see them."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware", "host_bridge", "pos_terminal", "provisioning", "boards")
_SKIPPED = frozenset(["build", "dist", "__pycache__"])


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, relative to the root: what git tracks or would track.

    A copy without git gives every file outside hidden and built folders.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if (ROOT / ".git").exists():
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found = [Path(name) for name in listing.stdout.split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not _is_made(path)]
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def python_files(*folders: str) -> list[Path]:
    """The Python files, of the named folders (`firmware/wire`) or of the whole project."""
    chosen = [path for path in files() if path.suffix == ".py"]
    if not folders:
        return chosen
    return [path for path in chosen if any(path.is_relative_to(folder) for folder in folders)]


def text(path: Path) -> str:
    """The text of a file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a Python file of the project."""
    return ast.parse(text(path), filename=str(path))


def _is_made(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(
        part in _SKIPPED or part.endswith(".egg-info") or part.startswith(".")
        for part in parts
        if part != ".ci"
    )
