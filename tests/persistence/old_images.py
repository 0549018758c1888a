# SPDX-License-Identifier: Apache-2.0
"""Flash images of cards that lived under an earlier firmware, and the desk that issued them.

`version-1/` was made by the firmware of commit c6b81af: `lived` by a real MicroPython on its
virtual board, the others by power cuts at a known step. `facts.json` says what those cards
answered. Each file is the littlefs partition, compressed; the firmware beside it is today's.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from boards.VIRTUAL.partitions import read_partitions
from host_bridge.crypto.keys import SigningKey
from provisioning.image import build_image, refresh_firmware
from tests.doubles.desk import Desk

_VERSION_1 = Path(__file__).with_name("version-1")
NAMES = ("lived", "intent-left", "intent-taken", "unsigned", "half-personalised", "locked")


def facts_of(name: str) -> dict[str, Any]:
    """What the card of this name had answered."""
    whole: dict[str, dict[str, Any]] = json.loads((_VERSION_1 / "facts.json").read_text())
    return whole[name]


def write_upgraded(name: str, image: Path) -> None:
    """The old card's image, with today's firmware put in as `qalta board refresh` does it."""
    money = read_partitions()["vfs"]
    build_image(image)
    content = bytearray(image.read_bytes()[: money.end])
    content[money.offset :] = gzip.decompress((_VERSION_1 / f"{name}.vfs.gz").read_bytes())
    image.write_bytes(content)
    refresh_firmware(image)


def old_desk() -> Desk:
    """The desk that issued them: its keys were drawn from numbered hashes."""
    drawn = 0

    def generate(cls: type[SigningKey]) -> SigningKey:
        nonlocal drawn
        drawn += 1
        digest = hashlib.sha256(b"desk %d" % drawn).digest()
        scalar = int.from_bytes(digest, "big") % 2**255 + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SigningKey, "generate", classmethod(generate))
        return Desk()
