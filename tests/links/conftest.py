# SPDX-License-Identifier: Apache-2.0
"""Flash images and boards for the tests of links; the application on them is a test double."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boards.VIRTUAL.board import VirtualBoard
from host_bridge.transport.serial_link import SerialTransport
from provisioning.image import compile_module, write_image

_ROOT = Path(__file__).resolve().parents[2]
_MODULES = {
    "firmware/__init__.py": "firmware/__init__.py",
    "firmware/wire/__init__.py": "firmware/wire/__init__.py",
    "firmware/wire/frame.py": "firmware/wire/frame.py",
    "firmware/hal/link.py": "firmware/hal/link.py",
    "firmware/hal/littlefs.py": "firmware/hal/littlefs.py",
    "firmware/apps/card.py": "tests/doubles/echo_app.py",
}


def echo_firmware() -> dict[str, bytes]:
    """A firmware whose card application is tests/doubles/echo_app.py."""
    return {
        name.replace(".py", ".mpy"): compile_module((_ROOT / source).read_bytes(), name)
        for name, source in _MODULES.items()
    }


@pytest.fixture
def make_image() -> Callable[[Path], None]:
    """Makes an image that boots the echo application."""
    return lambda path: write_image(path, echo_firmware())


@pytest.fixture
def image(tmp_path: Path, make_image: Callable[[Path], None]) -> Path:
    """A flash image with the echo application, on a fresh path."""
    path = tmp_path / "flash.img"
    make_image(path)
    return path


@pytest.fixture(params=[64, 32])
def board(request: pytest.FixtureRequest, image: Path) -> Iterator[VirtualBoard]:
    """A running board, of each kind of interpreter in turn."""
    with VirtualBoard(image, bits=request.param, log=image.with_name("board.log")) as running:
        yield running


@pytest.fixture
def card(board: VirtualBoard) -> Iterator[SerialTransport]:
    """The card on that board."""
    with SerialTransport(board.port) as transport:
        yield transport
