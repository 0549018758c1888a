# SPDX-License-Identifier: Apache-2.0
"""Records as files: each with a CRC, each replaced by write-new, flush, rename over the old.

`rename` over the old file is safe at every cut point of littlefs; removing first is not.
"""

import errno
import os

from firmware.purse.ports import StorageDamaged, Store
from firmware.storage.seal import open_sealed, sealed

_NEW = ".new"


class RecordStore(Store):
    """The records in one folder. Works on littlefs and on any POSIX file system."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        try:
            os.mkdir(folder)
        except OSError:
            os.stat(folder)  # it stood there already; anything else is an error to be shown
        for name in os.listdir(folder):
            if name.endswith(_NEW):  # a write that the power cut ended
                os.remove(self._path(name))

    def read(self, name: str) -> "bytes | None":
        """The record, or None where there is none. Raises StorageDamaged."""
        try:
            with open(self._path(name), "rb") as file:
                raw = file.read()
        except OSError as error:
            if error.errno != errno.ENOENT:  # flash that cannot be read is no empty flash
                raise
            return None
        data = open_sealed(raw)
        if data is None:
            raise StorageDamaged(name)
        return data

    def replace(self, name: str, data: bytes) -> None:
        """Writes the record, durably, before it returns."""
        path = self._path(name)
        with open(path + _NEW, "wb") as file:
            file.write(sealed(data))
            file.flush()
        os.rename(path + _NEW, path)

    def rename(self, old: str, new: str) -> None:
        """Gives a record another name in one step, over whatever had that name."""
        os.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        """Forgets the record; it is no error if there is none."""
        try:
            os.remove(self._path(name))
        except OSError:
            if name in os.listdir(self._folder):
                raise

    def names(self, prefix: str) -> "list[str]":
        """The names that begin with `prefix`, sorted."""
        found = [name for name in os.listdir(self._folder) if name.startswith(prefix)]
        return sorted([name for name in found if not name.endswith(_NEW)])

    def _path(self, name: str) -> str:
        return self._folder + "/" + name
