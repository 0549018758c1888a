# SPDX-License-Identifier: Apache-2.0
"""Files, functions and lines stay short enough to be read in one go, and are labelled."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.tidy import tree

FIRMWARE_FILE_LINES = 400
HOST_FILE_LINES = 500
FUNCTION_LINES = 60
LINE_CHARACTERS = 99
SPDX = "# SPDX-License-Identifier: Apache-2.0"

FORBIDDEN_STEMS = frozenset(["common", "helper", "helpers", "legacy", "misc", "util", "utils"])

# Folders that may hold a single file, each with its reason.
LONE_FILES = {
    "firmware/storage/migrations": "one step of the layout a version",
    "host_bridge/bank/migrations/versions": "one step of the schema a release",
    "pos_terminal/migrations/versions": "one step of the schema a release",
}

# Where a broad `except` is right besides a `main` or a `dispatch`, each with its reason.
BROAD_EXCEPT = {
    "firmware/hal/link.py": "the dispatcher of the link: a card answers whatever happened",
    "firmware/apps/contactless.py": "the same, over the air",
    "host_bridge/transport/overdue.py": "what a call raises goes from its thread to the caller",
}
BROAD_EXCEPT_FUNCTIONS = frozenset(["dispatch", "main"])


def test_files_are_short() -> None:
    found = {
        str(path): lines
        for path in tree.python_files()
        if (lines := len(tree.text(path).splitlines()))
        > (FIRMWARE_FILE_LINES if path.parts[0] == "firmware" else HOST_FILE_LINES)
    }
    assert not found, f"too many lines: {found}"


def test_functions_are_short() -> None:
    found = [
        f"{path}:{node.lineno} {node.name} has {length} lines"
        for path, node in _functions()
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert not found, "\n".join(found)


def test_lines_are_short() -> None:
    found = [
        f"{path}:{number} has {len(line)} characters"
        for path in tree.files()
        if path.suffix in (".py", ".sh")
        for number, line in enumerate(tree.text(path).splitlines(), 1)
        if len(line) > LINE_CHARACTERS
    ]
    assert not found, "\n".join(found)


def test_sources_name_their_licence() -> None:
    found = [
        str(path)
        for path in tree.files()
        if path.suffix in (".py", ".sh")
        and SPDX not in [line.rstrip() for line in tree.text(path).splitlines()[:2]]
    ]
    assert not found, f"no SPDX line: {found}"


def test_modules_say_what_they_are() -> None:
    found = [str(path) for path in tree.python_files() if not ast.get_docstring(tree.syntax(path))]
    assert not found, f"no docstring: {found}"


def test_public_names_say_what_they_do() -> None:
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path in tree.python_files(*tree.PACKAGES)
        for node in tree.syntax(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not found, "no docstring:\n" + "\n".join(found)


def test_no_file_is_called_after_nothing() -> None:
    found = [
        str(path)
        for path in tree.files()
        if FORBIDDEN_STEMS.intersection([path.stem, *path.parts[:-1]])
    ]
    assert not found, f"a name that says nothing: {found}"


def test_no_folder_holds_one_file() -> None:
    held: dict[str, set[str]] = defaultdict(set)
    for path in tree.files():
        if path.parts[0] not in tree.PACKAGES or path.name in ("__init__.py", "README.md"):
            continue
        held[path.parent.as_posix()].add(path.name)
        # A folder of folders is no folder with one file, however few they are.
        for folder in path.parents[1:]:
            held[folder.as_posix()].update(["a folder", "its file"])
    found = {
        folder: names
        for folder, names in held.items()
        if len(names) == 1 and folder not in LONE_FILES
    }
    assert not found, f"folders with one file: {found}"


def test_no_bare_except_and_broad_ones_only_at_the_rim() -> None:
    found = []
    for path, owner, handler in _handlers():
        if handler.type is None:
            found.append(f"{path}:{handler.lineno} bare except")
        elif (
            _is_broad(handler.type)
            and owner not in BROAD_EXCEPT_FUNCTIONS
            and path.as_posix() not in BROAD_EXCEPT
        ):
            found.append(f"{path}:{handler.lineno} broad except in {owner}")
    assert not found, "\n".join(found)


def test_no_global_statement() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in tree.python_files()
        for node in ast.walk(tree.syntax(path))
        if isinstance(node, ast.Global)
    ]
    assert not found, f"global: {found}"


def _functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in tree.python_files():
        for node in ast.walk(tree.syntax(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def _handlers() -> Iterator[tuple[Path, str, ast.ExceptHandler]]:
    """Each handler with the innermost function that holds it."""
    for path in tree.python_files(*tree.PACKAGES):
        pending: list[tuple[str, ast.AST]] = [("the module", tree.syntax(path))]
        while pending:
            owner, node = pending.pop()
            if isinstance(node, ast.ExceptHandler):
                yield path, owner, node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                owner = node.name
            pending.extend((owner, child) for child in ast.iter_child_nodes(node))


def _is_broad(caught: ast.expr) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        isinstance(name, ast.Name) and name.id in ("BaseException", "Exception") for name in names
    )
