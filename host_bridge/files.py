# SPDX-License-Identifier: Apache-2.0
"""Files that a crash leaves as they were or as they were to be, never in between."""

import os
import secrets
from pathlib import Path

PUBLIC = 0o644
OWNER_ONLY = 0o600  # for keys: from the file's first byte


def replace_file(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """Write-new, flush, rename over the old, flush the folder. Raises OSError.

    The fresh file has a name that nobody else uses, so that two writers at once leave the whole
    file of one of them; what could not be finished is removed.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
