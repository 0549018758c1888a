# SPDX-License-Identifier: Apache-2.0
"""Cards for the tests of the card application: blank, active, with money."""

from pathlib import Path

import pytest

from tests.card.bench import Bench, Issued
from tests.doubles.desk import PIN, Desk
from tests.doubles.in_process import InProcessCard


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """An active card without money; it is copied, never used."""
    desk = Desk()
    folder = tmp_path_factory.mktemp("issued") / "card"
    with InProcessCard(folder) as card:
        desk.personalise(card)
    return Issued(desk, folder)


@pytest.fixture(scope="session")
def funded(issued: Issued, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """An active card with 10,000 tenge in one note; it is copied, never used."""
    folder = tmp_path_factory.mktemp("funded") / "card"
    bench = issued.bench(folder)
    issued.desk.load(bench.session, 1_000_000)
    return Issued(issued.desk, folder)


@pytest.fixture
def desk(issued: Issued) -> Desk:
    """Whoever signs."""
    return issued.desk


@pytest.fixture
def empty(issued: Issued, tmp_path: Path) -> Bench:
    """An active card without money, selected."""
    return issued.bench(tmp_path / "card")


@pytest.fixture
def bench(funded: Issued, tmp_path: Path) -> Bench:
    """An active card with 10,000 tenge, selected."""
    return funded.bench(tmp_path / "card")


@pytest.fixture
def shown(bench: Bench) -> Bench:
    """The same, with the PIN verified."""
    bench.session.verify_pin(PIN)
    return bench


@pytest.fixture
def blank(tmp_path: Path) -> InProcessCard:
    """A card as it comes from the factory."""
    return InProcessCard(tmp_path / "blank")
