# SPDX-License-Identifier: Apache-2.0
"""Nothing in the project belongs to one machine: no path of it, no registry that it uses."""

import re

from tests.tidy import tree

# Written in pieces, so that this file does not hold what it looks for.
_DOT = r"\."
MACHINE_PATHS = re.compile("|".join([rf"/{name}/" for name in ("work", "root", "home")]))
SESSION_PATHS = re.compile(r"/tmp/" + r"(?:brief|mp|try|v)\b")
REGISTRIES = re.compile(
    _DOT.join(["pypi", "org"])
    + "|"
    + _DOT.join(["pythonhosted", "org"])
    + "|"
    + _DOT.join(["(?:deb|security|ftp)", "debian", "org"])
    + "|"
    + _DOT.join(["(?:archive|ports|security)", "ubuntu", "com"])
    + "|"
    + _DOT.join(["npmjs", "(?:org|com)"])
)
_BINARY_START = 1024


def test_no_path_of_one_machine() -> None:
    found = _lines_with(MACHINE_PATHS) + _lines_with(SESSION_PATHS)
    assert not found, "\n".join(found)


def test_no_registry_host() -> None:
    found = _lines_with(REGISTRIES)
    assert not found, "\n".join(found)


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tree.files():
        content = (tree.ROOT / path).read_bytes()
        if b"\0" in content[:_BINARY_START]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path}:{number} has {match[0]}")
    return found
