# SPDX-License-Identifier: Apache-2.0
"""What the bench's card needs of its world: certificates, notes and keys, signed by a desk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from boards.VIRTUAL.partitions import read_partitions
from firmware.wire.certificate import CURRENCY_KZT, ROLE_PURSE
from firmware.wire.limits import MAX_PIECES
from host_bridge.crypto import p256
from host_bridge.session.issuer import Personalisation
from host_bridge.session.secure_channel import diversify
from tests.doubles.desk import PIN, PUK, Desk

ONE_EACH = 1  # tiyn: what each of the small notes gives to one payment
WRITTEN = ("vfs", "state", "counter", "journal", "copies")
_KEYS = [hashlib.sha256(b"storage bench %d" % number).digest() for number in range(24)]
_WIDE = {
    "max_balance": 2**31,
    "max_payment": 2**31,
    "pinless_payment": 2**31,
    "pinless_total": 2**31,
    "max_offline_total": 2**31,
    "max_offline_count": 1_000,
}


def write_world(path: Path) -> None:
    """Writes it as JSON, bytes as hex. `one` note pays alone; of `four` each gives one tiyn."""
    desk = Desk()
    certificate = desk.certify(desk.bank_key, p256.public_key(_KEYS[0]), ROLE_PURSE)
    channel_keys = diversify(bytes(32), certificate.serial)
    content = Personalisation(
        root=desk.root.public_key,
        bank=desk.bank,
        purse=certificate,
        view_key=bytes(16),
        pin=PIN,
        puk=PUK,
        policy=desk.policy(**_WIDE),
        channel_keys=channel_keys,
    )
    world = {
        "keys": [key.hex() for key in _KEYS],
        "items": [(item, data.hex()) for item, data in content.items()],
        "channel_keys": dict(content.items())[0x08].hex(),
        "issuer": desk.issuer.raw.hex(),
        "shop": desk.shop.raw.hex(),
        "serial": certificate.serial.hex(),
        "bank": desk.bank_key.key_id.hex(),
        "currency": CURRENCY_KZT,
        "pin": PIN,
        "one": [_note(desk, 1, 1_000)],
        "four": [_note(desk, 1 + number, ONE_EACH) for number in range(MAX_PIECES)],
        "sizes": {name: read_partitions()[name].size for name in WRITTEN},
    }
    path.write_text(json.dumps(world))


def _note(desk: Desk, number: int, max_payment: int) -> str:
    owner = p256.public_key(_KEYS[number])
    more = {"max_payment": max_payment, "max_transfers": 65_535}
    return desk.note(owner, 1_000_000, **more).raw.hex()
