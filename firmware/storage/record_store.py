# SPDX-License-Identifier: Apache-2.0
"""Records that seldom change, as files: two copies of each, on two file systems.

A folder of littlefs is a log. One bad bit there can take back everything that came after it,
without a word, or keep the whole file system from being mounted; so the copies lie in another
one, in a partition of its own.
"""

import errno

from firmware.purse.ports import StorageDamaged, Store
from firmware.storage.seal import BAD, open_sealed, sealed

TYPE_CHECKING = False  # MicroPython has no typing; a type checker takes this for True
if TYPE_CHECKING:
    from firmware.storage.memory import Files

_NEW = ".new"
_COPY = "-copy"


class RecordStore(Store):
    """The records in a folder NAME, and in NAME-copy on the other file system.

    files, copies: mounted; None is one that cannot be.
    """

    def __init__(self, files: "Files | None", copies: "Files | None", folder: str) -> None:
        self._folders = (_Folder(files, folder), _Folder(copies, folder + _COPY))
        self._unequal: "list[str]" = []

    def read(self, name: str) -> "bytes | None":
        """The newer of the two copies, or None where there is none. Raises StorageDamaged."""
        return self._newest(name)[1]

    def _newest(self, name: str) -> "tuple[int, bytes | None]":
        copies = [folder.load(name) for folder in self._folders]
        if copies[0] != copies[1] and name not in self._unequal:
            self._unequal.append(name)
        found = [copy for copy in copies if copy is not None]
        if not found or self._has_none(copies):
            return 0, None
        sequence, data = max(found)
        if sequence == BAD:
            raise StorageDamaged(name)
        return sequence, data

    def _has_none(self, copies: "list[tuple[int, bytes] | None]") -> bool:
        """Whether one file system is lost, and the other one, which is in use, has no such record.

        Where neither is in use, nobody can say what there was.
        """
        for at in (0, 1):
            other = self._folders[1 - at]
            if not self._folders[at].is_mounted and copies[1 - at] is None and other.is_used:
                return True
        return False

    def replace(self, name: str, data: bytes) -> None:
        """Writes both copies, durably, before it returns. It counts once the first is there.

        Where one file system is lost, one copy has to do. Raises OSError.
        """
        try:
            sequence, _ = self._newest(name)
        except StorageDamaged:
            sequence = 0
        mounted = [folder for folder in self._folders if folder.is_mounted]
        for folder in mounted or self._folders:
            folder.save(name, sequence + 1, data)

    def remove(self, name: str) -> None:
        """Forgets the record; it is no error if there is none."""
        for folder in self._folders:
            folder.remove(name)

    def names(self, prefix: str) -> "list[str]":
        """The names that begin with `prefix`, sorted, of whatever has a copy."""
        found = {name for folder in self._folders for name in folder.names()}
        return sorted([name for name in found if name.startswith(prefix)])

    def rest(self) -> bool:
        """Writes again one copy that was found bad, missing or old."""
        if not self._unequal:
            return False
        name = self._unequal.pop()
        try:
            sequence, data = self._newest(name)
        except StorageDamaged:
            sequence, data = BAD, None  # whoever reads it hears of that
        if data is not None:
            for folder in self._folders:
                folder.mend(name, sequence, data)
        self._unequal = [other for other in self._unequal if other != name]
        return True


class _Folder:
    """One of the two."""

    def __init__(self, files: "Files | None", path: str) -> None:
        self._files = files
        self._path = path

    @property
    def is_mounted(self) -> bool:
        """Whether it is there at all."""
        return self._files is not None

    @property
    def is_used(self) -> bool:
        """Whether anything was ever stored on its file system."""
        try:
            return self._files is not None and any(True for _ in self._files.ilistdir("/"))
        except OSError:
            return False

    def load(self, name: str) -> "tuple[int, bytes] | None":
        """Sequence and data; the sequence is BAD where the file cannot be read."""
        if self._files is None:
            return BAD, b""
        try:
            with self._files.open(self._at(name), "rb") as file:
                return open_sealed(file.read())
        except OSError as error:
            return None if error.errno == errno.ENOENT else (BAD, b"")

    def mend(self, name: str, sequence: int, data: bytes) -> None:
        """Writes the copy unless it is so already. Where that fails, one copy has to do."""
        if self.load(name) != (sequence, data):
            try:
                self.save(name, sequence, data)
            except OSError:
                pass

    def save(self, name: str, sequence: int, data: bytes) -> None:
        """Write-new, then rename over the old: safe at every cut (docs/storage.md)."""
        if self._files is None:
            raise OSError(errno.ENODEV)
        try:
            self._files.mkdir(self._path)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        path = self._at(name)
        with self._files.open(path + _NEW, "wb") as file:
            file.write(sealed(sequence, data))
        self._files.rename(path + _NEW, path)

    def remove(self, name: str) -> None:
        if self._files is not None and name in self.names():
            self._files.remove(self._at(name))

    def names(self) -> "list[str]":
        """What is there; nothing where the folder cannot be read."""
        if self._files is None:
            return []
        try:
            found = [entry[0] for entry in self._files.ilistdir(self._path)]
        except OSError:
            return []
        return [name for name in found if not name.endswith(_NEW)]

    def _at(self, name: str) -> str:
        return self._path + "/" + name
