# SPDX-License-Identifier: Apache-2.0
"""The pages are linked, the links lead somewhere, and the dependencies are explained."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tests.tidy import tree

INDEXES = (Path("docs/README.md"), Path("docs/SUMMARY.md"))
DEPENDENCIES = Path("docs/dependencies.md")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_ELSEWHERE = re.compile(r"^([a-z][a-z0-9+.-]*:|#)", re.IGNORECASE)
_REQUIREMENT_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def test_the_index_links_every_page() -> None:
    linked = {
        target for index in INDEXES if index in tree.files() for target, _ in _targets(index)
    }
    pages = {path for path in _markdown() if path.parts[0] == "docs"} - set(INDEXES)
    missing = sorted(str(path) for path in pages - linked)
    assert not missing, f"pages that the index of docs does not link: {missing}"


def test_links_lead_to_files() -> None:
    found = [
        f"{page} links to {written}"
        for page in _markdown()
        for target, written in _targets(page)
        if not (tree.ROOT / target).exists()
    ]
    assert not found, "\n".join(found)


def test_every_top_level_folder_introduces_itself() -> None:
    folders = (*tree.PACKAGES, "tests", "docs")
    missing = [name for name in folders if Path(name, "README.md") not in tree.files()]
    assert not missing, f"folders without a README.md: {missing}"


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads(tree.text(Path("pyproject.toml")))["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    lines = [_normal(line) for line in tree.text(DEPENDENCIES).splitlines()]
    missing = [
        name
        for requirement in wanted
        if (name := _name(requirement))
        and not any(re.search(rf"(?<![\w-]){_normal(name)}(?![\w-])", line) for line in lines)
    ]
    assert not missing, f"{DEPENDENCIES} has no line about: {missing}"


def _markdown() -> list[Path]:
    return [path for path in tree.files() if path.suffix == ".md"]


def _targets(page: Path) -> Iterator[tuple[Path, str]]:
    """Each file that a page links to, relative to the root, and the link as written."""
    for match in _LINK.finditer(_FENCED.sub("", tree.text(page))):
        written = match[1] or match[2]
        if _ELSEWHERE.match(written):
            continue
        path = unquote(written.partition("#")[0])
        whole = (tree.ROOT / page.parent / path).resolve()
        yield (
            Path(whole.relative_to(tree.ROOT)) if whole.is_relative_to(tree.ROOT) else whole,
            (written),
        )


def _name(requirement: str) -> str:
    match = _REQUIREMENT_NAME.match(requirement)
    return match[0] if match else ""


def _normal(name: str) -> str:
    return re.sub(r"[_.]", "-", name).lower()
