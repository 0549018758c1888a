# SPDX-License-Identifier: Apache-2.0
"""A real card with money on it, and a line that sends it anything but honest frames (I8, I1)."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import serial

from boards.VIRTUAL.board import VirtualBoard
from firmware.wire import frame
from firmware.wire.apdu import CLA_QALTA, COMMAND_NAMES, INS_PAY, Command
from host_bridge.session.purse import PurseSession
from host_bridge.transport.virtual import VirtualTransport
from provisioning.image import build_image
from tests.doubles.desk import PIN, Desk

ROUNDS = 400
LOADED = 100_000


def _money(board: VirtualBoard) -> dict[int, int]:
    with VirtualTransport(board) as card:
        session = PurseSession(card)
        session.select()
        session.verify_pin(PIN)
        return session.balance()


def _hostile(draw: random.Random, pay: bytes) -> bytes:
    """Noise; a whole frame of noise; a frame cut short; a PAY that is cut or wrongly signed."""
    choice = draw.randrange(4)
    if choice == 0:
        return draw.randbytes(draw.randrange(1, 700))
    if choice == 1:
        ins = draw.choice(sorted(COMMAND_NAMES))
        command = bytes([draw.choice([0x00, CLA_QALTA, 0x84]), ins]) + draw.randbytes(40)
        return frame.encode(draw.randrange(256), draw.randrange(256), command)
    whole = frame.encode(frame.COMMAND_APDU, draw.randrange(256), pay)
    if choice == 2:
        return whole[: draw.randrange(len(whole) - 1)]  # without its last byte it is still whole
    spoilt = bytearray(pay)
    spoilt[draw.randrange(5 + 28, 5 + 228)] ^= 1 << draw.randrange(8)  # in the certificate
    return frame.encode(frame.COMMAND_APDU, draw.randrange(256), bytes(spoilt))


@pytest.mark.parametrize("bits", [64, 32])
def test_no_bytes_on_the_line_move_money(bits: int, tmp_path: Path) -> None:
    seed = int(os.environ.get("QALTA_SEED", random.randrange(2**32)))
    print(f"QALTA_SEED={seed}")
    draw = random.Random(seed)
    desk = Desk()
    build_image(tmp_path / "flash.img")
    with VirtualBoard(tmp_path / "flash.img", bits=bits, log=tmp_path / "log") as board:
        with VirtualTransport(board) as card:
            desk.personalise(card)
            card.reset()
            session = PurseSession(card)
            session.select()
            desk.load(session, LOADED)
        pay = Command(CLA_QALTA, INS_PAY, data=desk.request(1_000).data, le=256).raw
        with serial.Serial(board.port, timeout=1.0) as line:
            for _ in range(ROUNDS):
                line.write(_hostile(draw, pay))
                line.read(line.in_waiting)
        assert _money(board) == {0: LOADED}
        with VirtualTransport(board) as card:
            session = PurseSession(card)
            session.select()
            assert session.pay(desk.request(1_000))[0].amount_tiyn == 1_000, "it still pays"
        assert _money(board) == {0: LOADED - 1_000}
