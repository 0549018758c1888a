# SPDX-License-Identifier: Apache-2.0
"""Virtual boards by name: started by one program, used and ended by others.

Each board has a folder NAME with `flash.img`, `pid`, `port` (a link to the pseudo-terminal) and
`board.log`, under `boards/` of the user's state folder or of the folder in QALTA_HOME.
"""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from boards.VIRTUAL.board import BoardError, VirtualBoard, image_lock
from boards.VIRTUAL.process import Locked, end_process, has_open, locked

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True)
class NamedBoard:
    """A board as it is found on disk. pid and port are None while it is off."""

    name: str
    folder: Path
    pid: int | None
    port: str | None

    @property
    def image(self) -> Path:
        """Its flash image."""
        return self.folder / "flash.img"

    @property
    def log(self) -> Path:
        """What the board wrote to stderr."""
        return self.folder / "board.log"


def boards_folder() -> Path:
    """Return the folder that holds the folders of all named boards."""
    home = os.environ.get("QALTA_HOME")
    return (Path(home).absolute() if home else platformdirs.user_state_path("qalta")) / "boards"


def find_named(name: str) -> NamedBoard:
    """Return a board, on or off, existing or not yet. Raises BoardError for a bad name."""
    if not _NAME.fullmatch(name):
        raise BoardError(
            f"'{name}' is not a board name: use up to 32 letters, digits, '-' and '_'."
        )
    folder = boards_folder() / name
    pid = _running_pid(folder)
    port = os.readlink(folder / "port") if pid and (folder / "port").is_symlink() else None
    return NamedBoard(name, folder, pid, port)


def list_named() -> list[NamedBoard]:
    """Return every board that has an image, by name."""
    images = sorted(boards_folder().glob("*/flash.img"))
    return [find_named(image.parent.name) for image in images]


def start_named(
    name: str,
    make_image: Callable[[Path], None],
    *,
    bits: int = 64,
    heap_kib: int | None = None,
) -> NamedBoard:
    """Start a board; `make_image(path)` makes its flash image if it has none.

    Raises BoardError if it runs already or is being started by somebody else.
    """
    board = find_named(name)
    board.folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(board.folder / "start.lock"):
            return _start(find_named(name), make_image, bits, heap_kib)
    except Locked:
        raise BoardError(f"Board '{name}' is being started by another program.") from None


def _start(
    board: NamedBoard, make_image: Callable[[Path], None], bits: int, heap_kib: int | None
) -> NamedBoard:
    if board.pid is not None:
        raise BoardError(f"Board '{board.name}' is running already, at {board.port}.")
    if not board.image.exists():
        make_image(board.image)
    process = VirtualBoard(board.image, bits=bits, heap_kib=heap_kib, log=board.log)
    process.start()
    pid, port = process.pid, process.port
    process.detach()
    link = board.folder / "port.new"
    link.unlink(missing_ok=True)
    link.symlink_to(port)
    link.replace(board.folder / "port")
    (board.folder / "pid").write_text(f"{pid}\n")
    return NamedBoard(board.name, board.folder, pid, port)


def stop_named(name: str) -> None:
    """Switch a board off. Raises BoardError if it is not running."""
    _end(name, signal.SIGTERM)


def kill_named(name: str) -> None:
    """Pull a board's power: SIGKILL. Raises BoardError if it is not running."""
    _end(name, signal.SIGKILL)


def refresh_named(name: str, refresh_image: Callable[[Path], None]) -> None:
    """Let `refresh_image(path)` renew a board's image while nothing else can use it."""
    board = find_named(name)
    if not board.image.exists():
        raise BoardError(f"There is no board '{name}'.")
    try:
        with locked(image_lock(board.image)):
            refresh_image(board.image)
    except Locked:
        raise BoardError(f"Board '{name}' is running: stop it first.") from None


def _end(name: str, request: signal.Signals) -> None:
    board = find_named(name)
    if board.pid is None:
        raise BoardError(f"Board '{name}' is not running.")
    end_process(board.pid, request)
    for leftover in ("pid", "port"):
        (board.folder / leftover).unlink(missing_ok=True)


def _running_pid(folder: Path) -> int | None:
    """Return the pid in the folder if that process holds the lock of this board's image.

    The number may be stale, and the system may have given it to another program since.
    """
    try:
        pid = int((folder / "pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if has_open(pid, image_lock(folder / "flash.img")) else None
