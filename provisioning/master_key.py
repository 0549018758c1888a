# SPDX-License-Identifier: Apache-2.0
"""The issuer's master key, from which each card's channel keys are derived (SCP03)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from host_bridge.crypto.keys import KeyFileError
from host_bridge.session.secure_channel import MASTER_KEY_SIZE

_NAME = "channel-master.key"
_MODE = 0o600


def read_or_make(folder: Path) -> bytes:
    """The master key in `folder`, made at the first call, for its owner alone.

    Raises KeyFileError for a file that cannot be read or written or holds no such key.
    """
    path = folder / _NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(MASTER_KEY_SIZE))
        file.flush()
        os.fsync(file.fileno())
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}.") from None
    if len(key) != MASTER_KEY_SIZE:
        raise KeyFileError(f"{path} holds no master key.")
    return key
