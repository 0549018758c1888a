# SPDX-License-Identifier: Apache-2.0
"""Flash images: the same sources give the same bytes, and a refresh touches the ROM alone."""

import os
import shutil
from pathlib import Path

import pytest

from boards.VIRTUAL.partitions import read_partitions
from provisioning import image as image_module
from provisioning.image import (
    BLOCK_SIZE,
    FLASH_SIZE,
    ImageError,
    build_image,
    compile_firmware,
    compile_module,
    list_files,
    read_file,
    refresh_firmware,
    rom_partition,
    write_image,
)

ROM = read_partitions()["romfs"]


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
    assert len(first.read_bytes()) == FLASH_SIZE
    assert str(tmp_path).encode() not in first.read_bytes()
    assert list_files(first) == []
    (moved / "firmware/wire/limits.py").write_text("LIMIT = 6\n")
    build_image(second, manifest=moved / "manifest.py")
    assert first.read_bytes() != second.read_bytes()


def test_cached_bytecode_is_the_compiled_bytecode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "_CACHE", tmp_path / "cache")
    compiled = compile_module(b"x = 1\n", "firmware/x.py")
    assert compiled[:2] == b"M\x06"
    assert b"firmware.x" in compiled
    assert compile_module(b"x = 1\n", "firmware/x.py") == compiled
    assert compile_module(b"x = 1\n", "firmware/y.py") != compiled
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_rom_partition_is_the_same_in_whatever_order() -> None:
    files = {"a/b/c": b"1", "a-b": b"2", "a/b-c": b"3", "a/b/a": b"4", "z": b"5", "a.b": b"6"}
    rom = rom_partition(files)
    assert rom == rom_partition(dict(reversed(files.items())))
    assert len(rom) == ROM.size
    assert (
        rom.rstrip(b"\xff").count(b"\x01b") == 1
    )  # each folder is there once, by length and name


def test_refresh_replaces_the_rom_and_nothing_else(sources: Path, tmp_path: Path) -> None:
    path, fresh = tmp_path / "card.img", tmp_path / "fresh.img"
    files = {"purse/note.01": b"100", "firmware/wire/limits.mpy": b"the card's own affair"}
    write_image(path, {"firmware/gone.mpy": b"old"}, files)
    before = path.read_bytes()
    refresh_firmware(path, manifest=sources)
    write_image(fresh, compile_firmware(sources), files)
    assert path.read_bytes() == fresh.read_bytes()
    assert path.read_bytes()[ROM.end :] == before[ROM.end :]
    assert {name: read_file(path, name) for name in list_files(path)} == files


def test_refresh_does_not_look_at_the_money(sources: Path, tmp_path: Path) -> None:
    """A card whose file system is damaged is not damaged further, whatever lies there."""
    path = tmp_path / "card.img"
    build_image(path, manifest=sources)
    rom, money = path.read_bytes()[: ROM.end], os.urandom(FLASH_SIZE - ROM.end)
    path.write_bytes(rom + money)
    refresh_firmware(path, manifest=sources)
    assert path.read_bytes() == rom + money
    with pytest.raises(ImageError, match="not a flash image"):
        list_files(path)


def test_what_cannot_be_built_leaves_the_old_file(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(b"old")
    too_big = {"big.mpy": bytes(ROM.size)}
    with pytest.raises(ImageError, match=r"firmware of 196,\d\d\d bytes does not fit .* 196,608"):
        write_image(path, too_big)
    with pytest.raises(ImageError, match="do not fit the card's partition"):
        write_image(path, {}, {"big": bytes(FLASH_SIZE)})
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


def test_a_refresh_that_does_not_fit_leaves_the_image(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card.img"
    build_image(path, manifest=sources)
    before = path.read_bytes()
    monkeypatch.setattr(image_module, "_compile", lambda source, name: bytes(ROM.size))
    monkeypatch.setattr(image_module, "_CACHE", tmp_path / "cache")
    with pytest.raises(ImageError, match="does not fit the ROM partition"):
        refresh_firmware(path, manifest=sources)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"\xff" * 8 * BLOCK_SIZE, b"\xff" * FLASH_SIZE]
)
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


@pytest.mark.parametrize("change", [-BLOCK_SIZE, -1, 1, BLOCK_SIZE])
def test_an_image_of_another_size(sources: Path, tmp_path: Path, change: int) -> None:
    path = tmp_path / "card.img"
    build_image(path, manifest=sources)
    content = (path.read_bytes() + bytes(BLOCK_SIZE))[: FLASH_SIZE + change]
    path.write_bytes(content)
    with pytest.raises(ImageError, match="not a flash image"):
        refresh_firmware(path, manifest=sources)
    assert path.read_bytes() == content


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        list_files(tmp_path / "none.img")
    write_image(tmp_path / "card.img", {"rom.mpy": b"2"}, {"a": b"1"})
    with pytest.raises(ImageError, match="holds no file b"):
        read_file(tmp_path / "card.img", "b")
    with pytest.raises(ImageError, match=r"holds no file rom\.mpy"):
        read_file(tmp_path / "card.img", "rom.mpy")
    assert read_file(tmp_path / "card.img", "a") == b"1"
