# SPDX-License-Identifier: Apache-2.0
"""The issuer's master key, from which each card's channel keys are derived (SCP03)."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
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
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from None
    return _read(path)


def _make(path: Path) -> None:
    """The whole key or no file, whatever is cut; a key that is there already is never replaced."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(MASTER_KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another desk was faster: its key is the one
            os.link(fresh, path)
    finally:
        fresh.unlink()


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}.") from None
    if len(key) != MASTER_KEY_SIZE:
        raise KeyFileError(f"{path} holds no master key.")
    return key
