# SPDX-License-Identifier: Apache-2.0
"""Flash images: the same sources give the same bytes, and a refresh keeps the money."""

import shutil
from pathlib import Path

import pytest

from provisioning import image as image_module
from provisioning.image import (
    BLOCK_SIZE,
    ImageError,
    build_image,
    compile_module,
    list_files,
    read_file,
    refresh_firmware,
    write_image,
)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A small source tree with a manifest; returns the manifest."""
    for name, text in {
        "firmware/__init__.py": "",
        "firmware/wire/__init__.py": "",
        "firmware/wire/limits.py": "LIMIT = 5\n",
    }.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    manifest = tmp_path / "tree" / "manifest.py"
    manifest.write_text(
        'package("firmware", files=["__init__.py"])\npackage("firmware/wire", base_path=".")\n'
    )
    return manifest


def test_same_sources_same_image(sources: Path, tmp_path: Path) -> None:
    """P07: neither the folder nor the cache shows in the image."""
    first, second = tmp_path / "first.img", tmp_path / "second.img"
    build_image(first, manifest=sources)
    moved = tmp_path / "elsewhere"
    shutil.move(sources.parent, moved)
    build_image(second, manifest=moved / "manifest.py")
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) == 256 * BLOCK_SIZE
    assert str(tmp_path).encode() not in first.read_bytes()
    assert list_files(first) == [
        "firmware/__init__.mpy",
        "firmware/wire/__init__.mpy",
        "firmware/wire/limits.mpy",
    ]
    (moved / "firmware/wire/limits.py").write_text("LIMIT = 6\n")
    build_image(second, manifest=moved / "manifest.py")
    assert first.read_bytes() != second.read_bytes()


def test_cached_bytecode_is_the_compiled_bytecode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "_CACHE", tmp_path / "cache")
    compiled = compile_module(b"x = 1\n", "firmware/x.py")
    assert compiled[:2] == b"M\x06"
    assert b"firmware/x.py" in compiled
    assert compile_module(b"x = 1\n", "firmware/x.py") == compiled
    assert compile_module(b"x = 1\n", "firmware/y.py") != compiled
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_refresh_replaces_code_and_keeps_the_rest(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    old = {"firmware/gone.mpy": b"old", "firmware/wire/limits.mpy": b"old", "money/note": b"100"}
    write_image(path, old)
    refresh_firmware(path, manifest=sources)
    assert read_file(path, "money/note") == b"100"
    assert read_file(path, "firmware/wire/limits.mpy")[:1] == b"M"
    assert "firmware/gone.mpy" not in list_files(path)
    settled = path.read_bytes()
    for _ in range(30):  # many refreshes do not fill the flash
        refresh_firmware(path, manifest=sources)
    assert len(path.read_bytes()) == len(settled)
    assert read_file(path, "money/note") == b"100"


def test_what_cannot_be_built_leaves_the_old_file(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match="too few"):
        write_image(path, {"big": bytes(20_000)}, blocks=4)
    (sources.parent / "firmware/wire/limits.py").write_text("def :\n")
    with pytest.raises(
        ImageError, match=r"firmware/wire/limits\.py does not compile: SyntaxError"
    ):
        build_image(path, manifest=sources)
    sources.write_text('package("firmware/none")\n')
    with pytest.raises(ImageError, match=r"firmware/none, which is missing"):
        build_image(path, manifest=sources)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".card")] == []


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 * BLOCK_SIZE])
def test_files_that_are_no_image(sources: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(content)
    for act in (
        lambda: list_files(path),
        lambda: read_file(path, "x"),
        lambda: refresh_firmware(path, manifest=sources),
    ):
        with pytest.raises(ImageError, match="not a flash image"):
            act()
    assert path.read_bytes() == content


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        list_files(tmp_path / "none.img")
    write_image(tmp_path / "card.img", {"a": b"1"}, blocks=8)
    with pytest.raises(ImageError, match="holds no file b"):
        read_file(tmp_path / "card.img", "b")
    assert read_file(tmp_path / "card.img", "a") == b"1"
