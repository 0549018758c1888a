# SPDX-License-Identifier: Apache-2.0
"""The card's program on the ESP32's board, under MicroPython: it boots and answers, come what may.

The frames go in by stdin and out by stdout, as they do over the board's serial port.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from boards.VIRTUAL.runtime import runtime_path
from firmware.wire import apdu, frame, status
from firmware.wire.apdu import CLA_ISO, CLA_QALTA, Command, split_answer
from host_bridge.crypto.keys import SigningKey
from tests.hal.bench import DIGEST

HEAP = "2m"  # for the source code, and for the flash; on a board both lie elsewhere

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import vfs
from tests.doubles import esp32_modules as doubles

rows = []
end = 0
for name, blocks in (("vfs", 32), ("state", 4), ("counter", 3), ("journal", 24), ("copies", 16)):
    rows.append((name, 1, 0x40, end, blocks * 4096))
    end += blocks * 4096
flash = doubles.NorFlash(end)
doubles.install(doubles.Esp32Module(flash, rows), doubles.MachineModule((0, 22, 21), None))

from firmware.hal.esp32_board import Esp32Board
from firmware.hal.littlefs import READ_SIZES, PROG_SIZE
from firmware.apps import card

for name in {formatted}:
    device = Esp32Board({{}}).partition(name)
    vfs.VfsLfs2.mkfs(device, readsize=READ_SIZES[name], progsize=PROG_SIZE)
"""
SERVES = "card.main(Esp32Board({pins}))"

# What the card's program hands to its purse, asked once.
VERIFIES = """
purse = card.Purse
def seen(memory, element, verify):
    try:
        print(verify(bytes.fromhex({key!r}), bytes(range(32)), bytes.fromhex({signature!r})))
    except OSError as error:
        print(type(error).__name__)
    return purse(memory, element, verify)
card.Purse = seen
card.serve = lambda link, application: None
card.main(Esp32Board({pins}))
"""

NO_CHIP: dict[str, int] = {}
SILENT_CHIP = {"bus": 0, "scl": 1, "sda": 2}  # nothing hangs on these pins
BOTH = ["vfs", "copies"]
SELECT = Command(CLA_ISO, apdu.INS_SELECT, apdu.P1_SELECT_BY_NAME, 0, apdu.AID)
PAY = Command(CLA_QALTA, apdu.INS_PAY, 0, 0, bytes(8))


@pytest.mark.parametrize(
    ("pins", "formatted"),
    [
        (NO_CHIP, BOTH),
        (SILENT_CHIP, BOTH),
        (NO_CHIP, []),
        (NO_CHIP, ["vfs"]),
        (NO_CHIP, ["copies"]),
    ],
    ids=["software element", "silent chip", "no littlefs", "no copies", "copies alone"],
)
@pytest.mark.parametrize("bits", [64, 32])
def test_the_card_boots_and_answers(
    bits: int,
    pins: dict[str, int],
    formatted: list[str],
    root: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    program = tmp_path / "card.py"
    text = (PROGRAM + SERVES).format(root=str(root), pins=pins, formatted=formatted)
    program.write_text(text)
    commands = [SELECT, PAY]
    run = subprocess.run(
        [runtime_path(bits), "-X", f"heapsize={HEAP}", program],
        input=b"".join(
            frame.encode(frame.COMMAND_APDU, number, command.raw)
            for number, command in enumerate(commands)
        ),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr.decode()
    decoder = frame.Decoder()
    fed = [decoder.feed(byte) for byte in run.stdout]
    words = [split_answer(answer.payload)[1] for answer in fed if answer is not None]
    assert words[0] == status.OK, "it can be selected, and says how it is"
    assert words[1] != status.OK
    assert len(words) == len(commands)


@pytest.mark.parametrize(
    ("pins", "said"), [(NO_CHIP, "True"), (SILENT_CHIP, "ChipSilent")], ids=["no chip", "a chip"]
)
@pytest.mark.parametrize("bits", [64, 32])
def test_where_there_is_a_chip_it_verifies(
    bits: int,
    pins: dict[str, int],
    said: str,
    root: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue("micropython" if bits == 64 else "micropython32")
    signer = SigningKey.generate()
    program = tmp_path / "card.py"
    program.write_text(
        (PROGRAM + VERIFIES).format(
            root=str(root),
            pins=pins,
            formatted=BOTH,
            key=signer.public_key.hex(),
            signature=signer.sign(DIGEST).hex(),
        )
    )
    run = subprocess.run(
        [runtime_path(bits), "-X", f"heapsize={HEAP}", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [said]
