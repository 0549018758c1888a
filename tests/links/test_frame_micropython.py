# SPDX-License-Identifier: Apache-2.0
"""The frame is one file for both interpreters: MicroPython must make and take the same bytes."""

import random
import subprocess
from pathlib import Path

import pytest

from boards.VIRTUAL.runtime import runtime_path
from firmware.wire import frame as wire

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260101
SCRIPT = """
import sys
from binascii import hexlify
from firmware.wire.frame import Decoder, encode
decoder = Decoder()
for line in sys.stdin:
    kind, sequence, payload, stream = line.strip().split(",")
    encoded = encode(int(kind), int(sequence), bytes.fromhex(payload))
    found = [decoder.feed(byte) for byte in bytes.fromhex(stream)]
    found = [f"{f.kind}/{f.sequence}/{hexlify(f.payload).decode()}/{f.check}" for f in found if f]
    print(encoded.hex(), decoder.dropped, *found)
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_micropython_frames_as_cpython_does(bits: int, tmp_path: Path) -> None:
    noise = random.Random(SEED)
    decoder = wire.Decoder()
    lines, expected = [], []
    for length in [*range(12), *range(246, 262), 505, 506, 507, 508, 599, wire.MAX_PAYLOAD]:
        payload = noise.randbytes(length) if length % 3 else bytes(length)
        kind, sequence = noise.randrange(256), noise.randrange(256)
        encoded = wire.encode(kind, sequence, payload)
        stream = noise.randbytes(noise.randrange(30)) + encoded
        frames = [frame for byte in stream if (frame := decoder.feed(byte))]
        assert [frame.payload for frame in frames] == [payload]
        found = [f"{f.kind}/{f.sequence}/{f.payload.hex()}/{f.check}" for f in frames]
        lines.append(f"{kind},{sequence},{payload.hex()},{stream.hex()}")
        expected.append(" ".join([encoded.hex(), str(decoder.dropped), *found]))

    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n" + SCRIPT)
    run = subprocess.run(
        [runtime_path(bits), "-X", "heapsize=128k", script],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == expected
