# SPDX-License-Identifier: Apache-2.0
"""The firmware uses only what an ESP32's MicroPython has, by the published stubs of that port.

The unix port, which the virtual board runs, knows names that a board does not (and the other
way round); a firmware that ran here only by those would not start there. Of `os`, `sys` and
`struct` the stubs have CPython's list, so that there only the interpreter itself can judge.
"""

import ast
import importlib.metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_STUBS = ("micropython-esp32-stubs", "micropython-stdlib-stubs")
_ROOMS = ("wire", "crypto", "purse", "card", "storage", "hal", "reader", "apps")
_HOST_ONLY = {"cryptography"}  # behind an ImportError: `firmware/crypto/aes.py` on CPython


def _stub_files() -> dict[str, Path]:
    """Every stub file by its module's dotted name."""
    found: dict[str, Path] = {}
    for package in _STUBS:
        for file in importlib.metadata.files(package) or []:
            path = Path(str(file.locate()))
            if path.suffix == ".pyi":
                parts = list(Path(str(file)).with_suffix("").parts)
                parts = parts[1:] if parts[0] == "stdlib" else parts
                name = ".".join(part for part in parts if part != "__init__")
                found.setdefault(name, path)
    return found


STUBS = _stub_files()


def _names_of(module: str) -> set[str]:
    """The names that a stub defines or takes over from another module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(STUBS[module].read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            star = any(alias.name == "*" for alias in node.names)
            names.update(alias.asname or alias.name for alias in node.names)
            if star and node.module in STUBS and node.module != module:
                names |= _names_of(node.module)
    return names


def _uses(path: Path) -> set[tuple[str, str]]:
    """(module, name) of everything that a file takes from outside the firmware."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules: set[str] = set()
    uses: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            uses.update((node.module, alias.name) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in modules:
                uses.add((node.value.id, node.attr))
    return {(module, name) for module, name in uses if module.split(".")[0] != "firmware"}


FILES = sorted(path for room in _ROOMS for path in (ROOT / "firmware" / room).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_esp32_has_what_the_firmware_uses(path: Path) -> None:
    for module, name in _uses(path):
        if module.split(".")[0] in _HOST_ONLY:
            continue
        assert module in STUBS, f"{path.name} imports {module}, which an ESP32 has not"
        assert name in _names_of(module), f"an ESP32's {module} has no {name} ({path.name})"


def test_the_stubs_are_read_as_they_should_be() -> None:
    assert "crc32" in _names_of("binascii")
    assert "crc_hqx" not in _names_of("binascii")
    assert "dupterm" not in _names_of("time")
    assert "fcntl" not in STUBS
