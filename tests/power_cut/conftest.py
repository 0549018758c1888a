# SPDX-License-Identifier: Apache-2.0
"""The harness gives the software element a quick crypto; the tests that follow get theirs back."""

from collections.abc import Iterator

import pytest

from firmware.hal import software_element


@pytest.fixture(autouse=True, scope="module")
def element_of_ones_own() -> Iterator[None]:
    """Puts back what `tests.power_cut.board` replaced in this process."""
    kept = software_element.p256, software_element.os
    yield
    software_element.p256, software_element.os = kept
