# SPDX-License-Identifier: Apache-2.0
"""How a card's littlefs are mounted: by a board, and by whoever makes its images.

Both must mount alike. The caches, of 4 * the read size, decide how long a file may be that lies
within its folder; and each takes that much of the heap, as every open file does.
"""

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from typing import Any

READ_SIZES = {"vfs": 128, "copies": 64}  # by partition; 128 takes what version 1 wrote
PROG_SIZE = 32


def mounted(name: str, device: "Any") -> "Any":
    """The littlefs on a partition's block device, or None where it cannot be mounted.

    It writes nothing, and nothing is ever formatted: it may hold money. It does not go into
    MicroPython's tree of files, for no code is to be imported from it.
    """
    import vfs

    try:
        return vfs.VfsLfs2(device, readsize=READ_SIZES[name], progsize=PROG_SIZE)
    except OSError:
        return None
