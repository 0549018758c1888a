# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: between the rooms of the house, and from outside it."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy import tree

# Rooms that both interpreters run unchanged, and what CPython and MicroPython both have.
PURE_ROOMS = ("firmware/wire", "firmware/crypto", "firmware/purse")
IN_BOTH = frozenset(["array", "binascii", "hashlib", "os", "struct"])
# Of `os`, the only thing that is neither a file nor a process.
OS_NAMES = frozenset(["urandom"])

# What a pure room may try to import from MicroPython, and what stands in for it on CPython when
# that ImportError is caught: AES is in MicroPython's firmware, and in no library that both have.
TRIED = frozenset(["cryptolib", "micropython"])
STAND_INS = frozenset(["cryptography"])

# What a board with the ESP32 port has; `random` is left out because nothing here may use it.
ON_MICROPYTHON = IN_BOTH | {
    *("asyncio", "collections", "cryptolib", "errno", "esp32", "gc", "io", "json", "machine"),
    *("micropython", "select", "sys", "time", "uctypes", "vfs"),
}

# A module from outside and the one place that may import it.
OWNERS = {
    "esp32": "firmware/hal",
    "machine": "firmware/hal",
    "random": "host_bridge/demo",
    "serial": "host_bridge/transport",
    "smartcard": "host_bridge/transport",
}

SETUP = "provisioning/setup"
RUN_BY_MICROPYTHON = frozenset(["probe.py"])


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_contracts_cover_every_package() -> None:
    settings = tomllib.loads(tree.text(Path("pyproject.toml")))["tool"]["importlinter"]
    assert sorted(settings["root_packages"]) == sorted(tree.PACKAGES)
    named = {
        module.strip()
        for contract in settings["contracts"]
        for layer in contract.get("layers", [])
        for module in layer.split("|")
    }
    rooms = {
        ".".join(path.parts[:2])
        for path in tree.python_files("firmware", "host_bridge")
        if len(path.parts) > 2
    }
    assert not rooms - named, f"rooms that no contract names: {sorted(rooms - named)}"


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_import_what_both_interpreters_have(room: str) -> None:
    found = []
    for path in tree.python_files(room):
        tried, stand_ins = _guarded_imports(path)
        for node, module, names in _imports(path):
            top = module.partition(".")[0]
            if top == "firmware" or top in IN_BOTH - {"os"}:
                continue
            if top == "os" and OS_NAMES.issuperset(names):
                continue
            if (top in TRIED and node in tried) or (top in STAND_INS and node in stand_ins):
                continue
            found.append(f"{path}:{node.lineno} {module} {names or ''}")
    assert not found, "\n".join(found)


def test_firmware_imports_what_micropython_has() -> None:
    found = [
        f"{path}:{node.lineno} {module}"
        for path in tree.python_files("firmware")
        for node, module, _ in _imports(path)
        if module.partition(".")[0] not in ON_MICROPYTHON | {"firmware"}
        and not (module.partition(".")[0] in STAND_INS and node in _guarded_imports(path)[1])
    ]
    assert not found, "\n".join(found)


def test_outside_modules_stay_in_their_room() -> None:
    found = [
        f"{path}:{node.lineno} imports {module}; only {owner} may"
        for path in tree.python_files(*tree.PACKAGES)
        for node, module, _ in _imports(path)
        if (owner := OWNERS.get(module.partition(".")[0])) and not path.is_relative_to(owner)
    ]
    assert not found, "\n".join(found)


def test_setting_up_needs_nothing_installed() -> None:
    found = [
        f"{path}:{node.lineno} {module}"
        for path in [Path("provisioning/__init__.py"), *tree.python_files(SETUP)]
        if path.name not in RUN_BY_MICROPYTHON
        for node, module, _ in _imports(path)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not module.startswith("provisioning.setup")
    ]
    assert not found, "\n".join(found)


def _imports(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, list[str]]]:
    """Each import: its node, the module and, where they can be told, the names used of it."""
    used: dict[str, set[str]] = {}
    module = tree.syntax(path)
    for_types = _imports_for_types(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
    for node in ast.walk(module):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node, name.name, sorted(used.get(name.asname or name.name, ()))
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parent.parts[: len(path.parent.parts) - node.level + 1])
            prefix = f"{package}." if node.level else ""
            yield node, f"{prefix}{node.module or ''}", [name.name for name in node.names]


def _imports_for_types(module: ast.Module) -> set[ast.AST]:
    """Imports from `typing` that only a type checker ever runs: under `if TYPE_CHECKING`."""
    return {
        inner
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body
        if isinstance(inner, ast.ImportFrom) and inner.module in ("typing", "collections.abc")
    }


def _guarded_imports(path: Path) -> tuple[set[ast.AST], set[ast.AST]]:
    """What stands in a `try` whose ImportError is caught, and what stands where it is caught."""
    tried: set[ast.AST] = set()
    caught: set[ast.AST] = set()
    for node in ast.walk(tree.syntax(path)):
        if not isinstance(node, ast.Try):
            continue
        for handler in node.handlers:
            if handler.type and "ImportError" in ast.dump(handler.type):
                tried.update(inner for line in node.body for inner in ast.walk(line))
                caught.update(inner for line in handler.body for inner in ast.walk(line))
    return tried, caught
