# SPDX-License-Identifier: Apache-2.0
"""Chips on a bus: one from the factory, one that is configured, one with an element on it."""

import pytest

from firmware.hal.atecc608_element import AteccElement
from tests.hal.bench import ChipBench


@pytest.fixture
def fresh() -> ChipBench:
    """A chip as it comes: nothing is locked."""
    return ChipBench()


@pytest.fixture
def bench() -> ChipBench:
    """A chip that follows the plan, without keys; asleep."""
    return ChipBench().configured()


@pytest.fixture
def element(bench: ChipBench) -> AteccElement:
    """The element on `bench`."""
    return AteccElement(bench.chip)
