# SPDX-License-Identifier: Apache-2.0
"""A bank in a folder of the test's, with a clock and randomness that the test moves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host_bridge.bank import FoundingPlan, ReferenceBank
from tests.platform.town import Town, make_plan


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """The usual town: two banks, a clinic's authority, two people, three merchants."""
    found = Town(tmp_path / "bank")
    yield found
    found.bank.close()


@pytest.fixture
def found_bank(tmp_path: Path) -> Callable[..., ReferenceBank]:
    """Found a bank without anybody in it; options go to the founding plan."""

    def found(**plan: object) -> ReferenceBank:
        source = random.Random(1)
        return ReferenceBank.found(
            tmp_path / "bank",
            FoundingPlan(**plan) if plan else make_plan(),
            random=source.randbytes,
        )

    return found
