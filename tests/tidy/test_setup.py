# SPDX-License-Identifier: Apache-2.0
"""What the tests need of the machine: installed by root, and named to everybody else."""

import pytest

from provisioning.setup import SetupError
from provisioning.setup.debian import PACKAGES, missing, prepare_packages
from tests.tidy import tree


def test_who_is_not_root_is_told_the_command() -> None:
    with pytest.raises(SetupError) as refused:
        prepare_packages(lambda package: package not in ("pcscd", "opensc"), is_root=False)
    command = "sudo apt install --no-install-recommends pcscd opensc"
    assert str(refused.value).endswith(f"Run: {command}")


def test_nothing_happens_where_all_is_installed() -> None:
    prepare_packages(lambda package: True, is_root=False)
    assert missing(PACKAGES, lambda package: True) == []


def test_each_package_is_explained() -> None:
    page = tree.text(tree.ROOT / "docs" / "dependencies.md")
    assert [package for package in PACKAGES if f"`{package}`" not in page] == []
