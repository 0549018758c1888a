# SPDX-License-Identifier: Apache-2.0
"""Two copies of a record: the newer one counts, whatever is in it, and the other is mended."""

from pathlib import Path

import pytest

from firmware.storage.record_store import RecordStore
from tests.doubles.folder_flash import FolderFiles


def two_sided(folder: Path) -> RecordStore:
    """A store on two file systems, which here are one."""
    return RecordStore(FolderFiles(folder), FolderFiles(folder), "one")


@pytest.mark.parametrize("old", [b"a", b"m", b"z"])
def test_the_newer_copy_counts(old: bytes, tmp_path: Path) -> None:
    """A cut came between the two: the first copy alone is the new one."""
    store = two_sided(tmp_path)
    store.replace("x", old)
    before = (tmp_path / "one-copy" / "x").read_bytes()
    store.replace("x", b"n")
    (tmp_path / "one-copy" / "x").write_bytes(before)
    again = two_sided(tmp_path)
    assert again.read("x") == b"n"
    assert again.rest() and not again.rest()
    copies = [(tmp_path / folder / "x").read_bytes() for folder in ("one", "one-copy")]
    assert copies[0] == copies[1] != before


def test_what_is_removed_is_gone_from_both(tmp_path: Path) -> None:
    store = two_sided(tmp_path)
    store.replace("x", b"a")
    store.replace("y", b"b")
    (tmp_path / "one" / "y").unlink()
    assert store.names("") == ["x", "y"], "one copy is enough to be there"
    for name in ("x", "y", "z"):
        store.remove(name)
    assert store.names("") == [] and list(tmp_path.rglob("?")) == []
