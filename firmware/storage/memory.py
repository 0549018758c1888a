# SPDX-License-Identifier: Apache-2.0
"""All of a card's memory, over what its board has: two file systems and three raw partitions."""

from firmware.purse.ports import Memory
from firmware.storage.log import SectorLog
from firmware.storage.record_store import RecordStore
from firmware.storage.sector import WINDOW

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Files(Protocol):
        """A mounted file system: what MicroPython's `vfs.VfsLfs2` objects offer of it."""

        def open(self, path: str, mode: str) -> "Any":
            """An open file."""

        def ilistdir(self, path: str) -> "Iterator[tuple[Any, ...]]":
            """What is in a folder, the name first."""

        def mkdir(self, path: str) -> None:
            """Makes a folder."""

        def remove(self, path: str) -> None:
            """Removes a file."""

        def rename(self, old: str, new: str) -> None:
            """Gives a file another name, over whatever had that name."""

    class Device(Protocol):
        """A block device of MicroPython's, with the extended interface."""

        def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
            """Fills the buffer."""

        def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
            """Programs bytes that are erased."""

        def ioctl(self, request: int, argument: int) -> "int | None":
            """4: how many blocks; 6: erases one."""


class BoardMemory(Memory):
    """The purse's memory, and `keys` and `counter`, which the software element keeps.

    files, copies: mounted littlefs, or None for one that cannot be mounted: then every record
    of it counts as damaged. partition: gives the block device of the state, counter or journal.
    """

    state: SectorLog
    journal: SectorLog

    def __init__(
        self,
        files: "Files | None",
        copies: "Files | None",
        partition: "Callable[[str], Device]",
    ) -> None:
        self.store = RecordStore(files, copies, "purse")
        self.keys = RecordStore(files, copies, "element")
        window = bytearray(WINDOW)
        self.state = SectorLog(partition("state"), window)
        self.counter = SectorLog(partition("counter"), window)
        self.journal = SectorLog(partition("journal"), window)
