# SPDX-License-Identifier: Apache-2.0
"""The cases of docs/reliability.md: none is missing, and each names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

from tests.tidy import tree

PAGE = Path("docs/reliability.md")
TORN = [f"T{number:02}" for number in range(1, 19) if number not in (9, 16)]
STORAGE = [f"S{number:02}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 16)]
NOT_BUILT = {"T13"}  # there are no refunds to tear
_ROW = re.compile(r"^\| ([LRST]\d\d) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def _rows() -> dict[str, str]:
    rows = _ROW.findall(tree.text(PAGE))
    assert len({case for case, _, _ in rows}) == len(rows), "a case has two rows"
    return {case: tests for case, _, tests in rows}


def test_no_case_is_missing() -> None:
    assert not set(TORN + STORAGE) - set(_rows())


@pytest.mark.parametrize("case", TORN + STORAGE)
def test_the_tests_of_a_case_are_there(case: str) -> None:
    named = _TEST.findall(_rows().get(case, ""))
    assert bool(named) != (case in NOT_BUILT), (
        "a case without a test, or one for what is not built"
    )
    for path, name in named:
        assert Path(path) in tree.files(), path
        functions = [
            node
            for node in ast.walk(ast.parse(tree.text(Path(path))))
            if isinstance(node, ast.FunctionDef)
        ]
        assert name in [function.name for function in functions], f"{path}::{name}"
